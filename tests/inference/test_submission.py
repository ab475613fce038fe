"""The archive for the test server: names, palette and values in it, the same bytes again, completeness, errors."""

import gzip
import io
import os
import tarfile

import numpy as np
import pytest
from PIL import Image
from scripts import module_of
from voc_trees import write_dataset

from cian.base.files import write_text
from cian.base.runtime import mx
from cian.data.images import palette, write_label
from cian.data.voc import VOC_CLASSES
from cian.inference.submission import FOLDER, check_submission, pack_submission
from cian.models.checkpoint import named_arrays, save_checkpoint
from cian.models.cian import CIAN

LABELS = {
    "2008_000006": np.array([[0, 15, 20], [8, 8, 0]], np.uint8),
    "2007_000032": np.zeros((4, 5), np.uint8),
    "2011_003271": np.full((1, 1), 12, np.uint8),
}


@pytest.fixture
def masks(tmp_path):
    for name, label in LABELS.items():
        write_label(tmp_path / "masks" / f"{name}.png", label)
    return tmp_path / "masks"


def test_what_the_archive_holds(masks, tmp_path):
    grey = masks / "2008_000006.png"
    Image.fromarray(LABELS["2008_000006"]).save(str(grey))  # grey like other tools' masks
    write_label(masks / "extra.png", np.zeros((2, 2)))  # not in the list
    pack_submission(tmp_path / "out" / "a.tgz", masks, LABELS, lambda name: LABELS[name].shape)
    with tarfile.open(str(tmp_path / "out" / "a.tgz"), "r:gz") as archive:
        names = archive.getnames()
        assert names == [f"results/VOC2012/Segmentation/comp6_test_cls/{name}.png" for name in sorted(LABELS)]
        for name, label in LABELS.items():
            member = archive.getmember(f"{FOLDER}/{name}.png")
            assert member.isfile() and member.mode == 0o644 and member.uname == "" and member.mtime == 0
            image = Image.open(io.BytesIO(archive.extractfile(member).read()))
            assert image.format == "PNG" and image.mode == "P"
            assert np.array_equal(np.asarray(image), label)
            colours = np.array(image.getpalette()).reshape(-1, 3)
            assert np.array_equal(colours, palette()[: len(colours)]) and len(colours) >= 21


def test_the_same_masks_give_the_same_bytes(masks, tmp_path):
    pack_submission(tmp_path / "a.tgz", masks, list(LABELS))
    for path in masks.iterdir():
        os.utime(str(path), (1, 1))
        path.chmod(0o600)
    pack_submission(tmp_path / "other.tar.gz", masks, list(LABELS)[::-1])
    assert (tmp_path / "a.tgz").read_bytes() == (tmp_path / "other.tar.gz").read_bytes()
    assert (tmp_path / "a.tgz").read_bytes()[4:8] == b"\0\0\0\0"  # no time in gzip's header
    write_label(masks / "2011_003271.png", np.full((1, 1), 13))
    pack_submission(tmp_path / "b.tgz", masks, list(LABELS))
    assert gzip.decompress((tmp_path / "a.tgz").read_bytes()) != gzip.decompress((tmp_path / "b.tgz").read_bytes())


def test_progress_counts_masks(masks, tmp_path):
    counted = []
    pack_submission(tmp_path / "a.tgz", masks, LABELS, progress=counted.append)
    assert counted == [1, 1, 1]


def test_masks_that_are_missing_are_named_and_nothing_is_written(masks, tmp_path):
    with pytest.raises(FileNotFoundError, match="masks: 6 of 8 masks missing: m0, m1, m2, m3, m4, ..."):
        pack_submission(tmp_path / "a.tgz", masks, list(LABELS)[:2] + [f"m{i}" for i in range(6)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks"]


@pytest.mark.parametrize(
    "label, message",
    [
        (np.array([[0, 255, 3]]), "2011_003271.png: value 255, expected classes 0..20"),
        (np.array([[21]]), "2011_003271.png: value 21, expected classes"),
        (np.zeros((2, 1)), r"2011_003271.png: size \(2, 1\), expected that of the image, \(1, 1\)"),
    ],
)
def test_a_mask_unfit_for_the_server_is_named_and_the_old_archive_stays(masks, tmp_path, label, message):
    write_text(tmp_path / "a.tgz", "old")
    write_label(masks / "2011_003271.png", label)
    with pytest.raises(ValueError, match=message):
        pack_submission(tmp_path / "a.tgz", masks, LABELS, lambda name: LABELS[name].shape)
    assert (tmp_path / "a.tgz").read_text() == "old" and len(list(tmp_path.iterdir())) == 2


def test_wrong_arguments(masks, tmp_path):
    with pytest.raises(ValueError, match="ids: none, expected each image once"):
        pack_submission(tmp_path / "a.tgz", masks, [])
    with pytest.raises(ValueError, match="ids: x twice, expected each image once"):
        pack_submission(tmp_path / "a.tgz", masks, ["x", "y", "x"])
    with pytest.raises(ValueError, match="a.zip: the archive's name must end in .tgz or .tar.gz"):
        pack_submission(tmp_path / "a.zip", masks, LABELS)
    with pytest.raises(ValueError, match="knows VOC's 21 classes, the data set has background, cat"):
        check_submission("a.tgz", ("background", "cat"))
    check_submission("a.tgz", list(VOC_CLASSES))


@pytest.fixture(scope="module")
def predict():
    return module_of("predict")


@pytest.mark.parametrize("iterations, folder", [("2", "pred_crf"), ("0", "pred")])
def test_predict_packs_what_it_predicted(predict, tmp_path, iterations, folder):
    write_dataset(tmp_path / "data", {"test": {"a": np.zeros((9, 14), np.uint8), "b": np.zeros((17, 8), np.uint8)}})
    mx.random.seed(0)
    net = CIAN("resnet10")
    net.initialize(mx.init.Xavier())
    net(mx.nd.zeros((1, 3, 33, 33)))
    save_checkpoint(tmp_path / "net.params", named_arrays(net))
    options = ["--checkpoint", tmp_path / "net.params", "--backbone", "resnet10", "--data", tmp_path / "data", "--list", "test",
               "--output", tmp_path / "out", "--test-size", "33", "--scales", "1", "--crf-iterations", iterations]  # fmt: skip
    predict.main([str(option) for option in options] + ["--submission", str(tmp_path / "server.tgz")])
    with tarfile.open(str(tmp_path / "server.tgz")) as archive:
        assert archive.getnames() == [f"{FOLDER}/a.png", f"{FOLDER}/b.png"]
        for name in "ab":
            packed = Image.open(archive.extractfile(f"{FOLDER}/{name}.png"))
            assert np.array_equal(np.asarray(packed), np.asarray(Image.open(tmp_path / "out" / folder / f"{name}.png")))


def test_predict_refuses_before_it_predicts(predict, tmp_path):
    write_dataset(tmp_path / "data", {"test": {"a": np.zeros((9, 14), np.uint8)}})
    options = ["--checkpoint", "none.params", "--data", str(tmp_path / "data"), "--list", "test", "--output", "none"]
    with pytest.raises(ValueError, match="the archive's name must end in"):
        predict.main([*options, "--submission", "a.zip"])
    write_text(tmp_path / "data" / "classes.txt", "background\ncat\n")
    with pytest.raises(ValueError, match="the data set has background, cat"):
        predict.main([*options, "--submission", "a.tgz"])

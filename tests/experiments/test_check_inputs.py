"""experiments/check_inputs.py: what stages would stumble on is told before them; what cannot be measured is said."""

import logging

import numpy as np
import pytest
from table_scripts import check_inputs
from voc_trees import write_annotation, write_dataset, write_image

from cian.base.files import read_json, write_text
from cian.data.images import write_label

LABEL = np.array([[0, 8, 8], [0, 12, 255]], np.uint8)


@pytest.fixture
def data(tmp_path):
    return write_dataset(tmp_path / "data", {"train_aug": {"a": LABEL, "b": LABEL}, "val": {"c": LABEL, "d": LABEL}})


def check(data, **more):
    return check_inputs.check(data, "train_aug", "val", devices="cpu", **more)


def test_sound_data_are_checked_once(data, tmp_path, caplog):
    everything = check_inputs.Found(True, True, True)
    assert check(data, record=tmp_path / "out", classes=("background", "cat")) == everything
    assert set(read_json(tmp_path / "out" / "checked.json")) == {"train", "val"}
    with caplog.at_level(logging.INFO):
        assert check(data, record=tmp_path / "out") == everything and "unchanged since" in caplog.text
    write_image(data / "JPEGImages" / "a.jpg", 5, 5)  # another size than its mask
    with pytest.raises(ValueError, match="1 faults in 2 images of train_aug; the first:\n  .*a.png: 3x2 pixels, expected"):
        check(data, record=tmp_path / "out")


@pytest.mark.parametrize("change, message", [
    (lambda root: write_text(root / "ImageSets/Segmentation/val.txt", ""), "val.txt: the list is empty"),
    (lambda root: (root / "Annotations" / "a.xml").unlink(), "a.xml: no such annotation file"),
    (lambda root: (root / "SegmentationClassAug" / "c.png").unlink(), "c.png: no such mask; 1 of 2 images of val lack one"),
    (lambda root: write_label(root / "SegmentationClassAug" / "d.png", LABEL + 20), "faults in 2 images of val"),
    (lambda root: (root / "JPEGImages" / "b.jpg").write_bytes(b"cut"), "b.jpg: cannot be decoded"),
    (lambda root: write_text(root / "classes.txt", "background\ncat\n"), "unknown class 'dog'"),
])
def test_what_a_later_stage_would_stumble_on(data, change, message):
    change(data)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        check(data)


def test_class_names_and_saliency_maps(data, tmp_path):
    with pytest.raises(ValueError, match="--classes: no class named crack; there are background, aeroplane"):
        check(data, classes=("background", "crack"))
    for name in "abcd":
        write_label(tmp_path / "maps" / f"{name}.png", LABEL > 0)
    with pytest.raises(ValueError, match="found an image of mode P"):
        check(data, maps=tmp_path / "maps")


@pytest.mark.parametrize("change, found, said", [
    (lambda root: [(root / "SegmentationClassAug" / f"{name}.png").unlink() for name in "ab"],
     check_inputs.Found(False, True, True), "not measured: the seeds of train_aug, as 2 of 2 images lack masks"),
    (lambda root: [(root / "SegmentationClassAug" / f"{name}.png").unlink() for name in "cd"],
     check_inputs.Found(True, False, True), "not measured: the predictions of val, as 2 of 2 images lack masks"),
    (lambda root: write_annotation(root / "Annotations" / "c.xml", []),
     check_inputs.Found(True, True, False), "not measured: the classifier on val, whose images lack tags"),
])  # fmt: skip
def test_what_cannot_be_measured_is_said(data, change, found, said, caplog):
    change(data)
    assert check(data) == found and said in caplog.text


def test_the_program_prints_shell_variables(data, tmp_path, capsys):
    words = ["--preset", "scenes", "--data", data, "--list", "train_aug", "--val-list", "val", "--output", tmp_path / "out"]
    words += ["--devices", "cpu", "--start", "resnet10=random"]
    check_inputs.main([str(word) for word in words])
    assert capsys.readouterr().out == "train_masks=yes\nval_masks=yes\nval_tags=yes\n"
    (data / "SegmentationClassAug" / "a.png").unlink()
    with pytest.raises(FileNotFoundError, match="no masks of every image, which are needed here .train_masks."):
        check_inputs.main([str(word) for word in [*words, "--needs", "train_masks"]])


def test_weights_that_do_not_fit_are_told(tmp_path):
    from cian.base.runtime import mx

    mx.nd.save(str(tmp_path / "w.params"), {"arg:conv0_weight": mx.nd.zeros((3, 3, 3, 3))})
    with pytest.raises(ValueError, match="w.params: not weights of resnet10: .* missing.*misshapen, such as conv0_weight"):
        check_inputs.check_weights([("resnet10", str(tmp_path / "w.params"))], "scenes")
    sizes = check_inputs.check_weights([("resnet10", "random")], "scenes")
    assert len(sizes) == 1 and 1e6 < sizes[0] < 1e8

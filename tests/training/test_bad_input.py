"""Odd and bad input to training, prediction and evaluation: the right result or an error that names the file.

For make_seeds.py see test_make_seeds.py, for pictures of any kind test_pictures.py, for the check of a data set test_check.py.
"""

import json
import os
import signal

import numpy as np
import pytest
from PIL import Image
from scripts import module_of, tool
from small_pictures import odd_image
from small_training import largest_difference
from voc_trees import write_annotation, write_dataset, write_image

from cian.base.files import read_json, write_text
from cian.base.stops import Interrupted
from cian.data.images import read_image, read_label, write_label
from cian.data.long_side import LongSideExamples
from cian.data.voc import open_dataset
from cian.models.checkpoint import read_params
from cian.training.tool import TrainingProgress

CAT = 8
ODD = {"grey": "grey", "cmyk": "CMYK", "black": "black", "alpha": "transparent", "palette": "palette", "one": (1, 1),
       "row": (1, 48), "column": (40, 1), "few": (3, 2)}  # fmt: skip
TRAINING = ["--preset", "scenes", "--backbone", "resnet10", "--epochs", "1", "--batch", "4", "--crop", "33", "--workers", "0"]


def label_of(height, width):
    label = np.zeros((height, width), np.uint8)
    label[height // 3 :, width // 3 :] = CAT
    return label


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A data set of unusual images, all of cats: the kinds above, 16-bit grey, and two common ones."""
    root = write_dataset(tmp_path_factory.mktemp("odd"), {"all": {i: label_of(40, 48) for i in [*ODD, "deep", "a", "b"]}})
    for name, kind in ODD.items():
        size = odd_image(kind, root / "JPEGImages" / f"{name}.jpg")
        write_label(root / "SegmentationClassAug" / f"{name}.png", label_of(*size))
    deep = np.random.RandomState(0).randint(0, 65536, (40, 48)).astype(np.uint16)
    Image.fromarray(deep).save(str(root / "JPEGImages" / "deep.jpg"), format="PNG")
    for name in ODD:
        write_annotation(root / "Annotations" / f"{name}.xml", ["cat"])  # the mask of one pixel shows it too
    return root


@pytest.fixture(scope="module")
def run(odd, tmp_path_factory):
    """Both trainings and both ways of predicting on the unusual images."""
    folder, data = tmp_path_factory.mktemp("run"), ["--data", odd, "--list", "all"]
    tool("train_cam", *TRAINING, *data, "--init", "random", "--val-list", "all", "--output", folder / "cam")
    masks = ["--seeds", odd / "SegmentationClassAug", "--output", folder / "seg"]
    tool("train", *TRAINING, *data, "--init", folder / "cam" / "cam_resnet10-0000.params", *masks)
    network = ["--preset", "scenes", "--backbone", "resnet10", "--checkpoint", folder / "seg" / "cian_resnet10-0000.params"]
    sizes = ["--test-size", 33, "--warp-size", 33, "--scales", "1", "--flip", "no", "--crf-iterations", 2]
    for fit in ("pad", "warp"):
        tool("predict", *network, *data, *sizes, "--fit", fit, "--output", folder / fit)
    return folder


def test_training_on_odd_images_stays_finite(run):
    for name in ("cam", "seg"):
        lines = (run / name / "log.jsonl").read_text(encoding="utf-8").splitlines()
        losses = [value for line in lines for key, value in json.loads(line).items() if "loss" in key]
        assert losses and np.isfinite(losses).all()
        arrays = read_params(next((run / name).glob("*.params"))).values()
        assert all(np.isfinite(array.asnumpy()).all() for array in arrays)
    assert read_json(run / "cam" / "tags.json")["ap"]["cat"] == pytest.approx(1)  # every image shows a cat


@pytest.mark.parametrize("fit", ["pad", "warp"])
@pytest.mark.parametrize("kind", ["pred", "pred_crf"])
def test_masks_of_odd_images_have_their_size(odd, run, fit, kind):
    dataset = open_dataset(odd)
    for image_id in dataset.read_ids("all"):
        mask = read_label(run / fit / kind / f"{image_id}.png")
        assert mask.shape == read_image(dataset.image_path(image_id)).shape[:2] and mask.max() <= 20


def test_masks_of_odd_images_are_measured(odd, run, tmp_path):
    ids, masks = odd / "ImageSets" / "Segmentation" / "all.txt", odd / "SegmentationClassAug"
    options = ["--ground-truth", masks, "--list", ids, "--json", tmp_path / "a.json", "--workers", 1]
    tool("evaluate", "--predictions", masks, *options)
    scores = read_json(tmp_path / "a.json")
    assert (scores["images"], scores["miou"], scores["iou"]["cat"]) == (12, 1, 1)


def test_grey_and_16_bit_images_are_predicted_like_the_same_in_rgb(odd, run, tmp_path):
    root = write_dataset(tmp_path / "data", {"all": {"grey": label_of(40, 48), "rgb": label_of(40, 48)}})
    values = np.random.RandomState(3).randint(0, 256, (40, 48)).astype(np.uint8)
    deep = (values.astype(np.uint16) << 8) + 77  # the low byte does not count
    Image.fromarray(deep).save(str(root / "JPEGImages" / "grey.jpg"), format="PNG")
    Image.fromarray(np.stack([values] * 3, axis=-1)).save(str(root / "JPEGImages" / "rgb.jpg"), format="PNG")
    network = ["--preset", "scenes", "--backbone", "resnet10", "--checkpoint", run / "seg" / "cian_resnet10-0000.params"]
    tool(
        "predict",
        *network,
        "--data",
        root,
        "--list",
        "all",
        "--test-size",
        33,
        "--crf-iterations",
        0,
        "--output",
        tmp_path / "o",
    )
    assert np.array_equal(read_label(tmp_path / "o" / "pred" / "grey.png"), read_label(tmp_path / "o" / "pred" / "rgb.png"))


def test_comnets_crops_of_odd_images(odd):
    examples = LongSideExamples(open_dataset(odd), 33, (20, 50))
    images, _ = examples.make_batch([*ODD, "deep"], [(0, order) for order in range(len(ODD) + 1)])
    assert images.shape == (10, 3, 33, 33) and np.isfinite(images).all() and images.min() >= 0 and images.max() <= 255


@pytest.fixture
def data(tmp_path):
    root = write_dataset(tmp_path / "data", {"all": {name: label_of(40, 48) for name in "abcdefgh"}})
    for order, name in enumerate("abcdefgh"):
        write_image(root / "JPEGImages" / f"{name}.jpg", 40, 48, seed=order)
    return root


def cut(path, length):
    path.write_bytes(path.read_bytes()[:length])


IMAGE, MASK, TAGS = "JPEGImages/c.jpg", "SegmentationClassAug/c.png", "Annotations/c.xml"
BAD_IMAGES = [
    (lambda root: write_annotation(root / TAGS, ["unicorn"]), "c.xml: unknown class 'unicorn', expected one of aeroplane"),
    (lambda root: write_annotation(root / TAGS, []), "c.xml: .*image without tags cannot be used"),
    (lambda root: (root / TAGS).unlink(), "c.xml: no such annotation file"),
    (lambda root: (root / IMAGE).unlink(), "c.jpg: no such image file"),
    (lambda root: (root / IMAGE).write_bytes(b""), "c.jpg: cannot be decoded as an image"),
    (lambda root: cut(root / IMAGE, 700), "c.jpg: cannot be decoded as an image"),
    (lambda root: write_text(root / "ImageSets" / "Segmentation" / "all.txt", ""), "all.txt: the list is empty"),
    (lambda root: write_text(root / "ImageSets" / "Segmentation" / "all.txt", "a\nb\n"), "no batch of 4 images"),
]
BAD_LABELS = [
    (lambda path: path.unlink(), "no file ID.png for 1 of 8 ids, such as c.png"),
    (lambda path: path.write_bytes(b""), "c.png: cannot be decoded as an image"),
    (lambda path: cut(path, 60), "c.png: cannot be decoded as an image"),
    (lambda path: write_label(path, label_of(40, 47)), r"c.png: expected the size of its image, \(40, 48\)"),
    (lambda path: write_label(path, np.full((40, 48), 21)), r"c.png: expected class indices 0..20 and 255, found \[21\]"),
    (lambda path: write_image(path, 40, 48), "c.png: label images are palette .* found mode RGB"),
    (lambda path: Image.fromarray(np.full((40, 48), 300, np.uint16)).save(str(path)), "c.png: expected class ind.* found 300"),
]


@pytest.mark.parametrize("change, message", BAD_IMAGES)
@pytest.mark.parametrize("name", ["train_cam", "train"])
def test_trainings_name_bad_images_and_tags(data, tmp_path, name, change, message):
    change(data)
    labels = ["--seeds", data / "SegmentationClassAug"] if name == "train" else []
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        tool(name, *TRAINING, "--data", data, "--list", "all", "--init", "random", "--output", tmp_path / "run", *labels)
    assert not list(tmp_path.glob("run/*.params"))


@pytest.mark.parametrize("change, message", BAD_LABELS)
def test_training_names_bad_labels(data, tmp_path, change, message):
    change(data / MASK)
    options = ["--data", data, "--list", "all", "--init", "random", "--seeds", data / "SegmentationClassAug"]
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        tool("train", *TRAINING, *options, "--output", tmp_path / "run")
    assert not list(tmp_path.glob("run/*.params"))


def test_errors_of_worker_processes_name_the_file_as_well(data, tmp_path):
    cut(data / IMAGE, 700)
    options = [*TRAINING[:-1], "1", "--data", data, "--list", "all", "--init", "random", "--output", tmp_path / "run"]
    with pytest.raises(ValueError, match="c.jpg: cannot be decoded as an image"):
        tool("train_cam", *options)


@pytest.mark.parametrize("change, message", [BAD_IMAGES[i] for i in (3, 4, 5, 6)])
def test_prediction_names_bad_images(run, data, tmp_path, change, message):
    change(data)
    network = ["--preset", "scenes", "--backbone", "resnet10", "--checkpoint", run / "seg" / "cian_resnet10-0000.params"]
    options = [
        "--data",
        data,
        "--list",
        "all",
        "--test-size",
        33,
        "--scales",
        "1",
        "--flip",
        "no",
        "--output",
        tmp_path / "out",
    ]
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        tool("predict", *network, *options, "--crf-iterations", 0)
    assert not (tmp_path / "out" / "pred" / "c.png").exists()


def test_filtering_by_tags_names_unknown_classes_before_anything_is_predicted(run, data, tmp_path):
    write_annotation(data / TAGS, ["unicorn"])
    network = ["--preset", "scenes", "--backbone", "resnet10", "--checkpoint", run / "seg" / "cian_resnet10-0000.params"]
    with pytest.raises(ValueError, match="c.xml: unknown class 'unicorn'"):
        tool("predict", *network, "--data", data, "--list", "all", "--filter-tags", "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_classifier_goes_on_to_the_same_parameters(data, tmp_path, monkeypatch, number):
    train_cam = module_of("train_cam")

    class Stopping(TrainingProgress):
        def __call__(self, epoch, step, count, loss):
            super().__call__(epoch, step, count, loss)
            if (epoch, step) == (1, 1):
                os.kill(os.getpid(), number)

    options = [
        str(word) for word in [*TRAINING, "--epochs", "2", "--data", data, "--list", "all", "--init", "random", "--output"]
    ]
    train_cam.main(options + [str(tmp_path / "whole")])
    with monkeypatch.context() as patched, pytest.raises(Interrupted, match="--resume goes on from here"):
        patched.setattr("cian.training.tool.TrainingProgress", Stopping)
        train_cam.main(options + [str(tmp_path / "stopped")])
    assert not (tmp_path / "stopped" / "cam_resnet10-0001.params").exists()
    with pytest.raises(FileExistsError, match="holds a run already; give --resume"):
        train_cam.main(options + [str(tmp_path / "stopped")])
    train_cam.main([*options, str(tmp_path / "stopped"), "--resume"])
    name = "cam_resnet10-0001.params"
    assert largest_difference(tmp_path / "whole" / name, tmp_path / "stopped" / name) == 0
    logs = [(tmp_path / folder / "log.jsonl").read_text(encoding="utf-8").splitlines() for folder in ("whole", "stopped")]
    steps = [[(line["epoch"], line["step"]) for line in map(json.loads, log)] for log in logs]
    assert steps[0] == steps[1] == [(0, 0), (0, 1), (1, 0), (1, 1)]

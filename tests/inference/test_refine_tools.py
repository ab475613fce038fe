"""train_irn.py and refine.py as users run them, on tiny generated images: labels, masks, going on, odd and bad input."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from scripts import tool
from small_training import ROOT, largest_difference

from cian.config import Refinement
from cian.data.boundary_examples import BoundaryExamples
from cian.data.cams import load_cam, save_cam
from cian.data.images import palette, read_image, read_label
from cian.data.voc import open_dataset
from cian.inference import refinement
from cian.inference.boundary import boundary_map, load_boundary_network
from cian.inference.cam_labels import confident_label
from cian.models.checkpoint import read_params
from cian.scenes.generate import generate

THRESHOLDS = ["--confident-foreground", "0.3", "--confident-background", "0.05"]
SMALL = [
    *THRESHOLDS,
    "--crop",
    "64",
    "--radius",
    "5",
    "--batch",
    "2",
    "--epochs",
    "2",
    "--label-crf-iterations",
    "2",
    "--workers",
    "1",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Five scenes of up to 72 pixels, and a CAM folder made from their masks: blurred, at stride 8."""
    root = tmp_path_factory.mktemp("data")
    generate(root, train=5, val=1, size=72, workers=1)
    dataset = open_dataset(root)
    for image_id in dataset.read_ids("train_aug"):
        truth = read_label(dataset.mask_path(image_id))
        classes = [int(c) for c in np.unique(truth) if 0 < c < 255]
        small = tuple((side - 1) // 8 + 1 for side in truth.shape[::-1])  # OpenCV wants (w, h)
        maps = [cv2.resize((truth == c).astype(np.float32), small, interpolation=cv2.INTER_AREA) for c in classes]
        save_cam(root / "cam" / f"{image_id}.npz", np.array(classes), np.stack([one / one.max() for one in maps]))
    return root


def train(data, output, *more):
    tool("train_irn", "--preset", "scenes", "--data", data, "--cams", data / "cam", "--init", "random", "--output", output,
         *SMALL, *more)  # fmt: skip


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("irn")
    train(data, folder)
    return folder


def test_training_writes_labels_log_and_checkpoints(data, trained):
    dataset = open_dataset(data)
    for image_id in dataset.read_ids("train_aug"):
        class_ids, maps = load_cam(data / "cam" / f"{image_id}.npz")
        expected = confident_label(read_image(dataset.image_path(image_id)), class_ids, maps, 0.3, 0.05, 2)
        np.testing.assert_array_equal(read_label(trained / "labels" / f"{image_id}.png"), expected)
    lines = [json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()]
    assert [(line["epoch"], line["step"]) for line in lines] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    terms = ("boundary_background", "boundary_foreground", "boundary_different")
    assert all(abs(line["loss"] - sum(line[term] for term in terms)) < 1e-6 for line in lines)
    first, last = (read_params(trained / f"irn_resnet10-000{epoch}.params") for epoch in (0, 1))
    changed = {name for name in first if not np.array_equal(first[name].asnumpy(), last[name].asnumpy())}
    assert changed == {name for name in first if name.startswith("boundary")}


def test_begun_again_it_ends_with_the_same_parameters(data, trained, tmp_path):
    """With one OpenMP thread bit-identical; with two a parameter once differed by 8e-8, by the order of some sum.

    Another draw of the images, or another order of them, changes parameters by more than 1e-3.
    """
    (tmp_path / "run").mkdir()
    for name in ("settings.json", "irn_resnet10-0000.params"):
        (tmp_path / "run" / name).write_bytes((trained / name).read_bytes())
    train(data, tmp_path / "run", "--resume")  # no state: from the start, with labels made again
    most = 0 if os.environ["OMP_NUM_THREADS"] == "1" else 1e-4  # cian.base.runtime sets it
    assert largest_difference(tmp_path / "run" / "irn_resnet10-0001.params", trained / "irn_resnet10-0001.params") <= most
    with pytest.raises(FileExistsError, match="holds a run already"):
        train(data, trained)
    with pytest.raises(ValueError, match="radius was 5, now 6"):
        train(data, trained, "--resume", "--radius", "6")


def test_starting_from_a_classifier(data, trained, tmp_path):
    """The features of a classifier's checkpoint are taken over, unchanged; its own layers are left out."""
    tool("train_cam", "--preset", "scenes", "--data", data, "--init", "random", "--output", tmp_path / "cam",
         "--epochs", "1", "--batch", "2", "--crop", "65", "--workers", "1")  # fmt: skip
    classifier = tmp_path / "cam" / "cam_resnet10-0000.params"
    tool("train_irn", "--preset", "scenes", "--data", data, "--cams", data / "cam", "--init", classifier,
         "--output", tmp_path / "irn", *SMALL, "--epochs", "1")  # fmt: skip
    given, found = read_params(classifier), read_params(tmp_path / "irn" / "irn_resnet10-0000.params")
    shared = set(given) & set(found)
    assert set(given) - shared == {"classifier_weight"} and {name[:8] for name in set(found) - shared} == {"boundary"}
    assert all(np.array_equal(given[name].asnumpy(), found[name].asnumpy()) for name in shared)


def refine(data, output, *more):
    tool("refine", "--preset", "scenes", "--data", data, "--cams", data / "cam", "--output", output, "--workers", "1", *more)
    return {path.stem: read_label(path) for path in sorted(output.glob("*.png"))}


@pytest.mark.parametrize("method", ["none", "crf", "walk", "walk+crf"])
def test_masks_of_every_method(data, trained, tmp_path, method):
    walk = ["--checkpoint", trained / "irn_resnet10-0001.params"] if method.startswith("walk") else []
    masks = refine(data, tmp_path / "masks", "--refine", method, *walk, "--pictures", "2")
    dataset = open_dataset(data)
    ids = dataset.read_ids("train_aug")
    assert sorted(masks) == sorted(ids)
    net = load_boundary_network(trained / "irn_resnet10-0001.params") if walk else None
    settings = Refinement.preset("scenes")
    for image_id, mask in masks.items():
        class_ids, maps = load_cam(data / "cam" / f"{image_id}.npz")
        image = read_image(dataset.image_path(image_id))
        boundary = boundary_map(net, image, settings.boundary_size) if walk else None
        expected = refinement.refine(image, class_ids, maps, method, settings, boundary)
        np.testing.assert_array_equal(mask, expected)
        truth = read_label(dataset.mask_path(image_id))
        assert walk or (mask == truth)[truth != 255].mean() > 0.7  # the maps are made from the truth
    sheet = read_image(tmp_path / "masks" / "pictures" / "sheet.png")
    assert min(sheet.shape[:2]) > 300 and len(np.unique(sheet.reshape(-1, 3), axis=0)) > 100
    drawn = [colour for colour in palette()[np.unique(masks[ids[0]])] if (sheet == colour).all(2).any()]
    assert len(drawn) >= 2  # background and a class


def test_masks_are_kept_and_another_method_is_refused(data, tmp_path):
    refine(data, tmp_path, "--refine", "none")
    first = sorted(tmp_path.glob("*.png"))[0]
    first.unlink()
    marked = sorted(tmp_path.glob("*.png"))[0]
    before = marked.stat().st_mtime_ns
    again = refine(data, tmp_path, "--refine", "none")
    assert first.exists() and len(again) == 5 and marked.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="holds files of another checkpoint or other settings"):
        refine(data, tmp_path, "--refine", "none", "--cam-threshold", "0.4")


def test_masks_train_the_segmentation_network(data, tmp_path):
    refine(data, tmp_path / "masks", "--refine", "none")
    small = ["--epochs", "1", "--batch", "2", "--crop", "65", "--workers", "1", "--grouping", "random"]
    tool("train", "--preset", "scenes", "--data", data, "--seeds", tmp_path / "masks", "--init", "random",
         "--output", tmp_path / "run", *small)  # fmt: skip
    assert (tmp_path / "run" / "cian_resnet10-0000.params").exists()


@pytest.mark.parametrize(
    "kind, message, arguments",
    [
        (FileNotFoundError, "nowhere: no file ID.npz for 5 of 5 ids", ["refine", "--refine", "none", "--cams", "nowhere"]),
        (ValueError, "crop: 60, expected at least 76 pixels for radius 10", ["train_irn", "--crop", "60"]),
        (ValueError, "crop: 100, expected a multiple of 16 pixels", ["train_irn", "--crop", "100"]),
        (ValueError, r"train_scales: \(1.0, 2.0, 3.0\), expected two factors", ["train_irn", "--train-scales", "1,2,3"]),
        (ValueError, "backbone: 'vgg16', expected one of", ["train_irn", "--backbone", "vgg16"]),
    ],
)
def test_bad_input_is_named_before_anything_is_written(data, tmp_path, kind, message, arguments):
    name, *options = arguments
    options = (["--init", "random"] if name == "train_irn" else []) + options
    with pytest.raises(kind, match=message):
        tool(name, "--preset", "scenes", "--data", data, "--cams", data / "cam", "--output", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (["--refine", "walk"], "--checkpoint goes with --refine walk and walk+crf"),
        (["--refine", "none", "--checkpoint", "a"], "--checkpoint goes with --refine walk and walk+crf"),
        (["--refine", "none", "--pictures", "-1"], "--pictures: expected 0 or more"),
    ],
)
def test_options_that_do_not_go_together(data, tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as stop:
        refine(data, tmp_path / "out", *options)
    assert stop.value.code == 2 and message in capsys.readouterr().err


def test_an_error_is_one_line(data, tmp_path):
    words = [sys.executable, ROOT / "tools" / "refine.py", "--preset", "scenes", "--data", data, "--cams", data / "cam",
             "--refine", "walk", "--checkpoint", tmp_path / "no.params", "--output", tmp_path / "out"]  # fmt: skip
    result = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=300)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert [line for line in result.stderr.splitlines() if "no.params" in line and line.startswith("error: ")]


def test_examples_show_image_and_label_alike(data, trained):
    """Label cells agree with the full label at the pixel in their middle, for every window, scale and mirror."""
    dataset = open_dataset(data)
    image_id = dataset.read_ids("train_aug")[0]
    labels = data / "SegmentationClassAug"
    examples = BoundaryExamples(dataset, labels, 96, (1.0, 1.0), (1.0, 2.0, 3.0))
    image, truth = read_image(dataset.image_path(image_id)), read_label(labels / f"{image_id}.png")
    (height, width), seen = truth.shape, set()
    for key in range(12):
        window, label = examples.make(image_id, key)
        assert window.shape == (3, 96, 96) and label.shape == (24, 24)
        inside = (window.transpose(1, 2, 0) != (1, 2, 3)).any(2)
        top, left = (int(np.argmax(inside.any(axis))) for axis in (1, 0))
        place = slice(top, top + height), slice(left, left + width)
        for mirrored in (False, True):
            view, its_truth = (image[:, ::-1], truth[:, ::-1]) if mirrored else (image, truth)
            if np.array_equal(window[(slice(None), *place)], view.transpose(2, 0, 1)):
                full = np.full((96, 96), 255)
                full[place] = its_truth
                np.testing.assert_array_equal(label, full[2::4, 2::4])
                seen.add((mirrored, top, left))
    assert len(seen) == 12 and {mirrored for mirrored, _, _ in seen} == {False, True}

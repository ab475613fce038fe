"""COCO's 81 classes through every tool, from its annotation files to masks, scores, pictures and exports."""

import csv

import cv2
import numpy as np
import pytest
from coco_files import INDICES, NAMES, write_coco
from scripts import tool

from cian.base.files import read_json, write_text
from cian.data.cams import load_cam
from cian.data.images import read_image, read_label, write_label
from cian.data.voc import VOC_CLASSES, open_dataset
from cian.evaluation.metrics import Scores
from cian.evaluation.seeds import THRESHOLDS, Curve, write_curve
from cian.export.predictor import Predictor
from cian.inference.crf import dense_crf
from cian.models.checkpoint import read_params
from cian.scenes.generate import draw_scene
from cian.scenes.objects import KINDS

TRAINING = ["--preset", "scenes", "--backbone", "resnet10", "--epochs", "1", "--batch", "4", "--crop", "49", "--workers", "0"]


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Folders of the prepared data and of a run of all stages on it, an epoch each."""
    folder, data, run = (tmp_path_factory.mktemp(name) for name in ("archive", "data", "run"))
    write_coco(folder, train=13, val=4)
    arguments = ["--images", folder, "--annotations", folder, "--output", data, "--link", "copy", "--workers", 1]
    assert tool("prepare_data", "coco", *arguments, "--expect-train", 12, "--expect-val", 3) == 0
    for split in ("train", "val"):
        assert tool("prepare_data", "check", "--data", data, "--list", split, "--workers", 1) == 0
    given = ["--data", data, "--list", "train"]
    tool("train_cam", *TRAINING, *given, "--init", "random", "--val-list", "val", "--output", run / "cam")
    classifier = run / "cam" / "cam_resnet10-0000.params"
    network = ["--preset", "scenes", "--backbone", "resnet10"]
    tool("make_seeds", *network, *given, "--checkpoint", classifier, "--output", run / "seeds", "--workers", 1)
    tool("train", *TRAINING, *given, "--init", classifier, "--seeds", run / "seeds" / "seeds", "--output", run / "round1")
    checkpoint = ["--checkpoint", run / "round1" / "cian_resnet10-0000.params", "--data", data]
    tool("predict", *network, *checkpoint, "--output", run / "val", "--test-size", 81, "--crf-iterations", 1)
    ids = data / "ImageSets" / "Segmentation" / "val.txt"
    truth = ["--ground-truth", data / "SegmentationClass", "--workers", 1]
    tool("evaluate", "--predictions", run / "val" / "pred_crf", *truth, "--list", ids, "--json", run / "val.json")
    ids = data / "ImageSets" / "Segmentation" / "train.txt"
    tool("evaluate", "--seeds", "--predictions", run / "seeds" / "seeds", *truth, "--list", ids, "--json", run / "seeds.json")
    tool("evaluate", "--cams", run / "seeds" / "cam", *truth, "--list", ids, "--curve", run / "curve")
    tool("report", "--seeds", run / "seeds", *given, "--images", 2, "--workers", 1)
    return data, run


def test_the_networks_have_as_many_outputs_as_the_data_has_classes(job):
    cam, cian = (read_params(job[1] / name) for name in ("cam/cam_resnet10-0000.params", "round1/cian_resnet10-0000.params"))
    assert cam["classifier_weight"].shape[0] == 80 and cian["fc1_weight"].shape[0] == 81


def test_the_classifier_is_measured_on_80_classes(job):
    measured = read_json(job[1] / "cam" / "tags.json")
    dataset = open_dataset(job[0])
    present = set().union(*dataset.read_tags(dataset.read_ids("val")).values())
    assert tuple(measured["ap"]) == tuple(NAMES[1:])
    assert {name for name, value in measured["ap"].items() if value is not None} == {NAMES[index] for index in present}


def test_seeds_and_maps_are_of_the_images_own_classes(job):
    dataset = open_dataset(job[0])
    found = set()
    for image_id, own in dataset.read_tags(dataset.read_ids("train")).items():
        assert tuple(load_cam(job[1] / "seeds" / "cam" / f"{image_id}.npz")[0]) == own
        seed = read_label(job[1] / "seeds" / "seeds" / f"{image_id}.png")
        assert set(np.unique(seed)) <= {0, 255, *own}
        found.update(own)
    assert found == set(INDICES.values()) and max(found) == 80


def test_scores_name_81_classes_and_equal_a_slow_count(job):
    dataset, scores = open_dataset(job[0]), read_json(job[1] / "val.json")
    assert tuple(scores["iou"]) == tuple(NAMES)
    right, union = np.zeros(81), np.zeros(81)
    for image_id in dataset.read_ids("val"):
        truth = read_label(dataset.mask_path(image_id))
        found = read_label(job[1] / "val" / "pred_crf" / f"{image_id}.png")
        assert found.max() <= 80
        for index in range(81):
            right[index] += ((truth == index) & (found == index)).sum()
            union[index] += (((truth == index) | (found == index)) & (truth != 255)).sum()
    for index, name in enumerate(NAMES):
        assert scores["iou"][name] == (pytest.approx(right[index] / union[index]) if union[index] else None)


def test_the_curve_has_a_column_a_class(job):
    with open(str(job[1] / "curve.csv"), newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0][4:] == NAMES and len(rows) == 1 + len(THRESHOLDS)
    assert all(row[4 + 80] != "" for row in rows[1:]) and all(row[4 + 1] == "" for row in rows[1:])


@pytest.mark.parametrize("classes, columns", [(VOC_CLASSES, 1), (tuple(NAMES), 4)])
def test_the_curves_legend_fits_the_picture(tmp_path, classes, columns):
    """Nothing is drawn at the picture's edge, and it is wide enough for the columns of the legend."""
    random = np.random.RandomState(0)
    count = len(classes)
    scores = [Scores(classes, random.randint(1, 9, (count, count + 1)), 1) for _ in range(2)]
    write_curve(tmp_path / "curve", Curve((0.2, 0.4), tuple(scores)))
    picture = read_image(tmp_path / "curve.png")
    edges = [picture[0], picture[-1], picture[:, 0], picture[:, -1]]
    assert all((edge == 255).all() for edge in edges) and picture.shape[1] == pytest.approx(130 * (5.6 + 1.6 * columns), abs=2)


def test_predicting_with_a_network_of_other_classes_is_refused(job, tmp_path):
    write_text(job[0] / "classes.txt", "\n".join(NAMES + ["one more"]) + "\n")
    options = ["--preset", "scenes", "--backbone", "resnet10", "--data", job[0], "--output", tmp_path / "out"]
    try:
        with pytest.raises(ValueError, match=r": 82 classes, .*round1/settings\.json says 81"):
            tool("predict", *options, "--checkpoint", job[1] / "round1" / "cian_resnet10-0000.params")
        with pytest.raises(ValueError, match=r"82 classes, .*cam/settings\.json says 81"):
            classifier = job[1] / "cam" / "cam_resnet10-0000.params"
            tool("make_seeds", *options, "--list", "val", "--checkpoint", classifier)
    finally:
        write_text(job[0] / "classes.txt", "\n".join(NAMES) + "\n")
    assert not (tmp_path / "out" / "pred").exists()


def test_masks_beyond_the_data_sets_classes_are_refused(job, tmp_path):
    image_id = open_dataset(job[0]).read_ids("val")[0]
    masks = job[0] / "SegmentationClass"
    write_label(tmp_path / f"{image_id}.png", np.full(read_label(masks / f"{image_id}.png").shape, 81))
    write_text(tmp_path / "ids.txt", f"{image_id}\n")
    options = ["--ground-truth", masks, "--list", tmp_path / "ids.txt", "--workers", 1]
    with pytest.raises(ValueError, match="expected values 0..80, found "):
        tool("evaluate", "--predictions", tmp_path, *options)


def test_comnet_and_the_random_walk_with_80_classes(job, tmp_path):
    given = ["--data", job[0], "--list", "train"]
    tool("train_cam", "--method", "comnet", *TRAINING[:-4], "--workers", 0, "--matching", "both", *given, "--init", "random",
         "--output", tmp_path / "net")  # fmt: skip
    classifier = tmp_path / "net" / "comnet_resnet10-0000.params"
    assert read_params(classifier)["classifier_weight"].shape[0] == 80
    options = ["--preset", "scenes", *given]
    tool("make_seeds", "--method", "comnet", *options, "--checkpoint", classifier, "--cams-only", "--output", tmp_path / "maps",
         "--workers", 1)  # fmt: skip
    cams = ["--cams", tmp_path / "maps" / "cam"]
    tool("train_irn", *options, *cams, "--backbone", "resnet10", "--crop", 64, "--radius", 5, "--batch", 4, "--epochs", 1,
         "--init", classifier, "--label-crf-iterations", 1, "--workers", 1, "--output", tmp_path / "walk")  # fmt: skip
    tool("refine", *options, *cams, "--refine", "walk", "--checkpoint", tmp_path / "walk" / "irn_resnet10-0000.params",
         "--output", tmp_path / "masks", "--workers", 1)  # fmt: skip
    dataset = open_dataset(job[0])
    found = set()
    for image_id, own in dataset.read_tags(dataset.read_ids("train")).items():
        mask = read_label(tmp_path / "masks" / f"{image_id}.png")
        assert mask.shape == read_label(dataset.mask_path(image_id)).shape and set(np.unique(mask)) <= {0, *own}
        found.update(np.unique(mask))
    assert max(found) > 20


def test_only_vocs_classes_are_submitted(job, tmp_path):
    options = ["--preset", "scenes", "--backbone", "resnet10", "--data", job[0], "--output", tmp_path / "out"]
    with pytest.raises(ValueError, match="the server knows VOC's 21 classes, the data set has background, other thing 1"):
        tool("predict", *options, "--checkpoint", "x.params", "--submission", tmp_path / "a.tgz")


def test_exports_bring_their_81_names(job, tmp_path):
    checkpoint = ["--checkpoint", job[1] / "round1" / "cian_resnet10-0000.params", "--backbone", "resnet10"]
    tool(
        "export",
        *checkpoint,
        "--output",
        tmp_path / "named",
        "--classes",
        job[0] / "classes.txt",
        "--labels",
        "--size",
        "65,65",
    )
    predictor = Predictor(tmp_path / "named")
    assert tuple(predictor.classes) == tuple(NAMES)
    picture = read_image(open_dataset(job[0]).image_path(open_dataset(job[0]).read_ids("val")[0]))
    label = predictor(picture).label
    assert label.shape == picture.shape[:2] and label.max() <= 80
    with pytest.raises(ValueError, match="classes: 21 names, the checkpoint has 81 classes"):
        tool("export", *checkpoint, "--output", tmp_path / "voc", "--classes", ",".join(VOC_CLASSES))


def test_the_pruned_crf_is_near_exact_with_81_classes():
    scene = draw_scene("train_00010", 120)
    logits = np.random.RandomState(0).normal(0, 0.7, (81,) + scene.label.shape).astype(np.float32)
    for number, kind in enumerate(KINDS, 1):
        logits[INDICES[kind]] += 3 * cv2.blur((scene.label == number).astype(np.float32), (9, 9))
    logits[0] += 2.5 * cv2.blur((scene.label == 0).astype(np.float32), (9, 9))
    exact = dense_crf(scene.image, logits, 5)
    shown = {0, *(INDICES[kind] for kind, _ in scene.objects)}
    assert set(np.unique(exact)) == shown and len(shown) > 2
    assert (dense_crf(scene.image, logits, 5, "pruned") == exact).mean() > 0.9995

"""The main job's tools one after the other on a few generated scenes, as experiments/quickstart.sh calls them."""

from pathlib import Path

import numpy as np
import pytest
from scripts import module_of, tool

from cian.base.files import read_json
from cian.base.runtime import mx
from cian.config import Segmentation
from cian.data.cams import load_cam
from cian.data.images import read_image, read_label, write_label
from cian.data.voc import open_dataset
from cian.figures.main_job import iou_note, seed_note
from cian.models.checkpoint import read_params
from cian.models.weight_cache import choose
from cian.scenes.generate import generate
from cian.training.objectives import SegmentationObjective


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Folder of the data and folder of a finished main job: one epoch each, so the masks are poor but everything is there."""
    data, run = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("run")
    generate(data, train=8, val=4, size=80, workers=1)
    common = ["--preset", "scenes", "--data", data]
    backbone = ["--backbone", "resnet10"]
    small = ["--epochs", "1", "--batch", "8", "--crop", "65", "--workers", "1"]
    masks, val = data / "SegmentationClassAug", data / "ImageSets" / "Segmentation" / "val.txt"
    tool("train_cam", *common, *backbone, *small, "--init", "random", "--output", run / "cam", "--val-list", "val")
    classifier = run / "cam" / "cam_resnet10-0000.params"
    make_seeds = ["make_seeds", *common, *backbone, "--checkpoint", classifier]
    tool(*make_seeds, "--list", "train_aug", "--output", run / "seeds")
    start, seeds, more = classifier, run / "seeds" / "seeds", []
    for name in ("round1", "round2"):
        tool("train", *common, *backbone, *small, "--init", start, "--seeds", seeds, "--output", run / name, *more)
        start = run / name / "cian_resnet10-0000.params"
        tool("predict", *common, *backbone, "--checkpoint", start, "--output", run / name / "val")
        for kind, file in (("pred", "val.json"), ("pred_crf", "val_crf.json")):
            tool("evaluate", "--predictions", run / name / "val" / kind, "--ground-truth", masks, "--list", val,
                 "--json", run / name / file)
        if name == "round1":
            tool("predict", *common, *backbone, "--list", "train_aug", "--checkpoint", start, "--output", run / name / "train",
                 "--fit", "labels", "--filter-tags", "--crf-iterations", "2")
            seeds, more = run / name / "train" / "pred_crf", ["--round", "2"]
    chosen = run / "sheet.txt"
    tool("report", "--run", run, "--data", data, "--choose", chosen)
    tool(*make_seeds, "--list", chosen, "--output", run / "sheet")
    tool("report", "--run", run, "--data", data, "--sheet-list", chosen)
    tool("draw", "affinity", "--data", data, "--checkpoint", start, "--count", "1", "--html", "--devices", "cpu",
         "--output", run / "affinity")
    return data, run


def test_seeds_hold_the_images_own_classes(job):
    dataset, run = open_dataset(job[0]), job[1]
    tags = dataset.read_tags(dataset.read_ids("train_aug"))
    for image_id, own in tags.items():
        seed = read_label(run / "seeds" / "seeds" / f"{image_id}.png")
        assert seed.shape == read_image(dataset.image_path(image_id)).shape[:2]
        assert set(np.unique(seed)) <= {0, 255, *own}
        assert tuple(load_cam(run / "seeds" / "cam" / f"{image_id}.npz")[0]) == own


def test_run_folders_say_what_they_are(job):
    settings = [read_json(job[1] / name / "settings.json") for name in ("round1", "round2")]
    assert [s["settings"]["round"] for s in settings] == [1, 2]
    assert settings[1]["init"].endswith("round1/cian_resnet10-0000.params")
    for key in ("command", "commit", "machine", "versions"):
        assert key in settings[0]["circumstances"]


def test_only_round_one_zeroes_the_gamma(job):
    train, checkpoint = module_of("train"), job[1] / "round1" / "cian_resnet10-0000.params"
    learned = read_params(checkpoint)["bn_out_gamma"].asnumpy()
    assert learned.any()
    for number, wanted in ((1, np.zeros_like(learned)), (2, learned)):
        settings = Segmentation.preset("scenes", round=number)
        net = SegmentationObjective(settings, 7, [mx.cpu()]).net
        train.start_network(net, choose(checkpoint, "resnet10"), settings, False)
        assert np.array_equal(net.collect_params()["bn_out_gamma"].data().asnumpy(), wanted)


def test_scores_equal_a_slow_count(job):
    data, run = job
    dataset = open_dataset(data)
    right, union = np.zeros(7), np.zeros(7)
    for image_id in dataset.read_ids("val"):
        truth = read_label(dataset.mask_path(image_id))
        found = read_label(run / "round2" / "val" / "pred_crf" / f"{image_id}.png")
        for c in range(7):
            right[c] += ((truth == c) & (found == c)).sum()
            union[c] += (((truth == c) | (found == c)) & (truth != 255)).sum()
    scores = read_json(run / "round2" / "val_crf.json")
    for c, name in enumerate(dataset.classes):
        assert scores["iou"][name] == (pytest.approx(right[c] / union[c]) if union[c] else None)
    assert scores["miou"] == pytest.approx(np.mean(right[union > 0] / union[union > 0]))


def test_filtered_masks_hold_the_images_own_classes(job):
    dataset = open_dataset(job[0])
    for image_id, own in dataset.read_tags(dataset.read_ids("train_aug")).items():
        assert set(np.unique(read_label(job[1] / "round1" / "train" / "pred" / f"{image_id}.png"))) <= {0, *own}
    assert read_json(job[1] / "round1" / "train" / "predict.json")["fit"] == "pad"  # `labels`: what the preset says


def test_the_summary_shows_what_was_measured(job):
    table = (job[1] / "summary.md").read_text()
    miou = read_json(job[1] / "round2" / "val.json")["miou"]
    assert f"| round two | no | {100 * miou:.1f} |" in table and "true masks" not in table


def test_the_sheet_shows_the_best_the_middle_and_the_worst(job):
    dataset, run = open_dataset(job[0]), job[1]
    scores = {}
    for name in dataset.read_ids("val"):
        truth, found = read_label(dataset.mask_path(name)), read_label(run / "round2" / "val" / "pred_crf" / f"{name}.png")
        counted = truth != 255
        inside = [(truth == c, (found == c) & counted) for c in set(np.unique(truth)) - {255}]
        scores[name] = np.mean([(a & b).sum() / (a | b).sum() for a, b in inside])
    order = sorted(scores, key=lambda name: (-scores[name], name))
    assert (run / "sheet.txt").read_text().split() == [order[0], order[2], order[3]]
    page = read_image(run / "sheet.png")
    assert page.shape[1] == 10 + 6 * 250 and page.shape[0] < 4 * 250
    assert iou_note(scores[order[0]]) == f"IoU {100 * scores[order[0]]:.0f} %" and iou_note(float("nan")) == ""


def test_a_page_of_the_affinity_is_made(job):
    (page,) = (job[1] / "affinity").glob("affinity_val_*_val_*.html")
    text = page.read_text(encoding="utf-8")
    assert len(text) < 1_000_000 and str(job[1] / "round2" / "cian_resnet10-0000.params") in text


def test_seeds_are_told_by_what_is_right():
    truth, seed = np.array([[1, 1, 0, 0, 255]], np.uint8), np.array([[1, 255, 1, 0, 1]], np.uint8)
    assert seed_note(truth, seed, ("a", "b")) == "75 % labelled, 67 % of it right"
    assert seed_note(truth, np.full((1, 5), 255, np.uint8), ("a", "b")) == "nothing labelled"


def test_predicting_again_keeps_what_is_there_and_refuses_another_checkpoint(job):
    data, run = job
    folder = run / "round1" / "val"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.png")}
    options = ["--preset", "scenes", "--data", data, "--backbone", "resnet10", "--output", folder, "--checkpoint"]
    missing = sorted((folder / "pred").iterdir())[0]
    missing.unlink()
    tool("predict", *options, run / "round1" / "cian_resnet10-0000.params")
    assert missing.exists()
    assert all(path.stat().st_mtime_ns == time for path, time in before.items() if path.stem != missing.stem)
    with pytest.raises(ValueError, match="holds files of another checkpoint"):
        tool("predict", *options, run / "round2" / "cian_resnet10-0000.params")


def test_training_without_labels_names_the_folder(job, tmp_path):
    data, run = job
    write_label(tmp_path / "x.png", np.zeros((2, 2)))
    with pytest.raises(FileNotFoundError, match="no file ID.png for 8 of 8 ids"):
        options = ["--preset", "scenes", "--data", data, "--init", "random", "--output", tmp_path / "run"]
        tool("train", *options, "--seeds", tmp_path)
    assert not Path(tmp_path / "run").exists()

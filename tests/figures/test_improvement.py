"""Masks of two runs compared image by image, by hand."""

import math

import numpy as np
import pytest
from voc_trees import write_dataset

from cian.data.images import write_label
from cian.data.voc import VOC_CLASSES, VOCDataset
from cian.figures import improvement
from cian.figures.sheet import palette

CAT, DOG = 8, 12
TRUTH = np.array([[0, 0, CAT, CAT, 255]], np.uint8)
HALF = np.array([[0, 0, 0, CAT, CAT]], np.uint8)
WRONG = np.array([[0, 0, DOG, DOG, DOG]], np.uint8)


def test_comparison_by_hand():
    found = improvement.compare_masks(TRUTH, HALF, TRUTH.clip(0, 20), 21)
    assert found.shown == (0, CAT)
    assert (found.baseline, found.ours) == pytest.approx(((2 / 3 + 1 / 2) / 2, 1))
    assert found.difference == pytest.approx(1 - 7 / 12)
    assert found.counts.shape == (2, 21, 22) and found.counts[0, CAT, CAT] == 1 and found.counts.sum() == 8
    wrong = improvement.compare_masks(TRUTH, HALF, WRONG, 21)
    assert wrong.ours == pytest.approx(0.5)  # cat 0, background 1; dog does not enter the mean
    only = improvement.compare_masks(TRUTH, HALF, WRONG, 21, chosen={CAT, DOG})
    assert only.shown == (CAT,) and (only.baseline, only.ours) == (0.5, 0)
    nothing = improvement.compare_masks(np.full((1, 5), 255, np.uint8), HALF, WRONG, 21)
    assert math.isnan(nothing.difference) and nothing.shown == ()
    with pytest.raises(ValueError, match=r"ours: expected the truth's shape \(1, 5\), found \(1, 4\)"):
        improvement.compare_masks(TRUTH, HALF, HALF[:, :4], 21)


def comparisons(**differences):
    return {name: improvement.Comparison(0.5, 0.5 + d, (0,), np.zeros((2, 2, 3))) for name, d in differences.items()}


def test_choice():
    compared = comparisons(a=0.1, b=-0.2, c=0.3, d=0.0, e=-0.1, f=math.nan, g=0.3)
    chosen = improvement.choose(compared, 2, seed=1)
    assert chosen["improved"] == ["c", "g"] and chosen["worst"] == ["b", "e"]
    assert len(set(chosen["random"])) == 2 and chosen["random"] == sorted(chosen["random"])
    assert chosen == improvement.choose(dict(reversed(list(compared.items()))), 2, seed=1)
    everything = improvement.choose(compared, 10)
    assert everything == {"improved": ["c", "g", "a"], "random": list("abcdeg"), "worst": ["b", "e"]}
    assert len({tuple(improvement.choose(compared, 2, seed)["random"]) for seed in range(9)}) > 1


@pytest.fixture
def folders(tmp_path):
    """A data set of two images, and masks of two runs."""
    shapes = {"one": TRUTH.repeat(6, axis=0), "two": np.full((6, 8), DOG, np.uint8)}
    root = write_dataset(tmp_path / "data", {"val": shapes})
    write_label(tmp_path / "a" / "one.png", HALF.repeat(6, axis=0))
    write_label(tmp_path / "b" / "one.png", TRUTH.repeat(6, axis=0).clip(0, 20))
    write_label(tmp_path / "a" / "two.png", np.full((6, 8), DOG))
    write_label(tmp_path / "b" / "two.png", np.full((6, 8), CAT))
    return VOCDataset(root), tmp_path / "a", tmp_path / "b"


def test_folders(folders):
    dataset, baseline, ours = folders
    done = []
    compared = improvement.compare_folders(
        baseline, ours, dataset.mask_folder, ["two", "one"], 21, workers=1, progress=done.append
    )
    assert list(compared) == ["two", "one"] and sum(done) == 2
    assert improvement.as_csv(compared, VOC_CLASSES).splitlines() == [
        "id,classes,baseline,ours,difference",
        "two,dog,1.000000,0.000000,-1.000000",
        "one,background cat,0.583333,1.000000,0.416667",
    ]
    before, after = improvement.total_scores(compared, VOC_CLASSES)
    assert before.iou[[0, CAT, DOG]] == pytest.approx([12 / 18, 6 / 12, 1])
    assert after.iou[[0, CAT, DOG]] == pytest.approx([1, 12 / 60, 0])
    assert before.images == 2
    (ours / "one.png").unlink()
    with pytest.raises(FileNotFoundError, match="one.png"):
        improvement.compare_folders(baseline, ours, dataset.mask_folder, ["one"], 21, workers=1)


def test_sheet(folders):
    dataset, baseline, ours = folders
    compared = improvement.compare_folders(baseline, ours, dataset.mask_folder, ["one", "two"], 21, workers=1)
    page = improvement.draw_comparison(dataset, baseline, ours, ["two", "one"], compared)
    is_dog, is_cat = ((page == palette()[index]).all(axis=2) for index in (DOG, CAT))
    rows, columns = np.nonzero(is_dog[: page.shape[0] // 2])
    cell = 240 + 10
    assert columns.min() >= cell and columns.max() < 3 * cell  # truth and baseline of `two`
    assert is_cat[: page.shape[0] // 2, 3 * cell :].sum() > 10000  # ours of `two`

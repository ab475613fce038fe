"""Scores against hand-computed tables and a slow oracle; every kind of wrong file is named."""
import numpy as np
import pytest
from PIL import Image

from cian.data.images import write_label
from cian.evaluation.metrics import Scores, average_precision, confusion_matrix, evaluate_folder, mean_average_precision

NAMES = ("background", "cat", "dog")
TRUTH = np.array([[0, 0, 0, 1, 1], [0, 255, 2, 1, 1]], np.uint8)
PREDICTION = np.array([[0, 1, 0, 1, 1], [0, 2, 2, 2, 1]], np.uint8)


def scores_of(truth=TRUTH, prediction=PREDICTION, names=NAMES, seeds=False):
    return Scores(names, confusion_matrix(truth, prediction, len(names), seeds), 1)


def test_confusion_matrix_by_hand():
    counts = confusion_matrix(TRUTH, PREDICTION, 3)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, [[3, 1, 0, 0], [0, 3, 1, 0], [0, 0, 1, 0]])


@pytest.mark.parametrize("classes", [1, 7, 21, 81, 255])
def test_confusion_matrix_against_a_loop(classes):
    rng = np.random.default_rng(classes)
    truth = rng.integers(0, classes, (17, 13)).astype(np.uint8)
    truth[rng.random(truth.shape) < 0.2] = 255
    prediction = rng.integers(0, classes, truth.shape).astype(np.uint8)
    prediction[rng.random(truth.shape) < 0.3] = 255
    expected = np.zeros((classes, classes + 1), np.int64)
    for t, p in zip(truth.ravel(), prediction.ravel()):
        if t != 255:
            expected[t, classes if p == 255 else p] += 1
    np.testing.assert_array_equal(confusion_matrix(truth, prediction, classes, seeds=True), expected)


def test_scores_by_hand():
    scores = scores_of()
    np.testing.assert_allclose(scores.iou, [3 / 4, 3 / 5, 1 / 2])
    np.testing.assert_allclose(scores.precision, [3 / 3, 3 / 4, 1 / 2])
    np.testing.assert_allclose(scores.recall, [3 / 4, 3 / 4, 1 / 1])
    assert scores.mean_iou() == pytest.approx((3 / 4 + 3 / 5 + 1 / 2) / 3)
    assert scores.mean_iou(["background", "dog"]) == pytest.approx((3 / 4 + 1 / 2) / 2)


def test_counts_are_exact_where_float32_is_not():
    big = 2 ** 24 + 1  # float32 would give 2 ** 24
    scores = Scores(NAMES[:2], np.array([[big, 0, 0], [1, big, 0]], np.int64), 1)
    assert scores.predicted[0] == big + 1 and scores.truth[0] == big


def test_class_without_pixels_is_nan_and_left_out():
    scores = scores_of(np.zeros((2, 2), np.uint8), np.array([[0, 0], [0, 2]], np.uint8))
    assert np.isnan(scores.iou[1]) and np.isnan(scores.precision[1]) and np.isnan(scores.recall[1])
    assert scores.iou[2] == 0 and np.isnan(scores.recall[2])  # predicted but not there: wrong, not absent
    assert scores.mean_iou() == pytest.approx((3 / 4 + 0) / 2)
    assert scores.absent() == ["cat"] and scores.absent(["dog"]) == []
    assert np.isnan(scores.mean_iou(["cat"]))
    with pytest.raises(ValueError, match="no class named cow; there are background, cat, dog"):
        scores.mean_iou(["cow"])


def test_seed_scores_by_hand():
    seed = np.array([[0, 255, 0, 1, 255], [0, 2, 2, 2, 255]], np.uint8)
    scores = scores_of(prediction=seed, seeds=True)
    np.testing.assert_array_equal(scores.confusion, [[3, 0, 0, 1], [0, 1, 1, 2], [0, 0, 1, 0]])
    np.testing.assert_array_equal(scores.unassigned, [1, 2, 0])
    np.testing.assert_allclose(scores.precision, [1, 1, 1 / 2])
    np.testing.assert_allclose(scores.recall, [3 / 4, 1 / 4, 1])
    np.testing.assert_allclose(scores.coverage, [3 / 4, 2 / 4, 1])
    np.testing.assert_allclose(scores.iou, [3 / 3, 1 / 2, 1 / 2])
    np.testing.assert_allclose(scores.iou_unassigned_wrong, [3 / 4, 1 / 4, 1 / 2])
    assert scores.mean_iou(unassigned_wrong=True) == pytest.approx((3 / 4 + 1 / 4 + 1 / 2) / 3)
    totals = scores.totals()
    assert totals["background"] == {"precision": 1.0, "recall": 0.75, "coverage": 0.75}
    assert totals["foreground"] == {"precision": pytest.approx(2 / 3), "recall": 2 / 5, "coverage": 3 / 5}


@pytest.mark.parametrize("truth, prediction, seeds, message", [
    (TRUTH[:, :4], PREDICTION, False, r"x.png: expected the truth's shape \(2, 4\), found \(2, 5\)"),
    (TRUTH, np.full_like(TRUTH, 255), False, r"x.png: expected values 0\.\.2, found \[255\]"),
    (TRUTH, np.full_like(TRUTH, 3), True, r"x.png: expected values 0\.\.2 or 255, found \[3\]"),
    (np.full_like(TRUTH, 9), PREDICTION, False, r"truth of x.png: expected values 0\.\.2 or 255, found \[9\]"),
])
def test_wrong_labels_are_named(truth, prediction, seeds, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(truth, prediction, 3, seeds, name="x.png")


@pytest.fixture
def folders(tmp_path):
    """20 random pairs of labels in two folders, half of the predictions grey; their ids and their stacked arrays."""
    rng = np.random.default_rng(0)
    ids, truths, predictions = [f"i{n:02d}" for n in range(20)], [], []
    for number, name in enumerate(ids):
        truth, prediction = rng.integers(0, 3, (2, 9 + number, 11)).astype(np.uint8)
        truth[0, 0] = 255
        write_label(tmp_path / "truth" / f"{name}.png", truth)
        write_label(tmp_path / "pred" / f"{name}.png", prediction)
        if number % 2:
            Image.fromarray(prediction, mode="L").save(tmp_path / "pred" / f"{name}.png")
        truths.append(truth)
        predictions.append(prediction)
    return tmp_path, ids, truths, predictions


@pytest.mark.parametrize("workers", [1, 2])
def test_folder_equals_one_big_image(folders, workers):
    root, ids, truths, predictions = folders
    done = []
    scores = evaluate_folder(root / "pred", root / "truth", ids, NAMES, workers, done.append)
    expected = confusion_matrix(np.concatenate(truths), np.concatenate(predictions), 3)
    np.testing.assert_array_equal(scores.confusion, expected)
    assert scores.images == sum(done) == 20 and scores.classes == NAMES


def damage_missing(path):
    path.unlink()


def damage_unreadable(path):
    path.write_bytes(path.read_bytes()[:40])


def damage_shape(path):
    write_label(path, np.zeros((3, 4), np.uint8))


def damage_colour(path):
    Image.new("RGB", (11, 28)).save(path)


@pytest.mark.parametrize("side", ["pred", "truth"])
@pytest.mark.parametrize("damage", [damage_missing, damage_unreadable, damage_shape, damage_colour])
def test_damaged_file_is_named(folders, damage, side):
    root, ids, _, _ = folders
    workers = 2 if (damage, side) == (damage_shape, "pred") else 1  # once through another process
    damage(root / side / "i19.png")
    with pytest.raises((FileNotFoundError, ValueError), match="i19.png"):
        evaluate_folder(root / "pred", root / "truth", ids, NAMES, workers)


def test_bad_lists(folders):
    root, ids, _, _ = folders
    with pytest.raises(ValueError, match="at least one image"):
        evaluate_folder(root / "pred", root / "truth", [], NAMES)
    with pytest.raises(ValueError, match=r"each image once, found \['i03'\] repeated"):
        evaluate_folder(root / "pred", root / "truth", ids + ["i03"], NAMES)


def test_average_precision_by_hand():
    # ranks: hit, miss, hit, miss, hit -> precision 1, 1/2, 2/3, 1/2, 3/5 -> envelope at the hits 1, 2/3, 3/5
    assert average_precision([5, 4, 3, 2, 1], [1, 0, 1, 0, 1]) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    # the envelope lifts an early miss: precision at the hits 1/2, 2/3 -> 2/3, 2/3
    assert average_precision([3, 2, 1], [0, 1, 1]) == pytest.approx(2 / 3)
    assert average_precision([2, 1], [1, 1]) == 1
    assert average_precision([2, 1], [0, 1]) == pytest.approx(1 / 2)
    assert np.isnan(average_precision([2, 1], [0, 0]))


def test_average_precision_of_ties_does_not_depend_on_order():
    assert average_precision([1, 1, 1, 1], [1, 0, 0, 0]) == average_precision([1, 1, 1, 1], [0, 0, 0, 1]) == 1 / 4
    assert average_precision([2, 1, 1, 0], [1, 0, 1, 0]) == pytest.approx((1 + 2 / 3) / 2)


def test_mean_average_precision():
    scores = np.array([[3, 1, 0], [2, 2, 0], [1, 3, 0]], float)
    tags = np.array([[1, 1, 0], [0, 0, 0], [1, 1, 0]])
    mean, values = mean_average_precision(scores, tags)
    np.testing.assert_allclose(values, [(1 + 2 / 3) / 2, (1 + 2 / 3) / 2, np.nan])
    assert mean == pytest.approx((1 + 2 / 3) / 2)
    with pytest.raises(ValueError, match=r"expected one shape \(N, C\), found \(3, 3\) and \(3, 2\)"):
        mean_average_precision(scores, tags[:, :2])
    with pytest.raises(ValueError, match="found NaN"):
        average_precision([np.nan, 1], [0, 1])

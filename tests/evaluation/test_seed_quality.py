"""CAM curves against hand-computed numbers and a slow oracle, scores of single seeds, and the tools that show them."""

import csv

import numpy as np
import pytest
from PIL import Image
from scripts import module_of, tool
from voc_trees import write_dataset

from cian.base.files import read_json
from cian.data.cams import resize_maps, save_cam
from cian.data.images import read_image, write_label
from cian.data.voc import VOC_CLASSES
from cian.evaluation import seeds as seed_quality
from cian.evaluation.metrics import confusion_matrix

CAT, DOG = 8, 12
TRUTH = np.array([[0, 0, CAT, CAT, DOG, 255]], np.uint8)
CAM = np.array([[[0.5, 0.0, 1.0, 0.25, 0.5, 1.0]], [[0.0, 0.25, 0.0, 0.0, 0.5, 0.0]]], np.float32)  # (2, 1, 6)


def test_levels_and_confusions_by_hand():
    levels = np.array([0.25, 0.5], np.float32)
    counts = seed_quality.count_levels(CAM, [CAT, DOG], TRUTH, 21, levels)
    # strongest: cat cat(0.5 0) dog(0.25) cat cat; the tie of cat and dog goes to the first; 255 does not count
    expected = {(0, 2, CAT): 1, (0, 1, DOG): 1, (CAT, 2, CAT): 1, (CAT, 1, CAT): 1, (DOG, 2, CAT): 1}
    assert {tuple(cell): counts[tuple(cell)] for cell in np.argwhere(counts)} == expected
    first, second = seed_quality.confusions(counts)
    assert first.shape == (21, 22) and not first[:, 21].any()
    assert {tuple(c): first[tuple(c)] for c in np.argwhere(first)} == {(0, CAT): 1, (0, DOG): 1, (CAT, CAT): 2, (DOG, CAT): 1}
    assert {tuple(c): second[tuple(c)] for c in np.argwhere(second)} == {
        (0, CAT): 1, (0, 0): 1, (CAT, CAT): 1, (CAT, 0): 1, (DOG, CAT): 1}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """Random CAM and truth of 11 images in two chunks, one without tags."""
    random = np.random.RandomState(0)
    truths = {f"i{n:02d}": random.choice([0, 0, CAT, DOG, 255], (17, 24)).astype(np.uint8) for n in range(11)}
    root = write_dataset(tmp_path / "data", {"train_aug": truths})
    for name in truths:
        class_ids = [] if name == "i03" else [CAT, DOG] if name != "i04" else [DOG]
        save_cam(tmp_path / "cam" / f"{name}.npz", class_ids, random.randint(0, 51, (len(class_ids), 3, 3)) / 50)
    return tmp_path, root, truths


def oracle(folder, truths, threshold):
    """Confusion matrix at one threshold, image by image."""
    total = np.zeros((21, 22), np.int64)
    for name, truth in truths.items():
        with np.load(str(folder / "cam" / f"{name}.npz"), allow_pickle=False) as stored:
            maps = resize_maps(stored["maps"], truth.shape)
            padded = np.concatenate([np.full((1,) + truth.shape, np.float32(threshold)), maps])
            # an equal CAM wins over the background, the first over an equal second
            best = np.where((maps >= np.float32(threshold)).any(axis=0), padded[1:].argmax(axis=0) if len(maps) else 0, -1)
            prediction = np.append(stored["classes"], 0)[best]
        total += confusion_matrix(truth, prediction, 21)
    return total


@pytest.mark.parametrize("workers", [1, 2])
def test_curve_against_slow_oracle(folder, workers):
    root, data, truths = folder
    done = []
    curve = seed_quality.measure_cams(
        root / "cam", data / "SegmentationClassAug", truths, VOC_CLASSES, workers=workers, progress=done.append
    )
    assert curve.thresholds == seed_quality.THRESHOLDS and sum(done) == 11
    for threshold, scores in zip(curve.thresholds, curve.scores):
        np.testing.assert_array_equal(scores.confusion, oracle(root, truths, threshold))
    means = curve.mean_iou(["background", "cat", "dog"])
    assert curve.best(["background", "cat", "dog"]) == int(np.argmax(means)) and means.std() > 0.01


def test_bad_cams_and_truths_are_named(folder):
    root, data, truths = folder
    measure = seed_quality.measure_cams
    masks = data / "SegmentationClassAug"
    with pytest.raises(ValueError, match=r"i00.npz: expected class ids 1..8, found \[8, 12\]"):
        measure(root / "cam", masks, truths, VOC_CLASSES[:9], workers=1)
    with pytest.raises(ValueError, match="ids: expected images, each once, found 2, 1 of them"):
        measure(root / "cam", masks, ["i00", "i00"], VOC_CLASSES)
    for thresholds in ([], [0.5, 0.5], [0.5, 1.5]):
        with pytest.raises(ValueError, match="thresholds: expected ascending numbers"):
            measure(root / "cam", masks, truths, VOC_CLASSES, thresholds)
    write_label(masks / "i01.png", np.full((17, 24), 30))
    with pytest.raises(ValueError, match=r"i01.png: expected values 0..20 or 255, found \[30\]"):
        measure(root / "cam", masks, truths, VOC_CLASSES, workers=1)
    (root / "cam" / "i00.npz").unlink()
    with pytest.raises(FileNotFoundError, match="i00.npz: no such CAM file"):
        measure(root / "cam", masks, truths, VOC_CLASSES, workers=1)


def test_evaluate_writes_the_curve(folder, capsys):
    root, data, truths = folder
    listed = data / "ImageSets" / "Segmentation" / "train_aug.txt"
    common = ["--cams", root / "cam", "--ground-truth", data / "SegmentationClassAug", "--list", listed, "--workers", "1"]
    more = ["--classes", "background,cat,dog", "--curve", root / "curve", "--json", root / "best.json", "--mark", "0.15"]
    tool("evaluate", *common, *more)
    with open(str(root / "curve.csv"), encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 50 and list(rows[0])[4:] == ["background", "cat", "dog"]
    best = max(rows, key=lambda row: float(row["miou"]))
    result = read_json(root / "best.json")
    assert result["threshold"] == float(best["threshold"]) and result["miou"] == pytest.approx(float(best["miou"]), abs=1e-6)
    row = next(row for row in rows if row["threshold"] == "0.15")
    matrix = oracle(root, truths, 0.15)
    right = matrix[CAT, CAT] + matrix[DOG, DOG]
    assert float(row["foreground_precision"]) == pytest.approx(right / matrix[:, 1:].sum(), abs=1e-6)
    assert float(row["foreground_recall"]) == pytest.approx(right / matrix[1:].sum(), abs=1e-6)
    assert result["miou_at"] == {"0.15": pytest.approx(float(row["miou"]), abs=1e-6)}
    picture = read_image(root / "curve.png")
    assert picture.shape[1] > 800 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 20
    out = capsys.readouterr().out
    assert f"best mean IoU at threshold {float(best['threshold']):g}" in out and "mean IoU at threshold 0.15: " in out


@pytest.mark.parametrize("words", [["--curve", "x"], ["--mark", "0.3"]])
def test_curve_options_need_cams(words):
    with pytest.raises(SystemExit):
        module_of("evaluate").parse_args(["--predictions", "a", "--ground-truth", "b", "--list", "c", *words])


def test_the_marked_threshold_is_one(capsys):
    with pytest.raises(SystemExit):
        module_of("evaluate").parse_args(["--cams", "a", "--ground-truth", "b", "--list", "c", "--mark", "15"])
    assert "--mark: 15, expected a threshold between 0 and 1" in capsys.readouterr().err


def test_score_of_a_seed_by_hand():
    truth = np.array([[0, 0, 0, CAT, CAT, DOG, DOG, 255]], np.uint8)
    seed = np.array([[0, 255, CAT, CAT, CAT, 255, 255, DOG]], np.uint8)
    score = seed_quality.score_seed(truth, seed, 21)
    assert score.iou == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)  # the dog has no seed
    assert score.precision == pytest.approx(3 / 4) and score.assigned == pytest.approx(4 / 7)
    nothing = seed_quality.score_seed(truth, np.full_like(truth, 255), 21)
    assert nothing.iou == 0 and np.isnan(nothing.precision) and nothing.assigned == 0
    assert seed_quality.score_seed(np.full_like(truth, 255), seed, 21).iou == 0
    assert seed_quality.score_seed(truth, truth, 21) == (1, 1, 1)


def test_worst_come_first(tmp_path):
    truth = np.array([[0, 0, CAT, CAT]], np.uint8)
    for name, seed in (("a", truth), ("b", [[0, 255, 0, 0]]), ("c", [[CAT] * 4]), ("d", [[CAT, CAT, 0, 0]])):
        write_label(tmp_path / "seeds" / f"{name}.png", np.array(seed))
        write_label(tmp_path / "truth" / f"{name}.png", truth)
    scores = seed_quality.score_seeds(tmp_path / "seeds", tmp_path / "truth", "abcd", 21, workers=1)
    assert {name: score.iou for name, score in scores.items()} == {"a": 1, "b": pytest.approx(1 / 6), "c": 0.25, "d": 0}
    assert seed_quality.worst(scores, 3) == ["d", "b", "c"]
    (tmp_path / "seeds" / "c.png").unlink()
    with pytest.raises(FileNotFoundError, match="c.png"):
        seed_quality.score_seeds(tmp_path / "seeds", tmp_path / "truth", "abcd", 21, workers=1)


def test_sheets_of_seeds(folder, capsys):
    root, data, truths = folder
    for name, truth in truths.items():
        write_label(root / "seeds" / f"{name}.png", np.full_like(truth, 255) if name == "i05" else truth)
        write_label(root / "saliency" / f"{name}.png", np.zeros_like(truth))  # in colour
    report = module_of("report")
    with pytest.raises(ValueError, match="png: expected a grey saliency map"):
        report.main(["--seeds", str(root), "--data", str(data), "--workers", "1"])
    for name, truth in truths.items():
        Image.fromarray(np.zeros_like(truth)).save(str(root / "saliency" / f"{name}.png"))
    common = ["--seeds", str(root), "--data", str(data), "--workers", "1", "--images"]
    report.main([*common, "3"])
    first = [read_image(root / f"{kind}.png") for kind in ("random", "worst")]
    assert f"pictures, worst: {root / 'worst'}.png" in capsys.readouterr().out
    assert first[0].shape[1] == 10 + 6 * 250 and first[0].shape == first[1].shape  # image, 2 CAMs, saliency, seed, truth
    report.main([*common, "3"])
    assert np.array_equal(read_image(root / "random.png"), first[0])
    report.main([*common, "3", "--sheet-seed", "1"])
    assert not np.array_equal(read_image(root / "random.png"), first[0])
    report.main([*common, "99"])
    assert read_image(root / "random.png").shape == read_image(root / "worst.png").shape
    for words in (["--seeds", "x", "--run", "y"], ["--seeds", "x", "--images", "0"], []):
        with pytest.raises(SystemExit):
            report.parse_args([*words, "--data", "d"])


def test_seeds_from_elsewhere_are_checked(tmp_path, capsys):
    label = np.zeros((4, 6), np.uint8)
    label[1:3, 1:4], label[3] = CAT, 255
    data = write_dataset(tmp_path / "data", {"train_aug": dict.fromkeys("abcdef", label)})
    for name in "abcdef":
        write_label(tmp_path / "seeds" / f"{name}.png", np.where(label == 0, 255, label))
    check = module_of("prepare_data").main
    arguments = ["check", "--data", str(data), "--list", "train_aug", "--masks", str(tmp_path / "seeds"), "--workers", "1"]
    assert check(arguments) == 0
    write_label(tmp_path / "seeds" / "b.png", label[:, 1:])
    write_label(tmp_path / "seeds" / "c.png", np.full_like(label, 21))
    (tmp_path / "seeds" / "d.png").unlink()
    assert check(arguments) == 1
    out = capsys.readouterr().out
    for fault in (
        "b.png: 5x4 pixels, expected the image's 6x4",
        "c.png: expected values 0..20 or 255, found [21]",
        "d.png: no such image file",
        "6 images of train_aug: 3 faults",
    ):
        assert fault in out

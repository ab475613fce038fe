"""Quality of saliency: counts and scores by hand and against a slow oracle, and the benchmark that shows them."""

import numpy as np
import pytest
from PIL import Image
from scripts import tool
from voc_trees import write_dataset

from cian.base.files import read_json
from cian.data.images import read_image
from cian.data.voc import open_dataset
from cian.evaluation import saliency as saliency_quality
from cian.seeds.saliency import saliency

TRUTH = np.array([[0, 0, 0, 0, 8, 8, 255]], np.uint8)
VALUES = np.array([[0.0, 0.2, 0.2, 1.0, 0.2, 1.0, 0.0]])


def test_scores_by_hand():
    counts = saliency_quality.histogram(VALUES, TRUTH)
    assert counts.shape == (2, 256) and counts.sum(axis=1).tolist() == [4, 2]
    assert counts[0, [0, 51, 255]].tolist() == [1, 2, 1] and counts[1, [51, 255]].tolist() == [1, 1]
    found = saliency_quality.scores(counts)
    assert found.thresholds[20] == 0.2
    np.testing.assert_allclose(found.precision[[0, 19, 20, 100]], [1, 1, 3 / 4, 4 / 6])
    np.testing.assert_allclose(found.coverage[[0, 19, 20, 100]], [1 / 4, 1 / 4, 3 / 4, 1])
    # above 0: precision 2/5, recall 1; above 0.2: 1/2 and 1/2
    assert found.max_f == pytest.approx(max(1.3 * 0.4 / (0.3 * 0.4 + 1), 1.3 * 0.25 / (0.3 * 0.5 + 0.5)))
    assert found.at == pytest.approx(0.2)


def test_scores_against_slow_oracle():
    random = np.random.RandomState(0)
    truth = random.choice([0, 3, 255], (30, 40)).astype(np.uint8)
    stored = random.randint(0, 256, truth.shape)
    found = saliency_quality.scores(saliency_quality.histogram(stored / 255, truth))
    values = (stored.astype(np.float32) / 255)[truth != 255]
    background = (truth == 0)[truth != 255]
    for threshold, precision, coverage in zip(found.thresholds, found.precision, found.coverage):
        claim = values <= np.float32(threshold)
        assert precision == pytest.approx((claim & background).sum() / claim.sum())
        assert coverage == pytest.approx((claim & background).sum() / background.sum())
    f = []
    for level in np.arange(255, dtype=np.float32) / 255:
        hit = ((values > level) & ~background).sum()
        p, r = hit / (values > level).sum(), hit / (~background).sum()
        f.append(1.3 * p * r / (0.3 * p + r))
    assert found.max_f == pytest.approx(max(f)) and found.at == pytest.approx(int(np.argmax(f)) / 255)


def test_nothing_to_divide_by():
    found = saliency_quality.scores(np.zeros((2, 256), np.int64))
    assert np.isnan(found.precision).all() and np.isnan(found.coverage).all()


@pytest.mark.parametrize("workers", [1, 2])
def test_measure_adds_up_images(tmp_path, workers):
    label = np.zeros((20, 30), np.uint8)
    label[5:15, 5:20] = 8
    dataset = open_dataset(write_dataset(tmp_path, {"val": {"a": label, "bb": label}}))
    found = saliency_quality.measure(dataset, ["a", "bb"], ["mbd", "frequency-tuned"], workers=workers)
    assert list(found) == ["mbd", "frequency-tuned"]
    for method, (counts, seconds) in found.items():
        each = [saliency(read_image(dataset.image_path(name)), method) for name in ("a", "bb")]
        np.testing.assert_array_equal(counts, sum(saliency_quality.histogram(values, label) for values in each))
        assert seconds > 0


def test_benchmark_shows_methods_and_maps(tmp_path, capsys):
    label = np.zeros((20, 30), np.uint8)
    label[5:15, 5:20] = 8
    write_dataset(tmp_path, {"val": {"a": label, "bb": label}})
    (tmp_path / "maps").mkdir()
    for name in ("a", "bb"):
        Image.fromarray(np.where(label == 8, 200, 15).astype(np.uint8)).save(str(tmp_path / "maps" / f"{name}_DRFI.png"))
    common = ["saliency", "--data", tmp_path, "--workers", "1", "--methods"]
    tool("benchmark", *common, "mbd", "--maps", tmp_path / "maps", "--json", tmp_path / "x.json", "--csv", tmp_path / "x.csv")
    result = read_json(tmp_path / "x.json")
    assert result["images"] == 2 and list(result["methods"]) == ["mbd", "maps"]
    maps = result["methods"]["maps"]
    assert (maps["threshold"], maps["precision"], maps["coverage"], maps["max_f"]) == (0.06, 1, 1, 1)
    assert maps["max_f_at"] == pytest.approx(15 / 255)
    lines = (tmp_path / "x.csv").read_text().splitlines()
    assert lines[0] == "threshold,mbd precision,mbd coverage,maps precision,maps coverage" and len(lines) == 102
    assert lines[6].endswith(",,0.000000") and lines[7].startswith("0.06,") and lines[7].endswith(",1.000000,1.000000")
    assert "| maps | 0.06 | 100.0 | 100.0 | 100.0 | 0.06 |" in capsys.readouterr().out
    with pytest.raises(ValueError, match="method: expected one of frequency-tuned, mbd, mbd-warm, rbd, found 'drfi'"):
        tool("benchmark", *common, "drfi")

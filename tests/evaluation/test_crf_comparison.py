"""The pruned dense CRF beside the exact one on real images, the made-up logits, and the benchmark that shows the comparison."""

import json

import numpy as np
import pytest
from crf_case import make_case
from PIL import Image
from scripts import tool

from cian.base.files import read_json, write_text
from cian.data.images import write_label
from cian.data.voc import open_dataset
from cian.evaluation.crf import compare_crf, made_up_logits


def test_pruned_on_real_images(shared):
    """A few real images; 100 are measured by `tools/benchmark.py crf`."""
    dataset = open_dataset(shared / "data" / "VOC2012-animals")
    result = compare_crf(dataset, dataset.read_ids("val")[:3])
    assert result["images"] == 3 and result["equal"] >= 0.9995


def test_benchmark_writes_its_figures(tmp_path, capsys):
    image, _ = make_case(3, 80, 90)
    label = np.zeros((80, 90), np.uint8)
    label[:, 45:] = 2
    for name in "abc":
        write_label(tmp_path / "SegmentationClassAug" / f"{name}.png", label)
        (tmp_path / "JPEGImages").mkdir(exist_ok=True)
        Image.fromarray(image).save(str(tmp_path / "JPEGImages" / f"{name}.jpg"))
    write_text(tmp_path / "ids.txt", "a\nb\nc\n")
    options = ["--list", tmp_path / "ids.txt", "--images", "2", "--json", tmp_path / "crf.json"]
    tool("benchmark", "crf", "--data", tmp_path, *options)
    result = read_json(tmp_path / "crf.json")
    assert result == json.loads(capsys.readouterr().out)
    assert result["images"] == 2 and result["iterations"] == 5 and result["equal"] >= 0.9995
    assert result["ratio"] == pytest.approx(result["seconds_per_image"]["exact"] / result["seconds_per_image"]["pruned"])
    with pytest.raises(FileNotFoundError, match="nowhere"):
        tool("benchmark", "crf", "--data", tmp_path / "nowhere")


def test_made_up_logits_look_like_a_network():
    label = np.zeros((160, 200), np.uint8)
    label[40:120, 50:150] = 8
    logits = made_up_logits(label, 21, np.random.default_rng(0))
    assert logits.shape == (21, 160, 200) and logits.dtype == np.float32
    probability = np.exp(logits - logits.max(axis=0))
    probability /= probability.sum(axis=0)
    assert 0.6 < probability.max(axis=0).mean() < 0.99
    assert 0.8 < (logits.argmax(axis=0) == label).mean() < 1
    np.testing.assert_array_equal(logits, made_up_logits(label, 21, np.random.default_rng(0)))

"""`cian benchmark inference` and `memory`: what the tables say, on small networks."""

import json

import pytest
from scripts import tool
from small_seeds import six_images

from cian.base.runtime import mx
from cian.config import Classifier, Segmentation
from cian.evaluation.throughput import powers, throughput_table
from cian.models.checkpoint import named_arrays, save_checkpoint
from cian.models.cian import CIAN
from cian.training.memory import CARDS, TRAININGS, measure, memory_table


def test_inference_loader_and_evaluation_are_timed(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    data, checkpoint = six_images(tmp_path / "data"), tmp_path / "cian-0000.params"
    net = CIAN("resnet10", 21)
    net.initialize(mx.init.Xavier())
    net(mx.nd.zeros((1, 3, 33, 33)))
    save_checkpoint(checkpoint, named_arrays(net))
    words = ["--checkpoint", checkpoint, "--backbone", "resnet10", "--preset", "scenes", "--data", data, "--list", "train_aug"]
    tool("benchmark", "inference", *words, "--count", "3", "--processes", "1", "--json", tmp_path / "x.json")
    found = json.loads((tmp_path / "x.json").read_text())
    assert [(row["processes"], row["threads"], row["device"]) for row in found["inference"]] == [(1, 1, "cpu0")]
    assert [row["workers"] for row in found["loader"]] == [0, 1] and [row["workers"] for row in found["evaluation"]] == [1]
    assert all(row["seconds"] > 0 for what in ("inference", "loader", "evaluation") for row in found[what])
    assert "| inference on cpu0 | 1 | 1 | " in capsys.readouterr().out


def test_the_table_compares_with_its_first_row():
    rows = [{"processes": 1, "threads": 2, "device": "cpu0", "seconds": 0.5}, {"processes": 2, "threads": 1, "seconds": 0.4}]
    text = throughput_table({"images": 8, "processors": 2, "network": "n", "inference": rows, "evaluation": None})
    assert "| inference on cpu0 | 1 | 2 | 2.00 | 1.00 |\n| inference | 2 | 1 | 2.50 | 1.25 |" in text
    assert powers()[0] == 1 and powers() == sorted(set(powers()))


@pytest.fixture(scope="module")
def measured():
    """{name: memory} of the trainings of the preset scenes."""
    return {training.name: measure(training, "scenes") for training in TRAININGS}


def test_memory_of_every_training(measured):
    assert list(measured) == ["train_cam", "train", "train_cam --method comnet", "train_irn"]
    for one in measured.values():
        assert one["group"] > 0 and one["batch"] >= one["weights"] + one["groups"] * one["group"] * 0.5
    settings = Segmentation.preset("scenes")
    assert (measured["train"]["images"], measured["train"]["groups"]) == (settings.batch, settings.batch // 2)
    assert measured["train_cam"]["groups"] == Classifier.preset("scenes").batch
    assert "| train | resnet10 | 129 | 8 in 4 groups |" in memory_table(measured.values())


def test_an_image_of_four_times_the_pixels_takes_about_four_times_the_memory():
    small, large = (measure(TRAININGS[0]._replace(settings=Crop(crop)), "scenes")["group"] for crop in (161, 321))
    assert 3.3 < large / small < 4.7


class Crop:
    """Classifier settings of another crop."""

    def __init__(self, crop):
        self._crop = crop

    def preset(self, name, **changes):
        return Classifier.preset(name, crop=self._crop, **changes)


def test_the_least_shares_with_which_a_card_is_enough():
    one = {"training": "t", "backbone": "b", "crop": 1, "images": 8, "groups": 8, "group": 2e9, "batch": 16e9, "shares": {}}
    one["shares"] = dict.fromkeys(CARDS, None)
    one["shares"][16] = 2
    assert "| t | b | 1 | 8 | 2000 | 17.5 | - | - | 2 | - | - |" in memory_table([one])

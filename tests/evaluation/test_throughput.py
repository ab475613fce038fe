"""`cian benchmark inference` and `memory`: what the tables say, on small networks."""

import json
import os

import pytest
from scripts import tool
from small_seeds import six_images

from cian.base.runtime import mx
from cian.config import Classifier, Segmentation
from cian.evaluation.published_loader import LOADER, published_loading
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
    options = ["--count", "8,9", "--processes", "1", "--devices", "cpu", "--json", tmp_path / "x.json"]
    options += ["--published", little_loader(tmp_path)]
    tool("benchmark", "inference", *words, *options)
    found = json.loads((tmp_path / "x.json").read_text())["measured"]
    assert [row["images"] for row in found["inference"]] == [6]  # no more are in the list
    assert {(row["processes"], row["threads"], row["device"]) for row in found["inference"]} == {(1, 1, "cpu0")}
    assert [row["workers"] for row in found["loader"]] == ["own", 0, 1]
    assert [row["workers"] for row in found["crf"]] == [row["workers"] for row in found["evaluation"]] == [1]
    assert all(row["seconds"] > 0 for rows in found.values() for row in rows)
    shown = capsys.readouterr().out
    assert all(f"| {words} |" in shown for words in ("inference | 1 | 1", "loader, published | 1 | all", "crf | 1 | 1"))


def little_loader(folder):
    """A folder with a loader that is called as the published one is; the published one itself where there is a copy of it."""
    if os.environ.get("CIAN_PUBLISHED"):
        return os.environ["CIAN_PUBLISHED"]
    path = folder / "published" / LOADER
    path.parent.mkdir(parents=True)
    path.write_text(
        "from types import SimpleNamespace as Of\n"
        "import mxnet as mx\n"
        "class VOCSegLoader:\n"
        "    def __init__(self, images, labels, names, batch, crop, downsample, **random):\n"
        "        assert len(open(names).read().split()) == batch and (crop, downsample) == (321, 8) and all(random.values())\n"
        "    def reset(self):\n"
        "        self.left = 2\n"
        "    def __iter__(self):\n"
        "        while self.left:\n"
        "            self.left -= 1\n"
        "            yield Of(data=[mx.nd.zeros(1)], label=[mx.nd.zeros(1)])\n"
    )
    return folder / "published"


def test_a_folder_without_the_published_loader_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="--published .*: lib/loader/voc_seg_loader.py is not there; expected"):
        published_loading(tmp_path, None, ["a"])


def test_the_table_compares_with_its_first_row():
    def row(images, processes, seconds, **more):
        return {"images": images, "processes": processes, "threads": 2, "seconds": seconds, **more}

    rows = [row(8, 1, 0.5), row(16, 1, 0.25), row(8, 2, 0.4), row(16, 2, 0.2), row(8, 2, 0.1, device="gpu0"),
            row(16, 2, 0.05, device="gpu0")]  # fmt: skip
    text = throughput_table({"processors": 2, "network": "n", "measured": {"inference": rows, "evaluation": []}})
    assert "| inference | 1 | 2 | 2.00 | 4.00 | 1.00 |  |\n| inference | 2 | 2 | 2.50 | 5.00 | 1.25 |  |" in text
    assert "| inference | 2 | 2 |  |  | 5.00 | 20.00 |" in text and "evaluation" not in text
    assert powers()[0] == 1 and powers() == sorted(set(powers()))


@pytest.fixture(scope="module")
def measured():
    """{name: memory} of the trainings of the preset scenes."""
    return {training.name: measure(training, "scenes") for training in TRAININGS}


def test_memory_of_every_training(measured):
    assert list(measured) == ["train_cam", "train", "train_cam --method comnet", "train_irn"]
    for one in measured.values():
        assert one["group"] > 0 and 0.5 < (one["batch"] - one["weights"]) / (one["groups"] * one["group"]) < 1.5
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

"""Validation while training: its mean IoU by hand, its lines in the log, best.json, events; the training is the same."""

import json
import struct

import numpy as np
import pytest
from PIL import Image
from scripts import module_of, tool
from small_training import log_lines, steps_of
from tensorboardX.proto.event_pb2 import Event

from cian.base.files import read_json, write_json, write_text
from cian.base.runs import Run
from cian.base.runtime import mx
from cian.data.images import write_label
from cian.data.voc import open_dataset
from cian.inference.segmenter import load_network
from cian.models.checkpoint import read_params
from cian.report.training_log import read_log, read_validated
from cian.scenes.generate import generate
from cian.training.validation import Validation

CHECKPOINT = "cian_resnet10-{:04d}.params"


def colour_reader(x):
    """A network (1, 3, H, W) -> logits (1, 3, h, w) that sees class k where red is 50 k, at every eighth pixel."""
    red = x[:, :1, ::8, ::8]
    return mx.nd.concat(*[-((red - 50 * k) ** 2) for k in range(3)], dim=1)


@pytest.fixture
def painted(tmp_path):
    """Two images of classes 0, 1, 2, the first with the class 1 seen where 2 is true, and void."""
    root = tmp_path / "painted"
    seen = {"a": np.zeros((10, 17), np.uint8), "b": np.full((25, 9), 1, np.uint8)}
    truth = {name: label.copy() for name, label in seen.items()}
    seen["a"][:, 8:], truth["a"][:, 8:] = 1, 2  # features at rows 0 and 8, columns 0, 8, 16
    truth["a"][8, 16] = 255
    truth["b"][1:8] = 0  # between the features, which are at rows 0, 8, 16, 24
    for name, label in seen.items():
        (root / "JPEGImages").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.repeat(50 * label[:, :, None], 3, axis=2)).save(str(root / "JPEGImages" / f"{name}.png"))
        write_label(root / "SegmentationClass" / f"{name}.png", truth[name])
    write_text(root / "ImageSets" / "Segmentation" / "val.txt", "a\nb\n")
    write_text(root / "classes.txt", "background\ncat\ndog\n")
    return open_dataset(root)


def validation_of(dataset, folder, every=1, epochs=3, net=colour_reader, size=17):
    return Validation(Run(folder, "net"), net, dataset, "val", every, epochs, size, mx.cpu())


def test_mean_iou_by_hand(painted, tmp_path):
    found = validation_of(painted, tmp_path / "run").measure()
    # points: a has 2 of class 0, right; 3 of class 2, seen as 1, and one void; b has 4 rows x 2 columns of class 1, right
    assert found == pytest.approx((2 / 2 + 8 / (8 + 3) + 0 / 3) / 3)
    assert validation_of(painted, tmp_path / "run").measure(stopped=lambda: True) is None


def test_when_it_is_due_and_which_epoch_is_best(painted, tmp_path):
    (tmp_path / "run").mkdir()
    watched = validation_of(painted, tmp_path / "run", every=2, epochs=5)
    assert [epoch for epoch in range(5) if watched.due(epoch)] == [1, 3, 4]
    values = iter([0.5, 0.4, 0.6])
    watched.measure = lambda stopped: next(values)
    for epoch, best in ((1, 1), (3, 1), (4, 4)):
        watched(epoch)
        assert read_json(tmp_path / "run" / "best.json")["epoch"] == best and not watched.due(epoch)
    assert read_validated(tmp_path / "run" / "log.jsonl") == {1: 0.5, 3: 0.4, 4: 0.6} and watched(4) is None
    (tmp_path / "run" / "log.jsonl").unlink()  # begun anew: the best of then is none
    watched.measure = lambda stopped: 0.1
    assert watched(1) == 0.1 and read_json(tmp_path / "run" / "best.json")["val_miou"] == 0.1


def test_the_best_checkpoint_is_kept_and_lines_of_epochs_too(tmp_path):
    run = Run(tmp_path, "net")
    for epoch in range(6):
        run.checkpoint_path(epoch).write_bytes(b"")
    write_json(run.best_path, {"epoch": 1, "val_miou": 0.5, "list": "val", "checkpoint": "net-0001.params"})
    run.keep_newest(2)
    assert [path.name for path in run.checkpoints()] == [f"net-{epoch:04d}.params" for epoch in (1, 4, 5)]
    lines = [{"epoch": 0, "step": 0}, {"epoch": 0, "val_miou": 0.1}, {"epoch": 1, "step": 0}, {"epoch": 1, "val_miou": 0.2}]
    for line in lines:
        run.log(**line)
    run.cut_log(1, 1)
    assert log_lines(tmp_path) == lines[:3]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    generate(folder, train=8, val=3, size=64, workers=1)
    return folder


SMALL = {"preset": "scenes", "crop": 33, "batch": 4, "epochs": 3, "grouping": "random", "init": "random", "workers": 0}


def train(data, output, *options):
    small = [word for name, value in SMALL.items() for word in (f"--{name}", value)]
    tool("train", *small, "--data", data, "--labels", data / "SegmentationClassAug", "--output", output, *options)


def events(folder):
    """[(tag, step, value)] of the events in a folder: records of length, checksum, message, checksum."""
    found = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        while content:
            (size,) = struct.unpack("<Q", content[:8])
            event = Event.FromString(content[12 : 12 + size])
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            content = content[16 + size :]
    return found


def test_a_training_that_is_watched_is_the_same(data, tmp_path):
    train(data, tmp_path / "plain")
    train(data, tmp_path / "run", "--val-list", "val", "--val-every", 2, "--tensorboard")
    assert not (tmp_path / "plain" / "best.json").exists() and not (tmp_path / "plain" / "events").exists()
    one, other = (read_params(tmp_path / folder / CHECKPOINT.format(2)) for folder in ("plain", "run"))
    assert all(np.array_equal(one[name].asnumpy(), other[name].asnumpy()) for name in one)
    steps = [line for line in steps_of(tmp_path / "run") if "step" in line]
    assert steps == steps_of(tmp_path / "plain")
    measured = read_validated(tmp_path / "run" / "log.jsonl")
    assert sorted(measured) == [1, 2]
    best = read_json(tmp_path / "run" / "best.json")
    assert best["val_miou"] == max(measured.values()) == measured[best["epoch"]]
    for epoch, value in measured.items():  # that of the checkpoint
        net = load_network(tmp_path / "run" / CHECKPOINT.format(epoch), "resnet10", "dot", mx.cpu())
        again = validation_of(open_dataset(data), tmp_path / "other", net=net, size=161)
        assert again.measure() == pytest.approx(value, abs=1e-6)
    curve = read_log(tmp_path / "run" / "log.jsonl")["val_miou"]
    np.testing.assert_allclose(curve, [[2, 3], [100 * measured[1], 100 * measured[2]]])
    written = events(tmp_path / "run" / "events")
    assert [(step, value) for tag, step, value in written if tag == "val_miou"] == [
        (2 * (epoch + 1), pytest.approx(value)) for epoch, value in measured.items()]  # fmt: skip
    losses = [(step, value) for tag, step, value in written if tag == "loss"]
    assert losses == [(number, pytest.approx(line["loss"], rel=1e-6)) for number, line in enumerate(steps)]
    picture = tmp_path / "curves.png"
    module_of("report").main(["--curves", str(tmp_path / "plain"), str(tmp_path / "run"), "--output", str(picture)])
    assert Image.open(str(picture)).size[0] > 500


def test_wrong_options(data, tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        train(data, tmp_path, "--val-list", "nowhere")
    for words, message in ((["--curves", "a"], "--curves needs --output"), (["--curves", "a", "--output", "x.jpg"], "x.jpg")):
        with pytest.raises(SystemExit):
            module_of("report").parse_args(words)
        assert message in capsys.readouterr().err


def test_log_lines_are_json(data, tmp_path):
    """A line of an epoch that is only half there, of a training that was killed, is dropped."""
    run = Run(tmp_path, "net")
    run.log(epoch=0, step=0)
    with open(str(run.log_path), "a") as file:
        file.write(json.dumps({"epoch": 0, "val_miou": 0.5})[:-4])
    run.cut_log(1, 0)
    assert log_lines(tmp_path) == [{"epoch": 0, "step": 0}]

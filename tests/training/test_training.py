"""The training as users run it: stopped and resumed exactly, on several devices and workers, and stopped by a bad loss."""

import hashlib
import re
import signal

import numpy as np
import pytest
from scripts import one_thread, tool
from small_training import CHECKPOINT, command, log_lines, run, stopped

from cian.base.runs import Run, folder_digest
from cian.base.runtime import mx
from cian.base.stops import Diverged
from cian.config import Segmentation
from cian.models.checkpoint import read_params
from cian.scenes.generate import generate
from cian.training.engine import Fit, learning_rate
from cian.training.objectives import SegmentationObjective


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Forty small scenes to train on."""
    folder = tmp_path_factory.mktemp("scenes")
    generate(folder, train=40, val=2, size=80, workers=1)
    return folder


@pytest.fixture(scope="module")
def finished(scenes, tmp_path_factory):
    """The small training, never stopped."""
    folder = tmp_path_factory.mktemp("finished")
    result = run(scenes, folder)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.split()[-1].endswith(CHECKPOINT)
    return folder


def here(*arguments):
    """The small training in this process."""
    return tool("train", *command(*arguments)[2:])


@pytest.mark.parametrize("number, after", [(signal.SIGTERM, 2), (signal.SIGKILL, 12), (signal.SIGINT, 9)])
def test_stopped_and_resumed_is_bit_identical(scenes, finished, tmp_path, number, after):
    steps = len(log_lines(finished))
    assert 14 <= steps <= 20  # 40 images in pairs, batches of 4, two epochs; tails without a partner are dropped
    status = stopped(number, after, "train", *command(scenes, tmp_path)[2:])
    assert status == (-9 if number == signal.SIGKILL else 128 + number) and len(log_lines(tmp_path)) >= after
    assert not (tmp_path / CHECKPOINT).exists()
    here(scenes, tmp_path, "--resume")
    one, other = read_params(finished / CHECKPOINT), read_params(tmp_path / CHECKPOINT)
    assert set(one) == set(other)
    for name in one:
        assert np.array_equal(one[name].asnumpy(), other[name].asnumpy()), name
    said = (tmp_path / "train.log").read_text(encoding="utf-8")
    assert said.count(" INFO command: ") == 2 and said.count(" INFO devices: cpu(0)") == 2  # of both starts
    assert " INFO settings: " in said and re.search(r" INFO epoch 2/2: \d+ of \d+ steps, .*loss \d", said)
    same = [{k: v for k, v in line.items() if k != "seconds"} for line in log_lines(tmp_path)]
    assert same == [{k: v for k, v in line.items() if k != "seconds"} for line in log_lines(finished)]


def test_a_run_folder_is_not_overwritten_and_not_mixed(scenes, finished):
    with pytest.raises(FileExistsError, match="holds a run already.*--resume"):
        here(scenes, finished)
    with pytest.raises(ValueError, match=r"lr was 0\.001, now 0\.5"):
        here(scenes, finished, "--resume", "--lr", "0.5")


def batch(images=4, size=33, classes=3):
    rng = np.random.RandomState(0)
    features = (size - 1) // 8 + 1
    return (
        rng.randint(0, 255, (images // 2, 2, 3, size, size)).astype("uint8"),
        rng.randint(0, classes, (images // 2, 2, features, features)).astype("uint8"),
        np.ones((images // 2, 2, classes)),
    )


def updated(devices, tmp_path, **changes):
    """Parameters after one update without the affinity block, whose batch statistics differ between devices by design."""
    settings = Segmentation.preset("scenes", batch=4, optimizer="sgd", lr=0.01, affinity=False, losses="baseline", **changes)
    objective = SegmentationObjective(settings, 3, devices)
    Fit(objective, None, Run(tmp_path, "x", write=False), settings, devices).step(0, 0, 1, ["?"] * 4, batch())
    mx.nd.waitall()
    return {name: p.list_data()[-1].asnumpy() for name, p in objective.net.collect_params().items()}


@one_thread  # several CPU devices need it
def test_one_update_on_two_devices_equals_one_device(tmp_path):
    one, two = updated([mx.cpu(0)], tmp_path), updated([mx.cpu(0), mx.cpu(1)], tmp_path)
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_a_bad_loss_names_step_images_and_checkpoint(tmp_path):
    settings = Segmentation.preset("scenes", batch=4, optimizer="sgd", lr=1e30, epochs=1)
    objective = SegmentationObjective(settings, 3, [mx.cpu()])
    (tmp_path / "x-0000.params").write_bytes(b"")
    fit = Fit(objective, None, Run(tmp_path, "x"), settings, [mx.cpu()])
    with pytest.raises(Diverged, match=r"epoch 0, step \d; images: a, b, c, d; last good checkpoint: .*x-0000.params"):
        for step in range(4):
            fit.step(0, step, 4, ["a", "b", "c", "d"], batch())


def test_a_lost_state_and_a_foreign_one_are_named(tmp_path):
    settings = Segmentation.preset("scenes", affinity=False, losses="baseline")
    objective, run_of = SegmentationObjective(settings, 3, [mx.cpu()]), Run(tmp_path, "x")
    fit = Fit(objective, None, run_of, settings, [mx.cpu()])
    (tmp_path / "x-0000.params").write_bytes(b"")
    assert fit.resume() == (0, 0)  # killed between the first checkpoint and the first state
    (tmp_path / "x-0001.params").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="resume.npz: missing, though several epochs were trained there"):
        fit.resume()
    run_of.save_state({"arg:conv0_weight": np.zeros((2, 2))}, epoch=1, step=0, updates=0)
    with pytest.raises(ValueError, match=r"resume.npz: expected .* of shape .*, (it lacks it|found \(2, 2\))"):
        fit.resume()


def test_frozen_parameters_stay_and_unknown_prefixes_are_named(tmp_path):
    start = SegmentationObjective(Segmentation.preset("scenes", losses="baseline", affinity=False), 3, [mx.cpu()])
    start = {name: p.data().asnumpy() for name, p in start.net.collect_params().items()}
    end = updated([mx.cpu()], tmp_path, freeze="conv0,stage1")
    for name in start:
        frozen = name.startswith(("conv0", "stage1")) or not name.endswith("_weight")
        assert np.array_equal(start[name], end[name]) == frozen, name
    with pytest.raises(ValueError, match="freeze: 'fire2' is the start of no parameter's name"):
        updated([mx.cpu()], tmp_path, freeze="fire2")


def test_the_digest_of_a_folder_is_over_ids_sizes_and_bytes(tmp_path):
    for name, content in (("a.npz", b"AA"), ("b.npz", b"B"), ("a.png", b"other"), ("c.npz", b"not in the list")):
        (tmp_path / name).write_bytes(content)
    assert folder_digest(tmp_path, ["b", "a"], ".npz") == hashlib.sha256(b"b 1\nBa 2\nAA").hexdigest()
    with pytest.raises(FileNotFoundError, match="no file ID.png for 2 of 3 ids, such as b.png"):
        folder_digest(tmp_path, ["a", "b", "c"], ".png")


def test_poly_schedule():
    settings = Segmentation.preset("voc12")
    assert learning_rate(settings, 0, 0.5) == 5e-4
    assert learning_rate(settings, 10, 0.5) == pytest.approx(5e-4 * 0.5**0.9)
    assert learning_rate(Segmentation.preset("voc12", schedule="iteration"), 10, 0.5) == pytest.approx(5e-4 * (9.5 / 20) ** 0.9)

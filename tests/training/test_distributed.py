"""Training on several devices and by several workers: both agree, are stopped at one step, and go on bit-identically."""
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from scripts import module_of, one_thread
from small_training import CHECKPOINT, OPTIONS, ROOT, command, largest_difference, log_lines, run, steps_of

from cian.base.stops import Interrupted
from cian.scenes.generate import generate
from cian.training.tool import TrainingProgress
from cian.training.worker_group import WorkerGroup

LAUNCH = [sys.executable, str(ROOT / "tools" / "launch.py"), "-n", "2", "-s", "1", "--"]
DISTRIBUTED = ("--kvstore", "dist_sync")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Scenes to train on."""
    folder = tmp_path_factory.mktemp("scenes")
    generate(folder, train=24, val=1, size=80, workers=1)
    return folder


@pytest.fixture(scope="module")
def workers(scenes, tmp_path_factory):
    """A training by two workers, never stopped."""
    folder = tmp_path_factory.mktemp("workers")
    result = run(scenes, folder, *DISTRIBUTED, before=LAUNCH, threads=1)
    assert result.returncode == 0, result.stderr[-2000:] + result.stdout[-2000:]
    return folder


def test_two_devices_and_two_workers_agree(scenes, workers, tmp_path):
    devices = run(scenes, tmp_path / "devices", "--devices", "cpu0,cpu1", threads=1)
    assert devices.returncode == 0, devices.stderr[-2000:]
    assert largest_difference(workers / CHECKPOINT, tmp_path / "devices" / CHECKPOINT) < 1e-4


def test_workers_stop_at_one_step_and_go_on_bit_identically(scenes, workers, tmp_path):
    environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1")
    stopped = subprocess.Popen(LAUNCH + command(scenes, tmp_path, *DISTRIBUTED), env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 200
    while len(log_lines(tmp_path)) < 2 and stopped.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    stopped.send_signal(signal.SIGTERM)
    output = stopped.communicate(timeout=120)[0]
    assert stopped.returncode == 143 and "\nstopped by SIGTERM" in output, output[-2000:]
    assert output.count("stopped by SIGTERM; --resume goes on from here") == 2
    done = len(log_lines(tmp_path))
    assert (tmp_path / "resume.npz").exists() and 2 <= done < len(log_lines(workers))
    result = run(scenes, tmp_path, *DISTRIBUTED, "--resume", before=LAUNCH, threads=1)
    assert result.returncode == 0 and result.stdout.count("resumed at epoch") == 2, result.stdout[-2000:]
    epoch, step = divmod(done, len_epoch(workers))
    places = [(epoch, step)] + ([] if step else [(epoch - 1, len_epoch(workers))])  # stopped behind an epoch's last step
    assert any(f"resumed at epoch {place[0]}, step {place[1]}" in result.stdout for place in places)
    assert (tmp_path / CHECKPOINT).read_bytes() == (workers / CHECKPOINT).read_bytes()
    assert steps_of(tmp_path) == steps_of(workers)


def len_epoch(folder):
    return sum(line["epoch"] == 0 for line in log_lines(folder))


@one_thread  # several CPU devices need it
def test_two_devices_go_on_bit_identically(scenes, tmp_path, monkeypatch):
    class StoppingBar(TrainingProgress):
        def __call__(self, epoch, step, count, loss):
            super().__call__(epoch, step, count, loss)
            if (epoch, step) == (0, 1):
                os.kill(os.getpid(), signal.SIGTERM)

    train = module_of("train")
    words = ["--data", str(scenes), "--seeds", str(scenes / "SegmentationClassAug"), *OPTIONS[:-1], "0",
             "--devices", "cpu0,cpu1", "--output"]
    train.main([*words, str(tmp_path / "whole")])
    with monkeypatch.context() as patched, pytest.raises(Interrupted):
        patched.setattr("cian.training.tool.TrainingProgress", StoppingBar)
        train.main([*words, str(tmp_path / "stopped")])
    with np.load(str(tmp_path / "stopped" / "resume.npz")) as state:
        mean = state["aux:bn_out_moving_mean"]
        shares = [state[f"share:{number}:aux:bn_out_moving_mean"] for number in (0, 1)]
    assert (shares[0] != shares[1]).any() and np.array_equal(mean, sum(shares) / 2)
    with pytest.raises(ValueError, match="shares was 2, now 1"):
        train.main([*words[:-2], "cpu0", "--output", str(tmp_path / "stopped"), "--resume"])
    train.main([*words, str(tmp_path / "stopped"), "--resume"])
    assert (tmp_path / "stopped" / CHECKPOINT).read_bytes() == (tmp_path / "whole" / CHECKPOINT).read_bytes()
    assert steps_of(tmp_path / "stopped") == steps_of(tmp_path / "whole")


class Exchange:
    """A store of several workers, which are threads: what each pulls is the sum of what all have pushed."""

    def __init__(self, workers):
        self.pushed, self.barrier = [None] * workers, threading.Barrier(workers, timeout=30)

    def store(self, rank):
        exchange = self

        class Store:
            num_workers = len(exchange.pushed)

            def init(self, key, value):
                exchange.barrier.wait()

            def push(self, key, value):
                exchange.pushed[rank] = value.asnumpy()

            def pull(self, key, out):
                exchange.barrier.wait()
                out[:] = sum(exchange.pushed)
                exchange.barrier.wait()

        Store.rank = rank
        return Store()


def together(work, count=2):
    """What work(workers) returns, or raises, for each of some workers, in the order of their ranks."""
    exchange, results = Exchange(count), [None] * count

    def run_one(rank):
        try:
            results[rank] = work(WorkerGroup(exchange.store(rank)))
        except ValueError as error:
            results[rank] = error

    threads = [threading.Thread(target=run_one, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_workers_gather_in_the_order_of_their_ranks():
    rows = together(lambda workers: workers.gather("x", np.full((2, 1), workers.rank + 0.1, np.float32)), 3)
    for found in rows:
        np.testing.assert_array_equal(found, np.array([[0.1], [0.1], [1.1], [1.1], [2.1], [2.1]], np.float32))
    np.testing.assert_array_equal(WorkerGroup("device").gather("x", np.eye(2)), np.eye(2))


@pytest.mark.parametrize("noted, save, expected", [
    ((None, None), (False, False), (None, False)), ((None, signal.SIGTERM), (False, False), (signal.SIGTERM, False)),
    ((None, None), (True, False), (None, True)), ((None, None), (False, True), (None, False)),
    ((signal.SIGTERM, signal.SIGINT), (True, True), (signal.SIGINT, True))])
def test_workers_agree_on_stopping_and_the_first_decides_on_saving(noted, save, expected):
    assert together(lambda workers: workers.agree(noted[workers.rank], save[workers.rank])) == [expected] * 2


def test_workers_that_mean_different_trainings_are_told():
    facts = [{"settings": {"lr": 0.1}, "state": {"epoch": 1, "step": 0}}, {"settings": {"lr": 0.1}, "state": None}]
    errors = together(lambda workers: workers.compare(facts[workers.rank]))
    assert str(errors[1]).startswith("workers 0 and 1 differ in state: worker 1 has None. ")
    assert str(errors[0]).startswith("workers 0 and 1 differ in state: worker 0 has {'epoch': 1, 'step': 0}. ")
    assert together(lambda workers: workers.compare(facts[0])) == [None, None]

"""Shares of a batch in turns: one device with N shares trains as N devices do; NaN in parameters is never written."""

import os
import subprocess
import sys

import numpy as np
import pytest

from cian.base.runs import Run
from cian.base.runtime import mx
from cian.base.stops import Diverged
from cian.config import Classifier, Segmentation
from cian.models.checkpoint import named_arrays
from cian.training.engine import Fit
from cian.training.objectives import ClassifierObjective, SegmentationObjective


def batch(groups, size=33, classes=3):
    rng = np.random.RandomState(0)
    side = (size - 1) // 8 + 1
    shape = (groups, 2)
    images, labels = rng.randint(0, 255, (*shape, 3, size, size)), rng.randint(0, classes, (*shape, side, side))
    return images.astype(np.uint8), labels.astype(np.uint8), np.ones((*shape, classes))


def trained(devices, shares, folder, steps=2):
    """Parameters and running statistics after steps of four pairs, with affinity block and batch normalisation, in float64."""
    settings = Segmentation.preset("scenes", batch=8, optimizer="sgd", lr=0.01)
    objective = SegmentationObjective(settings, 3, devices)
    objective.net.cast("float64")
    fit = Fit(objective, None, Run(folder, "x", write=False), settings, devices, shares=shares)
    gamma = objective.net.collect_params("bn_out_gamma")["bn_out_gamma"]
    gamma.set_data(mx.nd.ones(gamma.shape, dtype="float64"))
    for step in range(steps):
        fit.step(0, step, steps, ["?"] * 8, batch(4))
    return {name: array.asnumpy() for name, array in named_arrays(objective.net).items()}


def compare_shares_and_devices(folder):
    by_devices, in_turns = trained([mx.cpu(0), mx.cpu(1)], None, folder), trained([mx.cpu(0)], 2, folder)
    for name, value in by_devices.items():
        np.testing.assert_allclose(in_turns[name], value, rtol=0, atol=1e-10, err_msg=name)
    both = trained([mx.cpu(0), mx.cpu(1)], 4, folder)  # two turns on two devices
    four = trained([mx.cpu(0)], 4, folder)
    for name, value in four.items():
        np.testing.assert_allclose(both[name], value, rtol=0, atol=1e-10, err_msg=name)
    name = "aux:bn_out_moving_var"
    assert np.abs(four[name] - in_turns[name]).max() > 1e-4  # the number of shares is part of the mathematics


def test_shares_in_turns_are_devices(tmp_path):
    if os.environ.get("OMP_NUM_THREADS") == "1":  # several CPU devices need a process with one OpenMP thread each
        compare_shares_and_devices(tmp_path)
        return
    code = f"import pathlib, test_shares; test_shares.compare_shares_and_devices(pathlib.Path({str(tmp_path)!r}))"
    environment = dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=os.pathsep.join(path for path in sys.path if path))
    environment["PYTHONPATH"] += os.pathsep + os.path.dirname(__file__)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, env=environment)
    assert result.returncode == 0, result.stderr[-2000:]


@pytest.fixture(scope="module")
def fit(tmp_path_factory):
    """A training of a small classifier, before its first step."""
    settings = Classifier.preset("scenes")
    devices = [mx.cpu(0)]
    folder = tmp_path_factory.mktemp("run")
    return Fit(ClassifierObjective(settings, 3, devices), None, Run(folder, "x"), settings, devices)


def test_nan_in_parameters_is_found_and_nothing_is_written(fit):
    fit.save_state(0, 1)
    before = fit.run.state_path.read_bytes()
    weight = fit.objective.net.collect_params("classifier_weight")["classifier_weight"]
    good = weight.data().copy()
    weight.data()[0, 0] = np.nan
    for writing in (lambda: fit.save_state(0, 2), lambda: fit.arrays()):
        with pytest.raises(Diverged, match="1 parameters hold NaN or infinite values, such as arg:classifier_weight"):
            writing()
    assert fit.run.state_path.read_bytes() == before
    weight.set_data(good)
    fit.arrays()

"""The golden files of training (shared/golden/README.md) beside our step: how far the two are apart, quantity by quantity.

    python golden_steps.py CASE SHARED DTYPE [DEVICES]

prints the deviations of one case as JSON, on the CPU unless other devices are named.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from published import parameter

from cian.base.runs import Run
from cian.base.runtime import devices, mx
from cian.config import Segmentation
from cian.training.engine import Fit
from cian.training.losses import completion_target, one_hot
from cian.training.objectives import SegmentationObjective

#: file -> settings that differ from the published default, devices, updates, zeroed bn_out gamma
CASES = {
    "train64_resnet50_pair": (dict(backbone="resnet50"), "cpu", 2, False),
    "train64_resnet50_pair_zero_gamma": (dict(backbone="resnet50"), "cpu", 2, True),
    "train64_resnet50_two_devices": (dict(backbone="resnet50"), "cpu0,cpu1", 2, False),
    "train64_resnet50_group3_avg_cosine": (
        dict(backbone="resnet50", group_size=3, merge="avg", similarity="cosine", merge_self=False),
        "cpu",
        1,
        False,
    ),
    "train64_resnet101_pair": (dict(backbone="resnet101"), "cpu", 1, False),
}
CLASSES = 21


def by_group(array, count, size):
    """Published order, per device [a1..am, b1..bm, ...], to (groups, size, ...), devices' groups consecutive."""
    array = array.reshape((count, size, -1) + array.shape[1:])  # (devices, G, m, ...)
    return array.swapaxes(1, 2).reshape((-1, size) + array.shape[3:])


def relative(measured, wanted):
    """Largest |measured - wanted| over the largest |wanted|; where nothing is wanted, anything measured counts in full."""
    measured, wanted = np.asarray(measured, np.float64), np.asarray(wanted, np.float64)
    largest = np.abs(wanted).max()
    return float(np.abs(measured - wanted).max() / (largest if largest else 1))


def head(array):
    """First 8 values, flattened, repeated if fewer."""
    return np.resize(array, 8)


def deviations(case, shared, dtype, where=None):
    """{quantity: {name: deviation}} of a case after its updates; `relative`, of `completion` the share of wrong pixels.

    where: the devices, such as "gpu0,gpu1", None those of CASES. Measured in a process of its own, which gives back its memory
    (1.5 GB), and which with several CPU devices has one thread.
    """
    where = where or CASES[case][1]
    command = [sys.executable, __file__, case, str(shared), dtype, where]
    threads = dict(OMP_NUM_THREADS="1") if "cpu" in where and "," in where else {}
    path = os.pathsep.join([str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = dict(os.environ, PYTHONPATH=path, **threads)
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert result.returncode == 0, result.stderr[-2000:]
    return json.loads(result.stdout.splitlines()[-1])


def measure_case(case, shared, dtype, where):
    """As `deviations`, in this process."""
    with np.load(str(shared / "golden" / f"{case}.npz")) as file:
        golden = {key: file[key] for key in file.files}
    changes, _, updates, zero_gamma = CASES[case]
    settings = Segmentation.preset(**changes, batch=len(golden["data"]))
    return measure(golden, settings, devices(where), updates, zero_gamma, dtype)


def measure(golden, settings, contexts, updates, zero_gamma, dtype):
    """As `measure_case`, of an opened golden file."""
    objective = SegmentationObjective(settings, CLASSES, contexts)
    objective.net.cast(dtype)
    parameters = objective.net.collect_params()
    start = {name: parameter(name, p.shape).astype(dtype) for name, p in parameters.items()}
    if zero_gamma:
        start["bn_out_gamma"][:] = 0
    for name, value in start.items():
        parameters[name].set_data(mx.nd.array(value, dtype=dtype))

    def grouped(array):
        return by_group(array, len(contexts), settings.group_size)

    images, labels = grouped(golden["data"]), grouped(golden["label"])
    batch = images, labels, np.zeros(labels.shape[:2] + (CLASSES,))  # tags are not used by the published class set
    found = {quantity: {} for quantity in ("logits", "completion", "gradient norm", "gradient head")}
    fit = Fit(objective, None, Run(Path(tempfile.gettempdir()), "golden", write=False), settings, contexts)
    seen = []  # (self, cross) logits of each device in the step, (P, G, K, h, w)
    objective.group.register_forward_hook(lambda block, inputs, outputs: seen.append(outputs))
    for update in range(updates):
        fit.step(0, update, updates, ["?"], batch)
        mx.nd.waitall()
        own, cross = (np.concatenate([maps.asnumpy() for maps in both]) for both in zip(*seen))
        seen.clear()
        if update == 0:
            for key, maps in (("logits_self", own), ("logits_cross", cross)):
                assert maps.dtype == dtype
                found["logits"][key] = relative(maps, grouped(golden[key]))
                found["logits"][key.replace("logits", "prob")] = relative(
                    mx.nd.softmax(mx.nd.array(maps, dtype=dtype), axis=2).asnumpy(),
                    grouped(golden[key.replace("logits", "prob")]),
                )
        wrong = completion(cross, labels, dtype) != grouped(golden["completion"][update])
        found["completion"][f"update {update + 1}"] = float(wrong.mean())
        if update == 0:
            trained = {name for name, p in parameters.items() if p.grad_req != "null"}
            assert trained == set(golden["grad_names"])
            for name, norm, first in zip(*(golden[f"grad_{key}"] for key in ("names", "norm", "head"))):
                gradient = parameters[name].list_grad()[0].asnumpy()
                assert gradient.dtype == dtype
                found["gradient norm"][name] = relative(norm_of(gradient), norm)
                found["gradient head"][name] = relative(head(gradient), first)
    for kind, what in (("arg", "parameter"), ("aux", "statistics")):
        columns = (golden[f"{kind}_{key}"] for key in ("names", "norm", "delta_norm", "head"))
        for name, norm, delta, first in zip(*columns):
            value = np.mean([data.asnumpy() for data in parameters[name].list_data()], axis=0)
            assert value.dtype == dtype
            for part, measured, wanted in (
                ("norm", norm_of(value), norm),
                ("change", norm_of(value - start[name]), delta),
                ("head", head(value), first),
            ):
                found.setdefault(f"{what} {part}", {})[name] = relative(measured, wanted)
        assert set(golden[f"{kind}_names"]) == {name for name in parameters if ("_moving_" in name) == (kind == "aux")}
    return found


def norm_of(array):
    """Euclidean norm, summed in double precision."""
    return np.linalg.norm(array.astype(np.float64))


def completion(cross, labels, dtype):
    """Class of the completion target (Eq. 7) at each pixel, (P, G, h, w), 255 = none."""
    maps, label = (mx.nd.array(array, dtype=dtype).reshape((-3, -2)) for array in (cross, labels))
    allowed = one_hot(mx.nd, label, CLASSES).max(axis=(2, 3), keepdims=True)
    target = completion_target(mx.nd, maps, allowed, CLASSES)
    assert target.dtype == np.dtype(dtype)
    target = target.asnumpy().reshape(cross.shape)
    return np.where(target.any(axis=2), target.argmax(axis=2), 255)


def worst(found):
    """{quantity: (largest deviation, its name)}"""
    return {quantity: max((value, name) for name, value in each.items()) for quantity, each in found.items()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure_case(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:5])) + "\n")

"""The training step, update and inference against files that the published code computed (shared/golden/README.md)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from published import inference_parameter, parameter

from cian.base.runs import Run
from cian.base.runtime import devices, mx
from cian.config import Segmentation
from cian.data.images import read_image
from cian.inference.crf import dense_crf
from cian.inference.segmenter import Segmenter
from cian.models.cian import CIAN
from cian.training.engine import Fit
from cian.training.objectives import SegmentationObjective

#: file -> settings that differ from the published default, devices, updates, zeroed bn_out gamma
CASES = {
    "train_resnet50_pair": (dict(backbone="resnet50"), "cpu", 2, False),
    "train_resnet50_pair_zero_gamma": (dict(backbone="resnet50"), "cpu", 2, True),
    "train_resnet50_two_devices": (dict(backbone="resnet50"), "cpu0,cpu1", 2, False),
    "train_resnet50_group3_avg_cosine": (
        dict(backbone="resnet50", group_size=3, merge="avg", similarity="cosine", merge_self=False),
        "cpu",
        1,
        False,
    ),
    "train_resnet101_pair": (dict(backbone="resnet101"), "cpu", 1, False),
}
#: running statistics that the golden file holds as they were before its second update: batch normalisation writes them in the
#: backward pass behind the engine's back, and the file's maker did not wait for it. Values of the published code with a wait.
STALE = {
    "train_resnet50_pair": {"bn_out_moving_mean": (5.9309278, 5.3582177), "bn_out_moving_var": (29.85923, 15.541937)}
}


def by_group(array, count, size):
    """Published order, per device [a1..am, b1..bm, ...], to (groups, size, ...), devices' groups consecutive."""
    array = array.reshape((count, size, -1) + array.shape[1:])  # (devices, G, m, ...)
    return array.swapaxes(1, 2).reshape((-1, size) + array.shape[3:])


def deviations(golden, settings, names, updates, zero_gamma, folder):
    """Run the updates of a golden file; largest deviation of each kind, as the issue measures them."""
    contexts = devices(names)
    objective = SegmentationObjective(settings, 21, contexts)
    parameters = objective.net.collect_params()
    start = {
        name: parameter(name, p.shape) * (0 if zero_gamma and name == "bn_out_gamma" else 1)
        for name, p in parameters.items()
    }
    for name, value in start.items():
        parameters[name].set_data(mx.nd.array(value))
    images, labels = (by_group(golden[key], len(contexts), settings.group_size) for key in ("data", "label"))
    tags = np.zeros(labels.shape[:2] + (21,), np.float32)  # not used by the published class set
    found = {}
    with mx.autograd.train_mode():
        share = len(images) // len(contexts)
        logits = [
            objective.group(mx.nd.array(images[i * share : (i + 1) * share], ctx=c, dtype="float32"))
            for i, c in enumerate(contexts)
        ]
    for key, maps in zip(("logits_self", "logits_cross"), zip(*logits)):
        maps, wanted = (
            np.concatenate([m.asnumpy() for m in maps]),
            by_group(golden[key], len(contexts), settings.group_size),
        )
        found[key] = float(np.abs(maps - wanted).max() / np.abs(wanted).max())

    fit = Fit(objective, None, Run(folder, "golden", write=False), settings, contexts)
    for update in range(updates):
        fit.step(0, update, updates, ["?"], (images, labels, tags))
        mx.nd.waitall()
        if update == 0:
            trained = {name for name, p in parameters.items() if p.grad_req != "null"}
            assert trained == set(golden["grad_names"])
            found["gradient norm"] = max(
                relative(np.linalg.norm(parameters[name].list_grad()[0].asnumpy()), norm)
                for name, norm in zip(golden["grad_names"], golden["grad_norm"])
            )
    for kind in ("arg", "aux"):
        for name, norm, delta in zip(*(golden[f"{kind}_{key}"] for key in ("names", "norm", "delta_norm"))):
            norm, delta = STALE.get(golden["case"], {}).get(name, (norm, delta))
            value = np.mean([data.asnumpy() for data in parameters[name].list_data()], axis=0)
            for what, measured, wanted in (
                (f"{kind} norm", np.linalg.norm(value), norm),
                (f"{kind} delta", np.linalg.norm(value - start[name]), delta),
            ):
                found[what] = max(found.get(what, 0), relative(measured, wanted))
    return found


def relative(measured, wanted):
    """|measured - wanted| / |wanted|; where nothing is wanted, anything measured counts in full."""
    return float(abs(measured - wanted) / wanted) if wanted else float(measured)


def check(case, shared, folder):
    """Deviations of one golden file, checked against the issue's bounds."""
    settings, names, updates, zero_gamma = CASES[case]
    with np.load(str(shared / "golden" / f"{case}.npz")) as file:
        golden = {key: file[key] for key in file.files}
    settings = Segmentation.preset(**settings, batch=len(golden["data"]))
    found = deviations(dict(golden, case=case), settings, names, updates, zero_gamma, folder)
    for what, value in found.items():
        assert value < (1e-4 if what.startswith("logits") else 1e-3), (what, value)
    return found


@pytest.mark.parametrize("case", CASES)
def test_training_equals_the_published_code(case, shared, tmp_path):
    if "," not in CASES[case][1]:
        check(case, shared, tmp_path)
        return
    # several CPU devices need a process with one OpenMP thread each
    result = subprocess.run(
        [sys.executable, __file__, case, str(shared), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=300,
        env=dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=str(Path(__file__).resolve().parents[1])),
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert "gradient norm" in json.loads(result.stdout.splitlines()[-1])


def test_inference_equals_the_published_code(shared):
    with np.load(str(shared / "golden" / "infer_resnet50_ms_flip_crf.npz")) as file:
        golden = {key: file[key] for key in file.files}
    image = read_image(shared / "data" / "VOC2012-animals" / "JPEGImages" / str(golden["image"]))
    net = CIAN("resnet50", 21)
    net.initialize()
    for name, p in net.collect_params().items():
        p.set_data(mx.nd.array(inference_parameter(name, p.shape)))
    net.hybridize()
    logits = Segmenter(net, mx.cpu()).logits(image)
    wanted = golden["logits_every_8"]
    assert np.abs(logits[:, ::8, ::8] - wanted).max() <= 1e-3 * np.abs(wanted).max()
    assert (logits.argmax(axis=0) == golden["pred"]).mean() >= 0.999
    for iterations in (5, 10):
        for method in ("exact", "pruned"):
            refined = dense_crf(image, logits, iterations, method)
            assert (refined == golden[f"pred_crf_{iterations}"]).mean() >= 0.999, (iterations, method)


if __name__ == "__main__":  # one case in a process of its own; prints its deviations as JSON
    sys.stdout.write(json.dumps(check(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))) + "\n")

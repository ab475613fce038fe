"""A small training on generated scenes through tools/train.py, and comparisons of its checkpoints."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from cian.models.checkpoint import read_params

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = ["--devices", "cpu", "--preset", "scenes", "--crop", "65", "--batch", "4", "--epochs", "2"]
OPTIONS += ["--init", "random", "--workers", "1"]
CHECKPOINT = "cian_resnet10-0001.params"


def command(data, output, *options):
    """The command line of the small training, on the data set's own masks."""
    return [
        sys.executable,
        str(ROOT / "tools" / "train.py"),
        "--data",
        str(data),
        "--seeds",
        str(data / "SegmentationClassAug"),
        "--output",
        str(output),
        *OPTIONS,
        *options,
    ]


def stopped(number, steps, verb, *words):
    """Run a training that sends itself a signal after some steps; its exit status, negative if the signal ended it."""
    command = [sys.executable, str(ROOT / "tests" / "stopping_training.py"), str(int(number)), str(steps), verb, *words]
    return subprocess.run(command, capture_output=True, timeout=600, env=dict(os.environ, PYTHONPATH=str(ROOT))).returncode


def run(data, output, *options, before=(), threads=None):
    """Run the small training to its end; its finished process."""
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    return subprocess.run(
        list(before) + command(data, output, *options), capture_output=True, text=True, timeout=600, env=environment
    )


def largest_difference(one, other):
    """Largest |difference| of two checkpoints, relative to the largest value of each parameter."""
    one, other = read_params(one), read_params(other)
    assert set(one) == set(other)
    worst = 0.0
    for name in one:
        a, b = one[name].asnumpy(), other[name].asnumpy()
        worst = max(worst, float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-6)))
    return worst


def log_lines(folder):
    """The steps that a training has logged, as dicts."""
    path = folder / "log.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def steps_of(folder):
    """What a training has logged, without the times."""
    return [{name: value for name, value in line.items() if name != "seconds"} for line in log_lines(folder)]

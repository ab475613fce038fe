"""The one place that prepares and imports MXNet: numpy aliases, CUDA libraries, OpenMP threads; and names devices.

Everything that needs MXNet says `from cian.base.runtime import mx`. Importing this module is the preparation: the numpy
aliases, the libraries and the threads must be in place before MXNet is loaded, and never change afterwards.
With DMLC_ROLE=server or scheduler (tools/launch.py) the import of MXNet serves until the workers are done, then exits.
"""
import os
import platform
import re
import sys

import joblib
import numpy as np

from cian.base import environment
from cian.base.cards import cards, cudnn_version, driver_version
from cian.base.cuda import installed_version, load_cuda_libraries
from cian.base.denormals import flush_denormals
from cian.base.stops import end_worker

PACKAGES = ("numpy", "gluoncv", "opencv-python", "pillow", "scipy", "scikit-image", "pydensecrf2", "joblib", "loky")


def add_numpy_aliases():
    """Put np.bool and its like back, which MXNet 1.9.1 uses at import and numpy >= 1.24 dropped."""
    for name, python_type in (("bool", bool), ("object", object), ("int", int), ("float", float),
                              ("complex", complex), ("str", str)):
        if name not in np.__dict__:  # a look-up by attribute would warn on numpy 1.20-1.23
            setattr(np, name, python_type)


def use_all_processors():
    """Set OMP_NUM_THREADS to all processors this process may use, unless the user has set it.

    MXNet alone would take half of them. OpenMP reads the variable when MXNet loads its library.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(joblib.cpu_count()))  # affinity mask and container quota count


def _end_on_exception(*exception):
    sys.__excepthook__(*exception)
    end_worker(1)


add_numpy_aliases()
use_all_processors()
environment.set_defaults(environment.ALWAYS)
flush_denormals()
if installed_version("mxnet-cu112"):
    load_cuda_libraries()

if os.environ.get("DMLC_ROLE") == "worker":
    sys.excepthook = _end_on_exception

import mxnet as mx  # noqa: E402


def gpu_build():
    """Was this MXNet built with CUDA? Asked of MXNet itself: there are other GPU builds than the wheel mxnet-cu112."""
    return mx.runtime.Features().is_enabled("CUDA")


def count_gpus():
    """Number of GPUs MXNet can use; 0 when it was built without CUDA or the driver finds none."""
    if not gpu_build():
        return 0
    try:
        return mx.context.num_gpus()
    except mx.MXNetError:  # CUDA says "no device" with an error
        return 0


def usable_gpus():
    """Numbers of the GPUs that this MXNet can compute on: of the wheel mxnet-cu112 those it has machine code for."""
    unusable = {card.number for card in cards() if not card.usable} if installed_version("mxnet-cu112") else set()
    return [number for number in range(count_gpus()) if number not in unusable]


def devices(text):
    """The contexts named by a comma-separated list: "cpu", "cpu0,cpu1", "gpu0,gpu1" ("gpu" is "gpu0").

    Returns a list of mx.Context in the order given. ValueError: an unknown name, a device twice, a GPU that is not
    there, or several CPU contexts while OpenMP has more than one thread for each, which can hang.
    """
    contexts = []
    for name in text.split(","):
        match = re.match(r"^(cpu|gpu)(\d*)$", name.strip())
        if not match:
            raise ValueError(f"devices {text!r}: {name.strip()!r} is no device; expected cpu, cpuN, gpu or gpuN, "
                             "comma-separated, such as gpu0,gpu1")
        context = mx.Context(match.group(1), int(match.group(2) or 0))
        if context in contexts:
            raise ValueError(f"devices {text!r}: {name.strip()!r} is named twice")
        contexts.append(context)
    gpus = [context for context in contexts if context.device_type == "gpu"]
    if gpus:
        count = count_gpus()
        for context in gpus:
            if context.device_id >= count:
                there = ("MXNet was built without CUDA" if not gpu_build() else
                         f"MXNet finds {count}: " + (", ".join(f"gpu{i}" for i in range(count)) or "none"))
                raise ValueError(f"devices {text!r}: gpu{context.device_id} is not there; {there} "
                                 "(tools/doctor.py tells more)")
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if len(contexts) - len(gpus) > 1 and threads != "1":
        raise ValueError(f"devices {text!r}: several CPU devices need one OpenMP thread each, OMP_NUM_THREADS is "
                         f"{threads or 'not set'}; put `env OMP_NUM_THREADS=1` in front of the command")
    return contexts


def versions():
    """What this process runs on, for settings.json: name -> version, None for a package that is not installed."""
    found = {"python": platform.python_version(), "platform": platform.platform(), "mxnet": mx.__version__,
             "mxnet-build": "cpu" if not gpu_build() else "cu112" if installed_version("mxnet-cu112") else "cuda"}
    found.update({name: installed_version(name) for name in PACKAGES})
    return found


def hardware(contexts):
    """What computes, for the circumstances of a run: devices, cards, driver, cuDNN, and the variables that steer MXNet.

    contexts: the devices used; the cards are those of the GPUs among them.
    """
    found = {"devices": [f"{context.device_type}{context.device_id}" for context in contexts],
             "environment": environment.recorded()}
    used = {context.device_id for context in contexts if context.device_type == "gpu"}
    if used:
        found["cards"] = [str(card) for card in cards() if card.number in used]
        found["driver"], found["cudnn"] = driver_version(), cudnn_version()
    return found

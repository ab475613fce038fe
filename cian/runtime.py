"""The one place that prepares and imports MXNet: numpy aliases, CUDA libraries, OpenMP threads; and names devices.

Everything that needs MXNet says `from cian.runtime import mx`. Importing this module is the preparation: the numpy
aliases, the libraries and the threads must be in place before MXNet is loaded, and never change afterwards.
With DMLC_ROLE=server or scheduler (tools/launch.py) the import of MXNet serves until the workers are done, then exits.
"""
import ctypes
import importlib.util
import os
import platform
import re
from importlib import metadata
from pathlib import Path

import joblib
import numpy as np

# What mxnet-cu112 links against, in loading order: distribution and its version in requirements.txt, folder, libraries.
CUDA_LIBRARIES = (
    ("nvidia-cuda-runtime-cu11", "11.8.89", "cuda_runtime", ("libcudart.so.11.0",)),
    ("nvidia-cuda-nvrtc-cu11", "11.8.89", "cuda_nvrtc", ("libnvrtc.so.11.2",)),
    ("nvidia-nvtx-cu11", "11.8.86", "nvtx", ("libnvToolsExt.so.1",)),
    ("nvidia-cublas-cu11", "11.11.3.6", "cublas", ("libcublasLt.so.11", "libcublas.so.11")),
    ("nvidia-cufft-cu11", "10.9.0.58", "cufft", ("libcufft.so.10",)),
    ("nvidia-curand-cu11", "10.3.0.86", "curand", ("libcurand.so.10",)),
    ("nvidia-cusparse-cu11", "11.7.5.86", "cusparse", ("libcusparse.so.11",)),
    ("nvidia-cusolver-cu11", "11.4.1.48", "cusolver", ("libcusolver.so.11",)),
    ("nvidia-nccl-cu11", "2.21.5", "nccl", ("libnccl.so.2",)),
    ("nvidia-cudnn-cu11", "8.9.6.50", "cudnn", ("libcudnn.so.8",)),
)
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


def installed_version(distribution):
    """Version of an installed distribution, None when it is not there."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def find_cuda_library(folder, library):
    """Path of `library` in the wheels' nvidia/`folder`/lib, None when no wheel holds it."""
    spec = importlib.util.find_spec("nvidia")  # a namespace package: one folder a place where wheels were installed
    for root in (spec.submodule_search_locations if spec else ()):
        path = Path(root) / folder / "lib" / library
        if path.is_file():
            return path
    return None


def load_cuda_libraries():
    """Load the driver and the CUDA 11 libraries for mxnet-cu112: from the wheels, else as the system finds them.

    ImportError names the library that is missing and the command that mends it.
    """
    try:
        ctypes.CDLL("libcuda.so.1", mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise ImportError(f"mxnet-cu112 is installed, but the NVIDIA driver's libcuda.so.1 cannot be loaded ({error}): "
                          "install the driver, or run `bash experiments/setup.sh`, which chooses the CPU set") from None
    for distribution, version, folder, libraries in CUDA_LIBRARIES:
        for library in libraries:
            path = find_cuda_library(folder, library)
            try:
                ctypes.CDLL(str(path or library), mode=ctypes.RTLD_GLOBAL)
            except OSError as error:
                raise ImportError(f"mxnet-cu112 needs {library}, which cannot be loaded ({error}): "
                                  f"pip install --no-deps {distribution}=={version}") from None


add_numpy_aliases()
use_all_processors()
if installed_version("mxnet-cu112"):
    load_cuda_libraries()

import mxnet as mx  # noqa: E402


def count_gpus():
    """Number of GPUs MXNet can use; 0 when it was built without CUDA or the driver finds none."""
    if not mx.runtime.Features().is_enabled("CUDA"):
        return 0
    try:
        return mx.context.num_gpus()
    except mx.MXNetError:  # CUDA says "no device" with an error
        return 0


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
                there = ("MXNet was built without CUDA" if not mx.runtime.Features().is_enabled("CUDA") else
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
             "mxnet-build": "cu112" if installed_version("mxnet-cu112") else "cpu"}
    found.update({name: installed_version(name) for name in PACKAGES})
    return found

"""Environment variables that MXNet and NVIDIA's libraries read when they are first used: what they are set to, and why.

Nothing here imports MXNet, so that it can come before. A variable that the user has set stays as it is.
"""

import contextlib
import os

#: before MXNet is loaded, in every process
ALWAYS = {
    # MXNet fuses neighbouring operators into kernels it compiles at run time: IRN's loss becomes one of 756 outputs, which
    # cannot be compiled; drivers before 520 refuse what CUDA 11.8 compiles; and a fused ReLU turns NaN into 0
    "MXNET_USE_FUSION": "0",
    "MXNET_CUDNN_LIB_CHECKING": "0",  # the wheels' cuDNN is newer than the one MXNet was built with, as it may be
    "CUDA_MODULE_LOADING": "LAZY",  # kernels are loaded when they are needed: less start-up time and memory
    "MXNET_MKLDNN_CACHE_NUM": "500",  # prepared CPU kernels of a kind; all are kept otherwise, one for every size of image
}
#: before a training's first convolution: the fastest algorithms, but, unlike MXNet's default 1, only within the limit on memory
TRAINING = {"MXNET_CUDNN_AUTOTUNE_DEFAULT": "2"}
#: before whole images, whose sizes change: searching algorithms for each size would take hours; a pool that rounds sizes up
WHOLE_IMAGES = {"MXNET_CUDNN_AUTOTUNE_DEFAULT": "0", "MXNET_GPU_MEM_POOL_TYPE": "Round"}
#: --deterministic: cuDNN's algorithms neither chosen by timing nor such as add in changing order, and float32 without TF32
DETERMINISTIC = {
    "MXNET_CUDNN_AUTOTUNE_DEFAULT": "0",
    "MXNET_ENFORCE_DETERMINISM": "1",
    "NVIDIA_TF32_OVERRIDE": "0",
}
RECORDED = ("MXNET_", "DNNL_", "NVIDIA_TF32_OVERRIDE", "CUDA_VISIBLE_DEVICES", "CUDA_MODULE_LOADING", "OMP_NUM_THREADS")

_ours = {}  # what was set here, which another setting may replace


def set_defaults(values):
    """Set variables {name: value} that the user has not set."""
    for name, value in values.items():
        if name not in os.environ or os.environ[name] == _ours.get(name):
            os.environ[name] = _ours[name] = value


def be_deterministic():
    """Set DETERMINISTIC; ValueError where the user has set one of them otherwise."""
    set_defaults(DETERMINISTIC)
    for name, value in DETERMINISTIC.items():
        if os.environ[name] != value:
            raise ValueError(f"--deterministic: needs {name}={value}, but it is set to {os.environ[name]!r}; unset it")


@contextlib.contextmanager
def temporarily(name, value):
    """Set a variable meanwhile."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def recorded():
    """The variables that decide how MXNet computes, as they are set now: {name: value}."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(RECORDED)}

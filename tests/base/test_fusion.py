"""Why MXNet's fusion of operators is off: IRN's loss would become a kernel that the pinned compiler refuses.

NVRTC compiles without a GPU. It is found where requirements.txt has put it, or in the folder CIAN_NVRTC:
pip install --no-deps --target FOLDER nvidia-cuda-nvrtc-cu11==11.8.89
"""

import ctypes
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from cian.base import cuda
from cian.base.runtime import mx
from cian.config import BoundaryTraining
from cian.training.boundary_loss import BoundaryLoss

OVERFLOW = "Formal parameter space overflowed"
MOST = 4096  # bytes of a kernel's parameters, before CUDA 12.1
TENSOR = 32  # bytes that MXNet passes for each tensor of a fused kernel (src/operator/fusion/fused_op.cu)


@pytest.fixture(scope="module")
def nvrtc():
    """The compiler's library; skipped where it is not installed."""
    folder = os.environ.get("CIAN_NVRTC")
    place = Path(folder, "nvidia", "cuda_nvrtc", "lib") if folder else Path(
        cuda.find_cuda_library("cuda_nvrtc", "libnvrtc.so.11.2") or "none").parent  # fmt: skip
    if not (place / "libnvrtc.so.11.2").is_file():
        pytest.skip("no NVRTC: neither installed nor in CIAN_NVRTC (tests/README.md)")
    ctypes.CDLL(str(place / "libnvrtc-builtins.so.11.8"), ctypes.RTLD_GLOBAL)  # it looks for them by name
    return ctypes.CDLL(str(place / "libnvrtc.so.11.2"))


def compiled(nvrtc, tensors):
    """What the compiler says of a kernel that takes so many tensors, as MXNet passes them; "" where it compiles."""
    names = ", ".join(f"Tensor t{number}" for number in range(tensors))
    source = (
        f"struct Tensor {{ float* data; int shape[{(TENSOR - 8) // 4}]; }};\n"
        f'extern "C" __global__ void fused({names}) {{ t{tensors - 1}.data[threadIdx.x] = t0.data[threadIdx.x]; }}\n'
    )
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"fused.cu", 0, None, None) == 0
    try:
        options = (ctypes.c_char_p * 1)(b"--gpu-architecture=compute_80")
        status = nvrtc.nvrtcCompileProgram(program, 1, options)
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    said = log.value.decode()
    assert bool(status) == ("error" in said.lower())
    return said


def fused_tensors(radius):
    """Inputs and outputs of the kernel that the maxima of IRN's loss would become; all are kept for the gradient."""
    graph = BoundaryLoss(radius)._largest(mx.sym, mx.sym.var("boundary"))
    operators = Counter(node["op"] for node in json.loads(graph.tojson())["nodes"])
    assert set(operators) == {"null", "slice", "_maximum", "Concat"}
    return 1 + operators["slice"] + operators["_maximum"]


def test_the_loss_of_every_preset_is_too_much_for_one_kernel(nvrtc):
    for radius in {BoundaryTraining.preset(preset).radius for preset in ("voc12", "animals", "scenes")}:
        tensors = fused_tensors(radius)
        assert tensors * TENSOR > 5 * MOST
        assert OVERFLOW in compiled(nvrtc, tensors)


def test_small_kernels_compile(nvrtc):
    assert compiled(nvrtc, 23) == ""  # the largest of all other trainings
    assert OVERFLOW not in compiled(nvrtc, MOST // TENSOR) and OVERFLOW in compiled(nvrtc, MOST // TENSOR + 1)

"""The CUDA libraries that mxnet-cu112 needs and does not bring: finding them in wheels, loading them before MXNet.

Free of MXNet, so that tools/doctor.py can look at them where MXNet cannot be imported.
"""
import ctypes
import importlib.util
from importlib import metadata
from pathlib import Path

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


def load(library):
    """Load a shared library, by path or name, for all that come after it; False when the loader cannot."""
    try:
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return False
    return True


def load_cuda_libraries():
    """Load the driver and the CUDA 11 libraries for mxnet-cu112: from the wheels, else as the system finds them.

    ImportError names the library that is missing and the command that mends it.
    """
    if not load("libcuda.so.1"):
        raise ImportError("mxnet-cu112 is installed, but there is no NVIDIA driver (libcuda.so.1): install the driver, "
                          "or run `bash experiments/setup.sh`, which then chooses the CPU set")
    for distribution, version, folder, libraries in CUDA_LIBRARIES:
        for library in libraries:
            if not load(find_cuda_library(folder, library) or library):
                raise ImportError(f"mxnet-cu112 needs {library}, which is in no wheel and not known to the system: "
                                  f"pip install --no-deps {distribution}=={version}")

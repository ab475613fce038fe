"""NVIDIA's cards as the driver lists them, asked through ctypes: no MXNet, and no context on any card, which would take memory.

With the standard library alone: experiments/check_machine.py loads this file before anything is installed.
"""

import ctypes
from typing import NamedTuple, Tuple

USABLE = ((5, 0), (8, 9))  # compute capabilities mxnet-cu112 has machine code for; it brings no PTX for newer ones
LEAST_DRIVER = (450, 80, 2)  # the oldest that runs libraries of all CUDA 11 versions
MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*


class Card(NamedTuple):
    """One card: its number, as in gpu0, its name, compute capability and bytes of memory."""

    number: int
    name: str
    capability: Tuple[int, int]
    memory: int

    @property
    def usable(self):
        """Has the mxnet-cu112 wheel machine code for it?"""
        return USABLE[0] <= self.capability <= USABLE[1]

    def __str__(self):
        return "gpu%d %s, compute capability %d.%d, %.0f GB" % (self.number, self.name, *self.capability, self.memory / 1e9)


def load(name):
    """A shared library, None where the loader finds none."""
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None


def cards():
    """The cards this process may use (CUDA_VISIBLE_DEVICES counts), [] without a driver or where it fails."""
    cuda = load("libcuda.so.1")
    count, found = ctypes.c_int(), []
    if cuda is None or cuda.cuInit(0) != 0 or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return []
    for number in range(count.value):
        device, name, memory = ctypes.c_int(), ctypes.create_string_buffer(100), ctypes.c_size_t()
        major, minor = ctypes.c_int(), ctypes.c_int()
        cuda.cuDeviceGet(ctypes.byref(device), number)
        cuda.cuDeviceGetName(name, 100, device)
        cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
        cuda.cuDeviceGetAttribute(ctypes.byref(major), MAJOR, device)
        cuda.cuDeviceGetAttribute(ctypes.byref(minor), MINOR, device)
        found.append(Card(number, name.value.decode(), (major.value, minor.value), memory.value))
    return found


def driver_version():
    """The driver's version, such as "535.104.05", None without one that says."""
    nvml, text = load("libnvidia-ml.so.1"), ctypes.create_string_buffer(100)
    if nvml is None or nvml.nvmlInit_v2() != 0:
        return None
    try:
        return text.value.decode() if nvml.nvmlSystemGetDriverVersion(text, 100) == 0 else None
    finally:
        nvml.nvmlShutdown()


def too_old(version):
    """Is a driver, by its version's text, too old for the CUDA 11 libraries?"""
    return tuple(int(part) for part in version.split(".")) < LEAST_DRIVER


def cudnn_version():
    """The version of the cuDNN that this process finds, such as 8906, None without one."""
    cudnn = load("libcudnn.so.8")
    if cudnn is None:
        return None
    cudnn.cudnnGetVersion.restype = ctypes.c_size_t
    return cudnn.cudnnGetVersion()

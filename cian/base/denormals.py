"""Arithmetic without denormal numbers, which processors handle a hundred times more slowly than others.

A saturated softmax, such as that of a trained affinity (Eq. 2), is full of them: values between 1e-45 and 1e-38. On x86-64 the
mode lies in a register of each thread (MXCSR), and a new thread takes over that of the thread that starts it.
"""

import ctypes
import ctypes.util
import platform

import numpy as np

FLUSH_TO_ZERO = 0x8000 | 0x0040  # results, and operands
MXCSR_OFFSET = 28  # in glibc's fenv_t on x86-64, of 32 bytes


def flush_denormals():
    """Count denormal numbers as zero, in this thread and those it starts from now on; True where that could be set.

    Only on x86-64 Linux; elsewhere nothing changes. Call it before MXNet starts its threads.
    """
    if platform.system() != "Linux" or platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc":
        return False
    for real in (np.float16, np.float32, np.float64):
        np.finfo(real)  # kept by NumPy; asked later it would warn that the smallest subnormal is zero
    maths = ctypes.CDLL(ctypes.util.find_library("m"))
    environment = (ctypes.c_uint8 * 32)()
    maths.fegetenv(environment)
    register = ctypes.c_uint32.from_buffer(environment, MXCSR_OFFSET)
    register.value |= FLUSH_TO_ZERO
    maths.fesetenv(environment)
    return True

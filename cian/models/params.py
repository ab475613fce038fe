"""The bytes of a .params file as `mx.nd.save` writes them, written by Python: MXNet says neither which file cannot be written
nor why, and does not notice a disk that is full at the very end."""
import struct

import numpy as np

from cian.base.files import replacing

LIST, DENSE_ARRAY, CPU = 0x112, 0xF993FAC9, 1  # MXNet 1.x: src/ndarray/ndarray.cc
TYPES = {np.dtype(name): flag for flag, name in enumerate(("float32", "float64", "float16", "uint8", "int32", "int8", "int64"))}


def write_params(path, arrays):
    """Write {name: NDArray or numpy array} to `path`, whole or not at all; OSError names it, and the cause."""
    with replacing(path) as temporary, open(str(temporary), "wb") as file:
        file.write(struct.pack("<QQQ", LIST, 0, len(arrays)))
        for value in arrays.values():
            value = np.ascontiguousarray(value if isinstance(value, np.ndarray) else value.asnumpy())
            shape = struct.pack(f"<i{value.ndim}q", value.ndim, *value.shape)
            file.write(struct.pack("<Ii", DENSE_ARRAY, 0) + shape + struct.pack("<iii", CPU, 0, TYPES[value.dtype]))
            file.write(value.data)
        file.write(struct.pack("<Q", len(arrays)))
        for name in arrays:
            file.write(struct.pack("<Q", len(name.encode("utf-8"))) + name.encode("utf-8"))

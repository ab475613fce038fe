"""The .params format of MXNet, written and read by Python: MXNet says neither which file cannot be written nor why, does not
notice a disk that is full at the very end, and asks for all memory there is where a header is damaged.

Layout (`NDArray::Load`, src/ndarray/ndarray.cc): a list of arrays, each with shape, device, type and values, then their names.
All numbers are little-endian. Files of 2015 to today are read, with both older headers of an array.
"""
import math
import struct

import numpy as np

from cian.base.files import replacing

LIST, DENSE_ARRAY, CPU = 0x112, 0xF993FAC9, 1  # MXNet 1.x: src/ndarray/ndarray.cc
TYPES = {np.dtype(name): flag for flag, name in enumerate(("float32", "float64", "float16", "uint8", "int32", "int8", "int64"))}
V1, V2, V3 = 0xF993FAC8, DENSE_ARRAY, 0xF993FACA  # headers of an array; before V1 the number of its dimensions stood there
DENSE = 0
MOST_DIMENSIONS = 32
#: type flag -> dtype (mshadow/base.h); 12 is bfloat16
DTYPES = {0: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8", 7: "?", 8: "<i2", 9: "<u2", 10: "<u4", 11: "<u8"}
BFLOAT16 = 12


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


def is_params(head):
    """Do these first bytes begin a .params file?"""
    return head[:8] == struct.pack("<Q", LIST)


def widened(values):
    """uint16 holding bfloat16 -> the same numbers as float32."""
    return (values.astype("<u4") << 16).view("<f4")


def parse_params(content, source):
    """{name: array} of the bytes of a .params file; ValueError names `source` and what is wrong with it."""
    try:
        names, arrays = _parse(_Cursor(memoryview(content)))
    except _Damaged as fault:
        raise ValueError(f"{source}: not a complete .params file ({fault})") from None
    if not names:
        raise ValueError(f"{source}: holds {len(arrays)} arrays without names, expected named parameters")
    if len(names) != len(arrays) or len(set(names)) < len(names):
        raise ValueError(f"{source}: {len(arrays)} arrays, {len(names)} names, {len(set(names))} of them different")
    return dict(zip(names, arrays))


class _Damaged(Exception):
    """What is wrong, and where."""


class _Cursor:
    """Reads on in bytes; _Damaged beyond their end."""

    def __init__(self, content):
        self.content, self.place = content, 0

    def bytes(self, count):
        if count > len(self.content) - self.place:
            raise _Damaged(f"it ends at byte {len(self.content):,}; {count:,} more are needed behind byte {self.place:,}")
        self.place += count
        return self.content[self.place - count : self.place]

    def numbers(self, code, count=1):
        return struct.unpack(f"<{count}{code}", self.bytes(count * struct.calcsize(code)))

    def number(self, code):
        return self.numbers(code)[0]


def _parse(cursor):
    if cursor.number("Q") != LIST:
        raise _Damaged("it does not begin with MXNet's mark 0x112")
    cursor.number("Q")  # reserved
    arrays = [_array(cursor) for _ in range(_count(cursor))]
    names = [bytes(cursor.bytes(cursor.number("Q"))) for _ in range(_count(cursor))]
    if cursor.place != len(cursor.content):
        raise _Damaged(f"{len(cursor.content) - cursor.place:,} bytes follow its end")
    try:
        return [name.decode("utf-8") for name in names], arrays
    except UnicodeDecodeError:
        raise _Damaged("a name is not text") from None


def _count(cursor):
    """A number of entries; each takes four bytes or more."""
    count = cursor.number("Q")
    if count > len(cursor.content) // 4:
        raise _Damaged(f"{count:,} entries in {len(cursor.content):,} bytes")
    return count


def _array(cursor):
    magic = cursor.number("I")
    if magic in (V2, V3):
        kind = cursor.number("i")
        if kind != DENSE:
            raise _Damaged(f"an array of storage type {kind}, expected dense ones")
    new = magic in (V1, V2, V3)
    dimensions = cursor.number("i") if new else magic
    if not 0 <= dimensions <= MOST_DIMENSIONS:
        raise _Damaged(f"an array of {dimensions:,} dimensions at byte {cursor.place:,}")
    shape = cursor.numbers("q" if new else "I", dimensions)
    if dimensions == 0:
        return np.zeros(0, "float32")  # never given a shape
    if min(shape) < 0:
        raise _Damaged(f"an array of shape {shape} at byte {cursor.place:,}")
    _, _, flag = cursor.numbers("i", 3)  # device type and number, type
    if flag not in DTYPES and flag != BFLOAT16:
        raise _Damaged(f"an array of type {flag} at byte {cursor.place:,}")
    dtype = np.dtype(DTYPES.get(flag, "<u2"))
    values = np.frombuffer(cursor.bytes(math.prod(shape) * dtype.itemsize), dtype).reshape(shape)
    return widened(values) if flag == BFLOAT16 else values

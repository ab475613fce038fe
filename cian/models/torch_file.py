"""PyTorch's .pth files, read without PyTorch and without executing anything in them.

A file of `torch.save` is a zip archive: a pickle `data.pkl` that describes tensors, and their values, one member a storage.
Older ones (before PyTorch 1.6; torchvision's VGG16 of 2017 is one) are five pickles in a row, then the values. Unpickling can
run any code, so this reader lets through only the names that dictionaries of tensors are made of, puts stand-ins in their
place, and refuses every other by name; no function of PyTorch or of anything else is called.
"""

import io
import math
import pickle
import pickletools
import struct
import zipfile

import numpy as np

from cian.base.files import DamagedArchive, open_zip
from cian.models.params import widened

MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of an old file
OLD_PROTOCOL = 1001  # the second
MOST_PICKLE = 1 << 26  # bytes; a state dictionary of a thousand tensors has 2e5
MOST_VALUES = 1 << 28  # of a tensor
#: storage class -> dtype
DTYPES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "BFloat16Storage": "bfloat16",
          "LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "i1", "ByteStorage": "u1",
          "BoolStorage": "?"}  # fmt: skip
WRAPPERS = ("state_dict", "model")  # keys under which trainings keep the tensors
HINT = "save the tensors alone: torch.save(model.state_dict(), FILE)"


def is_old(head):
    """Do these first bytes begin a file of before PyTorch 1.6?"""
    return head[:2] == b"\x80\x02" and MAGIC.to_bytes(10, "little") in head[:16]


def read_torch(path):
    """{name: array} of a .pth or .pt file; ValueError names the file and, where it asks for anything but tensors, what.

    Of {"state_dict": tensors, ...} the tensors are taken, and `module.` of DataParallel is left out of names.
    """
    try:
        content = _read_zip(path) if zipfile.is_zipfile(str(path)) else _read_old(path)
        tensors = _tensors(content)
    except DamagedArchive:
        raise
    except ValueError as error:
        raise ValueError(f"{path}: not read as tensors of PyTorch: {error}") from None
    return {name[len("module.") :] if name.startswith("module.") else name: value for name, value in tensors.items()}


def _read_zip(path):
    with open_zip(path) as archive:
        described = [name for name in archive.namelist() if name.split("/")[1:] == ["data.pkl"]]
        if len(described) != 1:
            raise ValueError(f"expected one data.pkl in the archive, found {len(described)}; TorchScript is not read ({HINT})")
        top = described[0].split("/")[0]
        if f"{top}/constants.pkl" in archive.namelist():
            raise ValueError(f"it is TorchScript, a program ({HINT})")
        if f"{top}/byteorder" in archive.namelist() and archive.read(f"{top}/byteorder") != b"little":
            raise ValueError("its numbers are big-endian")
        if archive.getinfo(described[0]).file_size > MOST_PICKLE:
            raise ValueError(f"its data.pkl has more than {MOST_PICKLE:,} bytes")

        def stored(key, count, itemsize):
            name = f"{top}/data/{key}"
            if name not in archive.namelist():
                raise ValueError(f"its storage {name} is missing")
            if archive.getinfo(name).file_size != count * itemsize:
                raise ValueError(f"its storage {name} has {archive.getinfo(name).file_size} bytes, expected {count * itemsize}")
            return archive.read(name)  # zipfile checks the CRC

        return _resolved(_unpickle(io.BytesIO(archive.read(described[0]))), stored)


def _read_old(path):
    with open(str(path), "rb") as file:
        head = io.BytesIO(file.read(MOST_PICKLE))
        if _unpickle(head) != MAGIC or _unpickle(head) != OLD_PROTOCOL:
            raise ValueError("neither a zip archive nor a file of torch.save")
        system = _unpickle(head)
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise ValueError("its numbers are big-endian")
        content, keys = _unpickle(head), _unpickle(head)
        wanted = {storage.key: storage for storage in _storages(content)}
        if not isinstance(keys, list) or set(wanted) - set(keys):
            raise ValueError("its storages are not those that its tensors name")
        file.seek(head.tell())
        values = {}
        for key in keys:
            if key not in wanted:
                raise ValueError(f"its storage {key!r} belongs to no tensor")
            (count,) = struct.unpack("<q", file.read(8).ljust(8, b"\0"))
            size = wanted[key].count * wanted[key].itemsize
            if count != wanted[key].count:
                raise ValueError(f"its storage {key} has {count} values, expected {wanted[key].count}")
            values[key] = file.read(size)
            if len(values[key]) != size:
                raise ValueError(f"it ends within storage {key}: {len(values[key])} of {size} bytes")
    return _resolved(content, lambda key, count, itemsize: values[key])


def _unpickle(file):
    """The next pickle of a file in memory, made of stand-ins; ValueError where it is broken or asks for anything else."""
    begin, size = file.tell(), len(file.getbuffer())
    try:
        for operation, argument, _ in pickletools.genops(file):  # reads without building anything
            if operation.name.endswith("PUT") and argument > size:
                raise ValueError(f"it is broken: a reference to object {argument}")  # would take that much memory
        end = file.tell()
        file.seek(begin)
        content = _TensorUnpickler(file).load()
        file.seek(end)
        return content
    except Exception as error:  # a broken pickle may raise nearly anything
        raise ValueError(f"{error} ({HINT})" if isinstance(error, pickle.UnpicklingError) else f"{error}") from None


class _StandIn:
    """Base of what stands for a name in the pickle: has no state that a pickle could set."""

    __slots__ = ()

    def __setstate__(self, state):
        raise ValueError(f"unexpected state for {type(self).__name__}")


class _Dictionary(dict):
    """collections.OrderedDict; the state that PyTorch gives it, versions of modules, is left out."""

    def __init__(self, pairs=()):
        super().__init__((key, value) for key, value in pairs)

    def __setstate__(self, state):
        pass


class _StorageType(_StandIn):
    """A storage class of PyTorch, which is only ever an argument."""

    __slots__ = ("dtype",)

    def __init__(self, dtype):
        self.dtype = dtype


class _Storage:
    """Values that tensors are views of: ("storage", class, key, device, number of values, view)."""

    def __init__(self, kind, key, count):
        if not (isinstance(kind, _StorageType) and isinstance(key, str) and type(count) is int and count >= 0):
            raise ValueError(f"a storage {key!r} of {count!r} values, expected text and a number")
        self.dtype, self.key, self.count = kind.dtype, key, count
        self.itemsize = 2 if kind.dtype == "bfloat16" else np.dtype(kind.dtype).itemsize


class _Tensor(_StandIn):
    """torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata])."""

    __slots__ = ("storage", "offset", "size", "stride")

    def __init__(self, storage, offset, size, stride, *_):
        whole = isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride)
        if not (isinstance(storage, _Storage) and whole and all(type(n) is int and n >= 0 for n in (offset, *size, *stride))):
            raise ValueError(f"a tensor at {offset!r} of size {size!r} and strides {stride!r}")
        last = offset + sum((n - 1) * step for n, step in zip(size, stride))
        if math.prod(size) and last >= storage.count or math.prod(size) > MOST_VALUES or len(size) > 32:
            raise ValueError(f"a tensor of size {size}, strides {stride} at {offset} in a storage of {storage.count} values")
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride

    def array(self, values):
        """The view as an array, not copied; values: of the storage."""
        if not math.prod(self.size):
            return np.zeros(self.size, values.dtype)
        steps = [step * values.itemsize for step in self.stride]
        return np.lib.stride_tricks.as_strided(values[self.offset :], self.size, steps, writeable=False)


class _Parameter(_StandIn):
    """torch._utils._rebuild_parameter(tensor, requires_grad, hooks): the tensor itself."""

    def __new__(cls, tensor, *_):
        return tensor


_ALLOWED = {("collections", "OrderedDict"): _Dictionary, ("torch._utils", "_rebuild_tensor_v2"): _Tensor}
_ALLOWED["torch._utils", "_rebuild_parameter"] = _Parameter
_ALLOWED.update({("torch", name): _StorageType(dtype) for name, dtype in DTYPES.items()})


class _TensorUnpickler(pickle.Unpickler):
    """Knows the names that dictionaries of tensors are made of, and refuses every other."""

    def find_class(self, module, name):
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it refers to '{module}.{name}', which tensors do not need")
        return _ALLOWED[module, name]

    def persistent_load(self, reference):
        if not isinstance(reference, tuple) or len(reference) < 5 or reference[0] != "storage":
            raise pickle.UnpicklingError(f"it refers to {str(reference)[:80]}, expected a storage")
        if len(reference) > 5 and reference[5] is not None:
            raise pickle.UnpicklingError("it has a view of a storage, which PyTorch no longer writes")
        return _Storage(reference[1], reference[2], reference[4])


def _tensors(content):
    """{name: tensor} of what a file holds, which may keep it under a key; what is no tensor is refused by name."""
    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not content:
        raise ValueError(f"expected a dictionary of tensors, found {type(content).__name__.strip('_').lower()} ({HINT})")
    wrong = [name for name, value in content.items() if not (isinstance(name, str) and isinstance(value, np.ndarray))]
    if wrong:
        raise ValueError(f"expected a dictionary of tensors, but {wrong[0]!r} is none ({HINT})")
    return content


def _storages(content):
    """The storages of all tensors in dictionaries and lists."""
    if isinstance(content, _Tensor):
        yield content.storage
    elif isinstance(content, (dict, list, tuple)):
        for value in content.values() if isinstance(content, dict) else content:
            yield from _storages(value)


def _resolved(content, stored):
    """The content with arrays in the place of tensors, in the dictionary and the dictionaries in it."""
    kept = {}

    def values(storage):
        if storage.key not in kept:
            data = stored(storage.key, storage.count, storage.itemsize)
            half = storage.dtype == "bfloat16"
            found = np.frombuffer(data, "<u2" if half else storage.dtype)
            kept[storage.key] = widened(found) if half else found
        return kept[storage.key]

    def resolve(value, depth=0):
        if isinstance(value, _Tensor):
            return value.array(values(value.storage))
        if isinstance(value, dict) and depth < len(WRAPPERS):
            return {key: resolve(one, depth + 1) for key, one in value.items()}
        return value

    return resolve(content)

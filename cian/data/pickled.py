"""Reading a NumPy file that holds one pickled dictionary of arrays or lists, without executing anything in it.

Unpickling can run any code, so the reader lets through only the few names such a file is made of, and puts stand-ins
in their place: not even NumPy's own functions are called. Made for the cls_labels.npy of weakly supervised papers.
"""
import math
import pickle
import tokenize

import numpy as np


def read_dictionary(path):
    """The dictionary of a NumPy file that holds a single pickled one, alone or as the one element of an array.

    Keys are text or int. Values are numeric arrays, numbers, text, or lists, tuples and sets of these, as lists. Nothing in
    the file is executed. Raises ValueError that names the file and, where the file asks for anything but arrays of numbers and
    text, what it asked for.
    """
    with open(str(path), "rb") as handle:
        try:
            version = np.lib.format.read_magic(handle)
            header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, _, dtype = header[version](handle)
        except (ValueError, KeyError, tokenize.TokenError) as error:  # the last: a header that is no Python
            raise ValueError(f"{path}: not a NumPy .npy file of version 1 or 2 ({error})") from None
        if shape not in ((), (1,)) or dtype != np.dtype(object):
            raise ValueError(f"{path}: expected one pickled dictionary, found an array of {dtype} with shape {shape}")
        try:
            content = _ArrayUnpickler(handle).load()
        except Exception as error:  # a broken pickle may raise nearly anything
            raise ValueError(f"{path}: cannot be read as a dictionary of arrays: {error}") from None
    content = content.content[0] if isinstance(content, _Array) and len(content.content) == 1 else content
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a dictionary, found {type(content).__name__}")
    keys = [_text(key.value if isinstance(key, _Scalar) else key) for key in content]
    wrong = [key for key in keys if isinstance(key, bool) or not isinstance(key, (int, str))]
    if wrong:
        raise ValueError(f"{path}: expected text or whole numbers as keys, found {wrong[0]!r}")
    if len(set(keys)) < len(keys):
        raise ValueError(f"{path}: a key is there twice, found {len(keys)} keys, {len(set(keys))} of them different")
    return {key: _plain(value) for key, value in zip(keys, content.values())}


def _plain(value):
    """A value without stand-ins: numeric arrays, numbers and text as they are, anything that holds several as a list."""
    if isinstance(value, _Scalar):
        return value.value
    value = value.content if isinstance(value, _Array) else value
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_text(_plain(part)) for part in value]
    return value


def _text(value):
    """bytes as text, as Python 2 wrote it; anything else as it is. UnicodeDecodeError is a ValueError."""
    return value.decode("utf-8") if isinstance(value, bytes) else value


class _StandIn:
    """Base of what stands for a name in the pickle: has no state of its own that a pickle could set."""

    __slots__ = ()

    def __setstate__(self, state):
        raise ValueError(f"unexpected state for {type(self).__name__}")


class _Encode(_StandIn):
    """_codecs.encode(text, 'latin1'): how protocol 2 writes bytes."""

    def __new__(cls, text, encoding):
        if encoding != "latin1":
            raise ValueError(f"bytes encoded as '{encoding}', expected latin1")
        return text.encode("latin1")


class _Subtype(_StandIn):
    """numpy.ndarray, which is only ever an argument."""


class _DType(_StandIn):
    """numpy.dtype(code, align, copy) and its state, of which only the byte order matters."""

    __slots__ = ("code", "order")

    def __init__(self, code, *_):
        self.code, self.order = code, "|"

    def __setstate__(self, state):
        self.order = state[1]

    def simple(self):
        """The numpy.dtype, if it is one of numbers or text."""
        if not (isinstance(self.code, str) and isinstance(self.order, str)):
            raise ValueError(f"type {self.code!r} with byte order {self.order!r}, expected text")
        dtype = np.dtype(self.code if self.order == "|" else self.order + self.code)
        if dtype.kind not in "biufUS":
            raise ValueError(f"values of type {dtype}, expected numbers or text")
        return dtype


class _Array(_StandIn):
    """_reconstruct(ndarray, (0,), b'b') and the state (version, shape, dtype, Fortran order, bytes or list)."""

    __slots__ = ("content",)

    def __init__(self, *_):
        self.content = ()

    def __setstate__(self, state):
        _, shape, dtype, fortran, data = state
        if isinstance(data, list):  # an object array: kept as the list it is
            self.content = data
            return
        dtype = dtype.simple()
        if len(data) != dtype.itemsize * math.prod(shape):
            raise ValueError(f"{len(data)} bytes for an array of {dtype} with shape {shape}")
        self.content = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


class _Scalar(_StandIn):
    """numpy scalar(dtype, bytes): a number or text."""

    __slots__ = ("value",)

    def __init__(self, dtype, data):
        dtype = dtype.simple()
        self.value = _text(np.frombuffer(data, dtype, count=1)[0].item()) if dtype.itemsize else ""

    def __hash__(self):
        return hash(self.value)

    def __eq__(self, other):
        return isinstance(other, _Scalar) and self.value == other.value


class _Dictionary(dict):
    """OrderedDict and defaultdict, whose factory is of no use here."""

    def __init__(self, *_):
        super().__init__()

    def __setstate__(self, state):
        raise ValueError("unexpected state for a dictionary")


class _List(list):
    """set, frozenset and list by name: called with their content, or only an argument, as of defaultdict."""

    def __setstate__(self, state):
        raise ValueError("unexpected state for a list")


_ALLOWED = {("numpy", "ndarray"): _Subtype, ("numpy", "dtype"): _DType, ("_codecs", "encode"): _Encode}
_ALLOWED.update({(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")})
_ALLOWED.update({(f"numpy.{core}.multiarray", "scalar"): _Scalar for core in ("core", "_core")})
_ALLOWED.update({("collections", name): _Dictionary for name in ("OrderedDict", "defaultdict")})
_ALLOWED.update({(module, name): _List for module in ("builtins", "__builtin__") for name in ("set", "frozenset", "list")})


class _ArrayUnpickler(pickle.Unpickler):
    """Knows the names that arrays of numbers are made of, in files of NumPy 1 and 2, and refuses every other."""

    def find_class(self, module, name):
        if module.split(".")[0] == "torch":
            raise pickle.UnpicklingError("it holds torch tensors; save arrays, {key: value.numpy() for each}")
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it refers to '{module}.{name}', which arrays of numbers do not need")
        return _ALLOWED[module, name]

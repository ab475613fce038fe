"""Image tags from annotation XML, from the cls_labels.npy of the field, or from CSV (row 13 of FIDELITY.md).

cls_labels.npy is a NumPy file that holds a pickled dictionary {2007000032: float32[20], ...}. Unpickling can run any
code, so the reader here lets through only the few names such a file is made of, and puts stand-ins in their place.
"""
import csv
import io
import math
import pickle
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

ID_DIGITS = 6  # of the running number in VOC's ids: 2007000032 is 2007_000032


def read_xml(path, classes):
    """Tags of one VOC annotation: sorted tuple of class indices; `difficult` objects count only where all are.

    classes: the K class names, background first. Raises FileNotFoundError, or ValueError for malformed XML, an
    unknown class or an image without an object.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such annotation file")
    try:
        root = ElementTree.parse(str(path)).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(f"{path}: not well-formed XML ({error})") from None
    objects = [(_class_index((entry.findtext("name") or "").strip(), classes, path), _is_difficult(entry, path))
               for entry in root.findall("object")]
    if not objects:
        raise ValueError(f"{path}: expected at least one <object>, found none: an image without tags cannot be used")
    plain = {index for index, difficult in objects if not difficult}
    return tuple(sorted(plain or {index for index, _ in objects}))


def read_table(path, ids, classes):
    """Tags of `ids` from a .npy or .csv file: {id: sorted tuple of class indices}.

    Raises FileNotFoundError, or ValueError that names the file and what is wrong: another ending, an unknown class,
    an id that the file lacks, an image without tags.
    """
    path = Path(path)
    if path.suffix.lower() not in READERS:
        raise ValueError(f"tag source {path}: expected a file ending in {' or '.join(READERS)}, found '{path.suffix}'")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of image tags")
    table = READERS[path.suffix.lower()](path, classes)
    result = {}
    for name in ids:
        if name not in table:
            raise ValueError(f"{path}: id '{name}' is not among its {len(table)} images")
        if not table[name]:
            raise ValueError(f"{path}: image '{name}' has no tag, expected at least one")
        result[name] = table[name]
    return result


def read_csv(path, classes):
    """All tags of a CSV file with header `id,CLASS,...` and values 0 and 1; classes it does not name are absent."""
    try:
        rows = list(csv.reader(io.StringIO(Path(path).read_text(encoding="utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a UTF-8 CSV file ({error})") from None
    header = [cell.strip() for cell in rows[0]] if rows else []
    if len(header) < 2 or header[0] != "id":
        raise ValueError(f"{path}: expected a header 'id,CLASS,...', found {','.join(header) or 'an empty file'}")
    columns = [_class_index(name, classes, path) for name in header[1:]]
    if len(set(columns)) < len(columns):
        raise ValueError(f"{path}: a class has two columns in the header {','.join(header)}")
    table = {}
    for number, row in enumerate(rows[1:], 2):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if len(cells) != len(header) or not set(cells[1:]) <= {"0", "1"}:
            raise ValueError(f"{path}, row {number}: expected an id and {len(columns)} values 0 or 1, "
                             f"found {','.join(cells)}")
        if cells[0] in table:
            raise ValueError(f"{path}, row {number}: id '{cells[0]}' has a row already")
        table[cells[0]] = tuple(sorted(index for index, cell in zip(columns, cells[1:]) if cell == "1"))
    return table


def read_npy(path, classes):
    """All tags of a cls_labels.npy: {id: sorted tuple of class indices}; numbers become ids, text ids stay."""
    table = {}
    for key, values in read_dictionary(path).items():
        name = key if isinstance(key, str) else _voc_id(key, path)
        if not isinstance(values, np.ndarray) or values.shape != (len(classes) - 1,):
            raise ValueError(f"{path}: image '{name}': expected {len(classes) - 1} values, one a class without "
                             f"background, found {getattr(values, 'shape', type(values).__name__)}")
        if not np.isin(values, (0, 1)).all():
            raise ValueError(f"{path}: image '{name}': expected values 0 and 1, found {np.unique(values).tolist()}")
        table[name] = tuple(int(index) + 1 for index in np.flatnonzero(values))
    return table


READERS = {".npy": read_npy, ".csv": read_csv}


def _class_index(name, classes, path):
    if name not in classes[1:]:
        raise ValueError(f"{path}: unknown class '{name}', expected one of {', '.join(classes[1:])}")
    return classes.index(name)


def _is_difficult(entry, path):
    text = (entry.findtext("difficult") or "0").strip()
    if text not in ("0", "1"):
        raise ValueError(f"{path}: expected <difficult> 0 or 1, found '{text}'")
    return text == "1"


def _voc_id(number, path):
    year, running = divmod(int(number), 10 ** ID_DIGITS)
    if not 1000 <= year <= 9999:
        raise ValueError(f"{path}: expected image numbers such as 2007000032, found {number}")
    return f"{year}_{running:0{ID_DIGITS}d}"


def read_dictionary(path):
    """The dictionary of a NumPy file that holds a single pickled one; keys text or int, values numeric arrays.

    Nothing in the file is executed. Raises ValueError that names the file and, where the file asks for anything but
    arrays of numbers, what it asked for.
    """
    with open(str(path), "rb") as handle:
        try:
            version = np.lib.format.read_magic(handle)
            header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, _, dtype = header[version](handle)
        except (ValueError, KeyError) as error:
            raise ValueError(f"{path}: not a NumPy .npy file of version 1 or 2 ({error})") from None
        if shape != () or dtype != np.dtype(object):
            raise ValueError(f"{path}: expected one pickled dictionary, found an array of {dtype} with shape {shape}")
        try:
            content = _ArrayUnpickler(handle).load()
        except Exception as error:  # a broken pickle may raise nearly anything
            raise ValueError(f"{path}: cannot be read as a dictionary of arrays: {error}") from None
    content = content.content[0] if isinstance(content, _Array) and len(content.content) == 1 else content
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a dictionary, found {type(content).__name__}")
    keys = [key.value if isinstance(key, _Scalar) else key for key in content]
    wrong = [key for key in keys if isinstance(key, bool) or not isinstance(key, (int, str))]
    if wrong:
        raise ValueError(f"{path}: expected text or whole numbers as keys, found {wrong[0]!r}")
    return {key: value.content if isinstance(value, _Array) else value for key, value in zip(keys, content.values())}


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

    def numeric(self):
        dtype = np.dtype(self.code if self.order == "|" else self.order + self.code)
        if dtype.kind not in "biuf":
            raise ValueError(f"values of type {dtype}, expected numbers")
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
        dtype = dtype.numeric()
        if len(data) != dtype.itemsize * math.prod(shape):
            raise ValueError(f"{len(data)} bytes for an array of {dtype} with shape {shape}")
        self.content = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


class _Scalar(_StandIn):
    """numpy scalar(dtype, bytes)."""

    __slots__ = ("value",)

    def __init__(self, dtype, data):
        self.value = np.frombuffer(data, dtype.numeric(), count=1)[0].item()

    def __hash__(self):
        return hash(self.value)

    def __eq__(self, other):
        return isinstance(other, _Scalar) and self.value == other.value


class _ArrayUnpickler(pickle.Unpickler):
    """Knows the names that arrays of numbers are made of, in files of NumPy 1 and 2, and refuses every other."""

    allowed = {("numpy", "ndarray"): _Subtype, ("numpy", "dtype"): _DType, ("_codecs", "encode"): _Encode}
    allowed.update({(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")})
    allowed.update({(f"numpy.{core}.multiarray", "scalar"): _Scalar for core in ("core", "_core")})

    def find_class(self, module, name):
        if (module, name) not in self.allowed:
            raise pickle.UnpicklingError(f"it refers to '{module}.{name}', which arrays of numbers do not need")
        return self.allowed[module, name]

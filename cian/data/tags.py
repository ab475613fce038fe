"""Image tags from annotation XML, from the cls_labels.npy of the field, or from CSV and TSV (row 13 of FIDELITY.md).

A table may name its images by id, by file or path, and a .npy also by number: 2007000032 is 2007_000032, 42 is
COCO_val2014_000000000042 or 000042.

Every error names the file and, where there is one, the image: what was found and what was expected.
"""
import csv
import io
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from cian.data.lists import image_id, read_text_file
from cian.data.pickled import read_dictionary

#: ids that a whole number stands for, in its group
NUMBERED = [re.compile(pattern) for pattern in (r"(\d{4}_\d{6})", r"COCO_\w+_(\d{12})", r"(\d+)")]


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
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the latter two: encodings it does not know
        raise ValueError(f"{path}: not well-formed XML ({error})") from None
    objects = [(_class_index((entry.findtext("name") or "").strip(), classes, path), _is_difficult(entry, path))
               for entry in root.findall("object")]
    if not objects:
        raise ValueError(f"{path}: expected at least one <object>, found none: an image without tags cannot be used")
    plain = {index for index, difficult in objects if not difficult}
    return tuple(sorted(plain or {index for index, _ in objects}))


def open_table(path, classes):
    """A function from id to tags (sorted tuple of class indices) over a .npy, .csv or .tsv file, which is read once.

    The function raises ValueError for an id that the file lacks or an image without tags; opening raises
    FileNotFoundError, or ValueError for another ending, an unknown class or a malformed file.
    """
    path = Path(path)
    if path.suffix.lower() not in READERS:
        raise ValueError(f"tag source {path}: expected a file ending in {' or '.join(READERS)}, found '{path.suffix}'")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of image tags")
    table = READERS[path.suffix.lower()](path, classes)

    def look_up(name):
        key = name if name in table else number_of(name)
        if key not in table:
            raise ValueError(f"{path}: id '{name}' is not among its {len(table)} images, such as {next(iter(table), 'none')}")
        if not table[key]:
            raise ValueError(f"{path}: image '{name}' has no tag, expected at least one")
        return table[key]

    return look_up


def number_of(name):
    """The whole number that stands for an id in a cls_labels.npy, or None."""
    found = next(filter(None, (pattern.fullmatch(name) for pattern in NUMBERED)), None)
    return found and int(found.group(1).replace("_", ""))


def read_csv(path, classes):
    """All tags of a file with header `id,CLASS,...` and values 0 and 1; classes it does not name are absent.

    Columns are separated as in the header: by commas, semicolons or tabs.
    """
    text = read_text_file(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(",;\t", key=first.count)
    try:
        rows = list(csv.reader(io.StringIO(text.lstrip(), newline=""), delimiter=separator))
    except csv.Error as error:
        raise ValueError(f"{path}: not a CSV file ({error})") from None
    header = [cell.strip() for cell in rows[0]] if rows else []
    if len(header) < 2 or header[0].lower() != "id":
        raise ValueError(f"{path}: expected a header 'id,CLASS,...', found {','.join(header) or 'an empty file'}")
    columns = [_class_index(name, classes, path) for name in header[1:]]
    if len(set(columns)) < len(columns):
        raise ValueError(f"{path}: a class has two columns in the header {','.join(header)}")
    table = {}
    for number, row in enumerate(rows[1:], 2):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if len(cells) != len(header) or not image_id(cells[0]) or not set(cells[1:]) <= set(FLAGS):
            raise ValueError(f"{path}, row {number}: expected an id and {len(columns)} values 0 or 1, "
                             f"found {','.join(cells)}")
        name = image_id(cells[0])
        if name in table:
            raise ValueError(f"{path}, row {number}: id '{name}' has a row already")
        table[name] = tuple(sorted(index for index, cell in zip(columns, cells[1:]) if FLAGS[cell]))
    return table


def read_npy(path, classes):
    """All tags of a cls_labels.npy: {id or number: sorted tuple of class indices}.

    Values are 0 or 1, of any type, one a class without background, or with the background first, which is not read; or the
    names of the image's classes.
    """
    table = {}
    for key, values in read_dictionary(path).items():
        name = image_id(key) if isinstance(key, str) else key
        if isinstance(key, str) and not name:
            raise ValueError(f"{path}: expected image ids as keys, found {key!r}")
        if name in table:
            raise ValueError(f"{path}: image '{name}' is there twice, such as by its id and its file")
        table[name] = _indices(values, f"{path}: image '{name}'", classes, path)
    twice = [name for name in table if isinstance(name, str) and number_of(name) in table]
    if twice:
        raise ValueError(f"{path}: image '{twice[0]}' is there twice, as a number and as text")
    return table


def _indices(values, where, classes, path):
    """The classes of one image: sorted tuple of indices; ValueError begins with `where`."""
    parts = [values] if isinstance(values, str) else values
    if isinstance(values, np.ndarray) and values.size == max(values.shape, default=0):  # one axis, others of length 1
        parts = values.ravel().tolist()
    if isinstance(parts, list) and parts and all(isinstance(part, str) for part in parts):
        return tuple(sorted({_class_index(part.strip(), classes, path) for part in parts}))
    if not isinstance(parts, list) or len(parts) not in (len(classes) - 1, len(classes)):
        found = f"{len(values)} values" if isinstance(values, list) else getattr(values, "shape", type(values).__name__)
        raise ValueError(
            f"{where}: expected {len(classes) - 1} values, one a class without background, or {len(classes)} with it first, "
            f"or the names of its classes, found {found}"
        )
    foreign = [part for part in parts if isinstance(part, (list, str)) or part not in (0, 1)]
    if foreign:
        raise ValueError(f"{where}: expected values 0 and 1, found {foreign[:3]}")
    first = 1 if len(parts) < len(classes) else 0  # of the index
    return tuple(index for index, part in enumerate(parts, first) if part and index)


FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True}
READERS = {".npy": read_npy, ".csv": read_csv, ".tsv": read_csv}


def _class_index(name, classes, path):
    if name not in classes[1:]:
        raise ValueError(f"{path}: unknown class {name!r}, expected one of {', '.join(classes[1:])}")
    return classes.index(name)


def _is_difficult(entry, path):
    text = (entry.findtext("difficult") or "0").strip()
    if text not in ("0", "1"):
        raise ValueError(f"{path}: expected <difficult> 0 or 1, found '{text}'")
    return text == "1"

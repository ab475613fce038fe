"""Image tags from annotation XML, from the cls_labels.npy of the field, or from CSV (row 13 of FIDELITY.md).

Every error names the file and, where there is one, the image: what was found and what was expected.
"""
import csv
import io
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from cian.data.pickled import read_dictionary

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
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the latter two: encodings it does not know
        raise ValueError(f"{path}: not well-formed XML ({error})") from None
    objects = [(_class_index((entry.findtext("name") or "").strip(), classes, path), _is_difficult(entry, path))
               for entry in root.findall("object")]
    if not objects:
        raise ValueError(f"{path}: expected at least one <object>, found none: an image without tags cannot be used")
    plain = {index for index, difficult in objects if not difficult}
    return tuple(sorted(plain or {index for index, _ in objects}))


def open_table(path, classes):
    """A function from id to tags (sorted tuple of class indices) over a .npy or .csv file, which is read once.

    The function raises ValueError for an id that the file lacks or an image without tags; opening raises
    FileNotFoundError, or ValueError for another ending, an unknown class or a malformed file.
    """
    path = Path(path)
    if path.suffix.lower() not in READERS:
        raise ValueError(f"tag source {path}: expected a file ending in {' or '.join(READERS)}, found '{path.suffix}'")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of image tags")
    table = READERS[path.suffix.lower()](path, classes)

    def look_up(image_id):
        if image_id not in table:
            raise ValueError(f"{path}: id '{image_id}' is not among its {len(table)} images")
        if not table[image_id]:
            raise ValueError(f"{path}: image '{image_id}' has no tag, expected at least one")
        return table[image_id]

    return look_up


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
        if name in table:
            raise ValueError(f"{path}: image '{name}' is there twice, as a number and as text")
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

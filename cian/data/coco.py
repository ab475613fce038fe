"""COCO instances: classes, image tags and outlines of an instances_*.json (coco_masks.py draws them).

Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014; the format is that of cocodataset.org, "Data format". The
file is not opened with pycocotools.coco.COCO, which prints, and keeps every coordinate as a Python object: here the numbers
become arrays while the file is parsed.
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, NamedTuple, Tuple, Union

import numpy as np

from cian.data.images import PICTURE_ENDINGS
from cian.data.voc import MAX_CLASSES

log = logging.getLogger(__name__)
LEAST = 6  # numbers of a polygon: three points; fewer enclose nothing


class Shape(NamedTuple):
    """One annotated object or crowd.

    identifier: its id in the file. label: class index 1..K-1. crowd: whether it stands for a group that is not told apart.
    outline: polygons, each float64 (2 n,) of x, y, x, y, ... in pixels, or a run-length code {"counts", "size"} whose counts
    are an int64 array or, compressed, a string.
    """

    identifier: int
    label: int
    crowd: bool
    outline: Union[list, dict]


@dataclass(frozen=True)
class Picture:
    """file_name: of the image; width, height: pixels; shapes: what is annotated on it, in the order of the file."""

    file_name: str
    width: int
    height: int
    shapes: Tuple[Shape, ...]

    @property
    def tags(self):
        """Sorted tuple of the class indices of all its shapes, crowds included."""
        return tuple(sorted({shape.label for shape in self.shapes}))


@dataclass(frozen=True)
class Instances:
    """path: the file. classes: K names, background first, then by category id. pictures: {image id: Picture}, by file name.

    Only pictures with an annotation are there: in COCO 2014 these are 82,081 of 82,783 for training, 40,137 of 40,504 to
    validate. An image id is the name of the file without its ending, such as COCO_val2014_000000000042.
    """

    path: Path
    classes: Tuple[str, ...]
    pictures: Dict[str, Picture]


class _Annotation(NamedTuple):
    """An annotation as parsed; None where the file lacks a key."""

    id: object
    image_id: object
    category_id: object
    iscrowd: object
    segmentation: object


def read_instances(path):
    """The `Instances` of a COCO annotation file. Needs about three times the size of the file in memory.

    FileNotFoundError or ValueError name the file, the entry, what was found and what was expected. Polygons of fewer than
    three points cover nothing; a warning says how many annotations have no others.
    """
    path = Path(path)
    content = _parse(path)
    labels, classes = _read_categories(content["categories"], path)
    entries = _read_images(content["images"], path)
    shapes = {key: [] for key in entries}
    seen, empty = set(), 0
    for entry in content["annotations"]:
        _check_annotation(entry, seen, shapes, labels, path)
        seen.add(entry.id)
        outline = entry.segmentation
        if isinstance(outline, list):
            outline = _polygons(outline)
            outline = [part for part in outline if not _encloses_nothing(part)]
            empty += not outline
        if not labels[entry.category_id]:
            raise ValueError(f"{path}: annotation {entry.id}: of the category 'background', which is what no annotation covers")
        shapes[entry.image_id].append(Shape(entry.id, labels[entry.category_id], bool(entry.iscrowd), outline))
    if empty:
        log.warning("%s: %d annotations have no polygon of 3 or more points: they are tags, but cover no pixel", path, empty)
    found = {Path(name).stem: Picture(name, *size, tuple(shapes[key])) for key, (name, *size) in entries.items() if shapes[key]}
    if not found:
        raise ValueError(f"{path}: none of the {len(entries)} images has an annotation, expected at least one")
    return Instances(path, classes, {name: found[name] for name in sorted(found)})


def _check_annotation(entry, seen, images, labels, path):
    """ValueError unless the entry is an annotation of an id not seen before, of one of the images and of a category."""
    if not isinstance(entry, _Annotation):
        raise ValueError(f"{path}: expected annotations with a segmentation, found {shorten(entry)}")
    where = f"{path}: annotation {entry.id!r}"
    if type(entry.id) is not int or entry.id in seen:
        raise ValueError(f"{where}: expected a whole number as id, each once")
    for name, value, known in (("image_id", entry.image_id, images), ("category_id", entry.category_id, labels)):
        if type(value) is not int or value not in known:
            raise ValueError(f"{where}: {name} {value!r}, expected one of the {len(known)} that the file lists")
    if entry.iscrowd not in (None, 0, 1):  # files of one's own often lack it: no crowd
        raise ValueError(f"{where}: iscrowd {entry.iscrowd!r}, expected 0 or 1")


def _polygons(outline):
    """Polygons as flat arrays x, y, x, y, ...; also of one that is not in a list of its own, or is written as points (x, y)."""
    sizes = {part.shape if isinstance(part, np.ndarray) else None for part in outline}
    if sizes in ({()}, {(2,)}) and len(outline) > 2:  # numbers, or three and more points
        return [np.ravel(np.array(outline, np.float64))]
    points = [isinstance(part, np.ndarray) and part.ndim == 2 and part.shape[1] == 2 for part in outline]
    return [part.ravel() if flat else part for part, flat in zip(outline, points)]


def _encloses_nothing(part):
    return isinstance(part, np.ndarray) and part.ndim == 1 and part.size < LEAST


def _parse(path):
    """The file as a dictionary of its lists images, annotations (of _Annotation) and categories."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of COCO annotations")
    try:
        with open(str(path), encoding="utf-8") as file:
            content = json.load(file, object_hook=_shrink)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise ValueError(f"{path}: not a JSON file ({error})") from None
    lists = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(name), list) for name in lists):
        keys = ", ".join(content) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{path}: expected lists {', '.join(lists)}, as in instances_val2014.json, found {keys or 'nothing'}")
    return content


def _shrink(entry):
    """What the parser keeps of a JSON object: lists of numbers as arrays, of annotations only what is used."""
    if isinstance(entry.get("counts"), list):
        return {**entry, "counts": _array(entry["counts"])}
    if "file_name" in entry:
        return {key: entry.get(key) for key in ("id", "file_name", "width", "height")}
    if "segmentation" not in entry:
        return entry
    outline = entry["segmentation"]
    if isinstance(outline, list):
        outline = [_array(part, np.float64) for part in outline]
    return _Annotation(*(entry.get(key) for key in _Annotation._fields[:-1]), outline)


def _array(numbers, dtype=None):
    """A list as an array, or as it is where it holds anything but numbers; whoever uses it then complains."""
    try:
        array = np.array(numbers, dtype)
    except (TypeError, ValueError, OverflowError):
        return numbers
    return array if array.dtype.kind in "if" else numbers


def _read_categories(entries, path):
    """{category id: class index} and the K class names, background first."""
    found = []
    for entry in entries:
        number, name = (entry.get("id"), entry.get("name")) if isinstance(entry, dict) else (None, None)
        if type(number) is not int or not isinstance(name, str) or not name.strip() or set(name) & set(",\r\n"):
            raise ValueError(f"{path}: expected categories with a number id and a name, without commas, found {shorten(entry)}")
        found.append((number, name.strip()))
    found.sort()
    if not found or any(len(set(column)) < len(found) for column in zip(*found)):
        twice = sorted({name for _, name in found if [other for _, other in found].count(name) > 1})
        raise ValueError(f"{path}: expected categories, each id and name once, found {shorten(twice or found)}")
    reserved = {number: 0 for number, name in found if name == "background"}  # may be listed, but not annotated
    found = [(number, name) for number, name in found if number not in reserved]
    names = ("background",) + tuple(name for _, name in found)
    if not found:
        raise ValueError(f"{path}: expected categories, each id and name once, found only background")
    if len(names) > MAX_CLASSES:
        raise ValueError(f"{path}: {len(found)} categories, expected at most {MAX_CLASSES - 1} (255 means 'ignore')")
    return {**reserved, **{number: index for index, (number, _) in enumerate(found, 1)}}, names


def _read_images(entries, path):
    """{image id in the file: (file name, width, height)}."""
    found, names = {}, set()
    for entry in entries:
        entry = entry if isinstance(entry, dict) else {"entry": entry}
        number, name, *size = (entry.get(key) for key in ("id", "file_name", "width", "height"))
        good = type(number) is int and isinstance(name, str) and all(type(side) is int and side > 0 for side in size)
        good = good and Path(name).name == name and Path(name).suffix.lower() in PICTURE_ENDINGS
        if not good or any(map(str.isspace, name)):
            what = "id, file_name NAME.jpg (or .png, ...), width and height"
            raise ValueError(f"{path}: expected images with {what}, found {shorten(entry)}")
        if number in found or Path(name).stem in names:
            raise ValueError(f"{path}: image {number}, {name}: its id or name was there before, expected each once")
        names.add(Path(name).stem)
        found[number] = name, *size
    return found


def shorten(value):
    """A value as text for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."

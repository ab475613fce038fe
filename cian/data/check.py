"""Verification of a data set: every image, mask and tag of a list, with all faults and not only the first."""
import functools
import logging
from pathlib import Path

import numpy as np

from cian.base.parallel import map_parallel
from cian.data.cams import read_seed
from cian.data.images import IGNORE, LABEL_ENDINGS, find_file, open_header, read_image, read_label

log = logging.getLogger(__name__)


def check_dataset(dataset, ids, tags=None, masks=True, workers=None, progress=None):
    """Faults and notes of a data set, each a list of texts that name file or id.

    tags: their source, see VOCDataset.read_tags, or False for no check of tags. masks: True for the data set's own, None
    for no check of masks, or a folder of ID.png. workers, progress: see `map_parallel`.
    A fault: an image that cannot be decoded, a mask that is missing, cannot be read, differs from the image in size or
    holds a value that is neither a class nor 255, tags that are missing or unknown. A note: tags that are not the
    classes of the mask.
    """
    faults, known = ([], {}) if tags is False else _read_all_tags(dataset, ids, tags)
    folder = dataset.mask_folder if masks is True else masks
    if folder is not None and not Path(folder).is_dir():
        faults.append(f"{folder}: no such folder of masks")
        folder = None
    items = [(dataset.image_path(name), None if folder is None else find_file(folder, name, LABEL_ENDINGS), known.get(name))
             for name in ids]
    notes = []
    check = functools.partial(check_image, classes=dataset.classes)
    for found, remarks in map_parallel(check, items, workers, progress):
        faults.extend(found)
        notes.extend(remarks)
    return faults, notes


def check_image(item, classes):
    """Faults and notes of one item (image path, mask path or None, tags or None)."""
    image_path, mask_path, tags = item
    faults, notes = [], []
    image = _attempt(read_image, image_path, faults)
    mask = None if mask_path is None else _attempt(read_label, mask_path, faults)
    if mask is None:
        return faults, notes
    if image is not None and mask.shape != image.shape[:2]:
        faults.append(f"{mask_path}: {mask.shape[1]}x{mask.shape[0]} pixels, expected the image's "
                      f"{image.shape[1]}x{image.shape[0]}")
    values = np.flatnonzero(np.bincount(mask.ravel(), minlength=256)).tolist()
    illegal = [value for value in values if value >= len(classes) and value != IGNORE]
    if illegal:
        faults.append(f"{mask_path}: expected values 0..{len(classes) - 1} or {IGNORE}, found {illegal}")
    shown = tuple(value for value in values if 0 < value < len(classes))
    if tags is not None and shown != tags:
        notes.append(f"{mask_path}: tags {_names(tags, classes)}; mask {_names(shown, classes)}")
    return faults, notes


def _read_all_tags(dataset, ids, source):
    """Faults of the tags, and {id: tags} of those that could be read."""
    faults, known = [], {}
    read = _attempt(dataset.tag_reader, source, faults)
    for name in ids if read is not None else ():
        known[name] = _attempt(read, name, faults)
    return faults, known


def _attempt(function, argument, faults):
    """function(argument), or None after its complaint was added to `faults`."""
    try:
        return function(argument)
    except (OSError, ValueError) as error:
        faults.append(str(error))
        return None


def _names(indices, classes):
    return ", ".join(classes[index] for index in indices) or "none"


def check_images(dataset, ids):
    """FileNotFoundError or ValueError unless the header of every image can be read; counts those that are not so.

    The first one's complaint is told. A pixel may still be wrong: `check_dataset` decodes all.
    """
    faults = []
    for name in ids:
        try:
            with open_header(dataset.image_path(name)):
                pass
        except (OSError, ValueError) as error:
            faults.append(error)
    if faults:
        raise type(faults[0])(f"{faults[0]}{_and_more(faults, ids)}")


def check_labels(dataset, ids, folder, tags=None, workers=None, progress=None):
    """ValueError unless FOLDER/ID.png are labels to train on: of the size of their images, of known classes, not all empty.

    tags: {id: classes}; where most labels show none of their image's classes, a warning says so. workers, progress: see
    `map_parallel`. Errors name the first file and count the others, or say that no label holds any class, or any pixel that
    counts.
    """
    items = [(dataset.image_path(name), Path(folder) / f"{name}.png") for name in ids]
    read = functools.partial(_label_classes, classes=len(dataset.classes))
    faults, shown, counting = [], {}, 0
    for name, (fault, classes) in zip(ids, map_parallel(read, items, workers, progress)):
        faults += [] if fault is None else [fault]
        counting += bool(classes)
        if classes - {0}:
            shown[name] = classes - {0}
    if faults:
        raise ValueError(f"{faults[0]}{_and_more(faults, ids)}")
    if not counting:
        raise ValueError(f"{folder}: no label of the list has a pixel that counts, all are {IGNORE}")
    if not shown:
        raise ValueError(
            f"{folder}: no label of the list shows any class, only background (0) and {IGNORE}, which does not count; "
            f"expected the index of its class where an object is, 1..{len(dataset.classes) - 1}"
        )
    foreign = [name for name in shown if tags is not None and not shown[name] & set(tags[name])]
    if 2 * len(foreign) > len(shown):
        first, names = foreign[0], dataset.classes
        log.warning(
            "%s: %d of %d labels show none of their image's classes, such as %s: %s, its tags are %s; are these class indices?",
            folder, len(foreign), len(shown), first, _names(sorted(shown[first]), names), _names(tags[first], names),
        )  # fmt: skip


def _label_classes(item, classes):
    """(complaint or None, the set of class indices that count) of a label; item = (path of the image, path of the label)."""
    image_path, label_path = item
    try:
        with open_header(image_path) as image:
            size = image.size[::-1]
        return None, set(np.unique(read_seed(label_path, size, classes)).tolist()) - {IGNORE}
    except (OSError, ValueError) as error:
        return str(error), set()


def _and_more(faults, ids):
    return f" ({len(faults) - 1} more of {len(ids)} are wrong)" if len(faults) > 1 else ""

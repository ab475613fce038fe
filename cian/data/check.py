"""Verification of a data set: every image, mask and tag of a list, with all faults and not only the first."""
import functools
from pathlib import Path

import numpy as np

from cian.base.parallel import map_parallel
from cian.data.images import IGNORE, LABEL_ENDINGS, find_file, read_image, read_label


def check_dataset(dataset, ids, tags=None, masks=True, workers=None, progress=None):
    """Faults and notes of a data set, each a list of texts that name file or id.

    tags: their source, see VOCDataset.read_tags. masks: True for the data set's own, None for no check of masks, or a
    folder of ID.png. workers, progress: see `map_parallel`.
    A fault: an image that cannot be decoded, a mask that is missing, cannot be read, differs from the image in size or
    holds a value that is neither a class nor 255, tags that are missing or unknown. A note: tags that are not the
    classes of the mask.
    """
    faults, known = _read_all_tags(dataset, ids, tags)
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

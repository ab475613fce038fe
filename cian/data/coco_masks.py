"""Semantic masks of COCO pictures, drawn from their polygons and run-length codes by pycocotools.

What is drawn equals pycocotools.coco.COCO.annToMask, with every outline checked before: the C code takes polygons with an odd
number of coordinates, and codes that end before the image does.
"""

import numpy as np
from pycocotools import mask as rle_tools

from cian.data.coco import shorten
from cian.data.images import IGNORE


def semantic_mask(picture):
    """Class indices uint8 (H, W) of a `Picture`: 0 where nothing is annotated, 255 in crowds; smaller areas lie on top.

    An area is the number of pixels of the shape; of equal ones the first in the file lies on top. Crowds take their place in
    this order like objects do. ValueError names the image, the annotation, what was found and what was expected.
    """
    size = picture.height, picture.width
    codes = [(shape, _encode(shape, size, picture.file_name)) for shape in picture.shapes]
    codes = [(shape, code, int(rle_tools.area(code))) for shape, code in codes if code is not None]
    mask = np.zeros(size, np.uint8)
    codes.sort(key=lambda item: item[2])  # stable: of equal areas the first stays first
    for shape, code, _ in codes[::-1]:
        mask[rle_tools.decode(code).astype(bool)] = IGNORE if shape.crowd else shape.label
    return mask


def _encode(shape, size, name):
    """The compressed run-length code of a shape in an image of `size` (H, W); None where it has no outline."""
    where, outline = f"{name}, annotation {shape.identifier}", shape.outline
    if isinstance(outline, list):
        limits = np.array([size[1], size[0]])
        for part in outline:
            points = part.reshape(-1, 2) if isinstance(part, np.ndarray) and part.ndim == 1 and part.size % 2 == 0 else None
            if points is None or not ((points >= -limits) & (points <= 2 * limits)).all():  # NaN fails as well
                raise ValueError(
                    f"{where}: expected polygons x, y, x, y, ... near an image of {size[1]}x{size[0]}, found {shorten(part)}"
                )
        return rle_tools.merge(rle_tools.frPyObjects(outline, *size)) if outline else None
    if not isinstance(outline, dict) or not {"counts", "size"} <= set(outline):
        raise ValueError(f"{where}: expected polygons or a run-length code with counts and size, found {shorten(outline)}")
    if outline["size"] != list(size):
        raise ValueError(f"{where}: run-length code of size {outline['size']}, expected that of the image, {list(size)}")
    counts = outline["counts"]
    runs = _decompress(counts) if isinstance(counts, str) else counts
    pixels = size[0] * size[1]
    good = isinstance(runs, np.ndarray) and runs.ndim == 1 and runs.dtype.kind == "i"
    if not good or runs.min(initial=0) < 0 or runs.max(initial=0) > pixels or runs.sum() != pixels:
        found = f"the sum {sum(runs.tolist())} of {runs.size} from {runs.min(initial=0)} on" if good else shorten(counts)
        raise ValueError(f"{where}: expected run lengths from 0 on that add up to {pixels} pixels, found {found}")
    return rle_tools.frPyObjects({"counts": runs.tolist(), "size": list(size)}, *size)


def _decompress(text):
    """Run lengths int64 (n,) of a compressed code, or None where it is cut short or holds other characters.

    As in COCO's maskApi.c: five bits a character, the sixth says that more follow, and from the fourth run on what is stored
    is the difference to the run two before. pycocotools reads the same, but takes a code that ends too early.
    """
    runs, value, bits = [], 0, 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or bits > 30:
            return None
        value |= (digit & 31) << bits
        bits += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << bits
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value, bits = 0, 0
    return None if bits else np.array(runs, np.int64)

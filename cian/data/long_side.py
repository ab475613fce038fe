"""Training crops as IRN makes them for its classifier (`voc12/dataloader.py`, Ahn et al., CVPR 2019), which COMNet takes over.

The image's long side becomes a random length, the image is mirrored by half chance, and a square is cut out at random. Where
the image is shorter than the square, it lies at a random place in it; the rest is the network's mean colour, that is, zero
after the normalisation. That is no colour of whole numbers: the squares come as bytes with the place of the image, and the
training fills them on the device (training/objectives.py), so that a quarter of the bytes goes through the pipe.
"""

from dataclasses import dataclass
from typing import Tuple

import numpy as np
from PIL import Image

from cian.data.images import read_image
from cian.data.voc import VOCDataset


def with_long_side(image, length):
    """Image uint8 (H, W, 3) resized, bicubic, so that its long side has `length` pixels."""
    height, width = image.shape[:2]
    factor = length / max(height, width)
    size = tuple(max(1, int(np.round(side * factor))) for side in (width, height))
    return np.asarray(Image.fromarray(image).resize(size, Image.BICUBIC))


def random_window(image, crop, rng):
    """A random square of an image uint8 (H, W, 3): uint8 (crop, crop, 3), 0 where the image is too short, and the part that the
    image covers, int32 (top, bottom, left, right), without the bottom row and the right column themselves.
    """
    inside, outside = [], []
    for side in image.shape[:2]:
        start = int(rng.integers(abs(side - crop) + 1))
        taken = min(side, crop)
        first, placed = (start, 0) if side > crop else (0, start)
        inside.append(slice(first, first + taken))
        outside.append(slice(placed, placed + taken))
    window = np.zeros((crop, crop, 3), np.uint8)
    window[tuple(outside)] = image[tuple(inside)]
    return window, np.array([end for side in outside for end in (side.start, side.stop)], np.int32)


@dataclass(frozen=True)
class LongSideExamples:
    """Makes training images of a data set.

    crop: side of the squares, pixels; long_side: least and largest length of the image's long side, both included.
    """

    dataset: VOCDataset
    crop: int
    long_side: Tuple[int, int]

    def __post_init__(self):
        sides = tuple(self.long_side)
        if len(sides) != 2 or not 1 <= sides[0] <= sides[1] or any(side != int(side) for side in sides):
            raise ValueError(f"long_side: {sides}, expected two whole numbers of pixels, the smaller first")

    def make(self, image_id, key):
        """One image uint8 (3, crop, crop) RGB and its covered part (see random_window); `key` seeds its randomness."""
        rng = np.random.default_rng(key)
        least, most = (int(side) for side in self.long_side)
        image = with_long_side(read_image(self.dataset.image_path(image_id)), int(rng.integers(least, most + 1)))
        if rng.random() < 0.5:
            image = image[:, ::-1]
        window, covered = random_window(image, self.crop, rng)
        return window.transpose(2, 0, 1), covered

    def make_batch(self, ids, keys):
        """Images uint8 (B, 3, crop, crop) and their covered parts int32 (B, 4)."""
        images, covered = zip(*(self.make(image_id, key) for image_id, key in zip(ids, keys)))
        return np.stack(images), np.stack(covered)

"""Training crops as IRN makes them for its classifier (`voc12/dataloader.py`, Ahn et al., CVPR 2019), which COMNet takes over.

The image's long side becomes a random length, the image is mirrored by half chance, and a square is cut out at random. Where
the image is shorter than the square, it lies at a random place in it; the rest is the network's mean colour, that is, zero
after the normalisation.
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


def random_window(image, crop, fill, rng):
    """A random square of an image (H, W, 3): float32 (crop, crop, 3), `fill` (3 values) where the image is too short."""
    inside, outside = [], []
    for side in image.shape[:2]:
        start = int(rng.integers(abs(side - crop) + 1))
        taken = min(side, crop)
        first, placed = (start, 0) if side > crop else (0, start)
        inside.append(slice(first, first + taken))
        outside.append(slice(placed, placed + taken))
    window = np.empty((crop, crop, 3), np.float32)
    window[:] = fill
    window[tuple(outside)] = image[tuple(inside)]
    return window


@dataclass(frozen=True)
class LongSideExamples:
    """Makes training images of a data set.

    crop: side of the squares, pixels; long_side: least and largest length of the image's long side, both included; fill: RGB
    colour of what the image does not cover.
    """

    dataset: VOCDataset
    crop: int
    long_side: Tuple[int, int]
    fill: Tuple[float, float, float]

    def __post_init__(self):
        sides = tuple(self.long_side)
        if len(sides) != 2 or not 1 <= sides[0] <= sides[1] or any(side != int(side) for side in sides):
            raise ValueError(f"long_side: {sides}, expected two whole numbers of pixels, the smaller first")

    def make(self, image_id, key):
        """One image float32 (3, crop, crop) RGB; `key` seeds its randomness."""
        rng = np.random.default_rng(key)
        least, most = (int(side) for side in self.long_side)
        image = with_long_side(read_image(self.dataset.image_path(image_id)), int(rng.integers(least, most + 1)))
        if rng.random() < 0.5:
            image = image[:, ::-1]
        return random_window(image, self.crop, self.fill, rng).transpose(2, 0, 1)

    def make_batch(self, ids, keys):
        """Images float32 (B, 3, crop, crop) and None, for there are no labels."""
        return np.stack([self.make(image_id, key) for image_id, key in zip(ids, keys)]), None

"""Training crops of IRN: scaled, mirrored, cut out, with the label of every fourth pixel.

Ahn, Cho and Kwak, CVPR 2019; source: `VOC12AffinityDataset` of the published code.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

import numpy as np
from PIL import Image

from cian.data.cams import read_seed
from cian.data.images import IGNORE, read_image
from cian.data.voc import VOCDataset

STRIDE = 4  # of the boundary map
MULTIPLE = 16  # of the crop's side: the features of every stride then cover the same area


@dataclass(frozen=True)
class BoundaryExamples:
    """Makes training examples: crops of images and the labels at stride 4.

    labels: folder of ID.png, 255 unknown; crop: side of the squares, pixels; scales: smallest and largest factor; fill: RGB
    colour of what the image does not cover, the network's mean, whose label is 255.
    """

    dataset: VOCDataset
    labels: Path
    crop: int
    scales: Tuple[float, float]
    fill: Tuple[float, float, float]

    def __post_init__(self):
        if self.crop < MULTIPLE or self.crop % MULTIPLE:
            raise ValueError(f"crop: {self.crop}, expected a multiple of {MULTIPLE} pixels")
        if len(self.scales) != 2 or not 0 < self.scales[0] <= self.scales[1]:
            raise ValueError(f"train_scales: {tuple(self.scales)}, expected two factors above 0, the smaller first")

    def make(self, image_id, key):
        """Image uint8 (3, S, S) RGB and label uint8 (S / 4, S / 4); `key` seeds its randomness."""
        rng = np.random.default_rng(key)
        image = read_image(self.dataset.image_path(image_id))
        label = read_seed(Path(self.labels) / f"{image_id}.png", image.shape[:2], len(self.dataset.classes))
        factor = rng.uniform(*self.scales)
        size = tuple(max(1, int(np.round(side * factor))) for side in image.shape[1::-1])
        image = np.asarray(Image.fromarray(image).resize(size, Image.BICUBIC))
        label = np.asarray(Image.fromarray(label).resize(size, Image.NEAREST))
        if rng.random() < 0.5:
            image, label = image[:, ::-1], label[:, ::-1]
        inside, outside = zip(*(random_span(side, self.crop, rng) for side in label.shape))
        window = np.empty((self.crop, self.crop, 3), np.uint8)
        window[:] = np.rint(self.fill)
        window[outside] = image[inside]
        target = np.full((self.crop, self.crop), IGNORE, np.uint8)
        target[outside] = label[inside]
        half = STRIDE // 2  # the nearest pixel to the middle of each cell of 4 x 4
        return window.transpose(2, 0, 1), target[half::STRIDE, half::STRIDE]

    def make_batch(self, ids, keys):
        """Images uint8 (B, 3, S, S) and labels uint8 (B, S / 4, S / 4)."""
        images, labels = zip(*(self.make(image_id, key) for image_id, key in zip(ids, keys)))
        return np.stack(images), np.stack(labels)


def random_span(side, crop, rng):
    """Which pixels of a side are taken, and where they lie in the crop: two slices; either is at a random place."""
    start = int(rng.integers(abs(side - crop) + 1))
    count = min(side, crop)
    taken, placed = (start, 0) if side > crop else (0, start)
    return slice(taken, taken + count), slice(placed, placed + count)

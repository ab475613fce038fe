"""Pairs of images under the affinity module: what each looks at in the other, and how much of that is right (CIAN, Fig. 3)."""

from typing import NamedTuple, Optional, Tuple

import numpy as np

from cian.data.images import read_image, read_label
from cian.figures.affinity_maps import PairMaps, measure_pair
from cian.figures.affinity_probe import observe


class Observed(NamedTuple):
    """A pair of images uint8 (H, W, 3), their labels uint8 (H, W), None without a mask, and the PairMaps of both directions."""

    images: Tuple[np.ndarray, np.ndarray]
    labels: Tuple[Optional[np.ndarray], Optional[np.ndarray]]
    maps: Tuple[PairMaps, PairMaps]

    def measure(self, classes):
        """The measure_pair of both directions as a list, empty where a label is missing. classes: how many."""
        if any(label is None for label in self.labels):
            return []
        return [measure_pair(*directed, classes) for directed in zip(self.maps, self.labels, self.labels[::-1])]


def observe_pair(probe, backbone, dataset, pair, device=None):
    """The Observed of two ids of a data set. probe, backbone, device: see cian.figures.affinity_probe.observe.

    ValueError names a mask that has not its image's size.
    """
    images = tuple(read_image(dataset.image_path(name)) for name in pair)
    labels = tuple(read_label(path) if path.is_file() else None for path in map(dataset.mask_path, pair))
    for name, image, label in zip(pair, images, labels):
        if label is not None and label.shape != image.shape[:2]:
            raise ValueError(f"{dataset.mask_path(name)}: expected the image's shape {image.shape[:2]}, found {label.shape}")
    return Observed(images, labels, observe(probe, backbone, images, device))

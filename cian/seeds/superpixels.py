"""Superpixels and the graph between them, on which saliency is computed."""

from typing import NamedTuple

import cv2
import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import shortest_path
from skimage.segmentation import slic


class Superpixels(NamedTuple):
    """n superpixels of an (H, W) image and what is known of each."""

    labels: np.ndarray  # (H, W) int, 0..n - 1
    colours: np.ndarray  # (n, 3) mean CIE Lab, L 0..100
    centres: np.ndarray  # (n, 2) mean row / H and column / W
    sizes: np.ndarray  # (n,) pixels
    touching: np.ndarray  # (n, n) bool, symmetric: a pixel of one is a 4-neighbour of a pixel of the other
    border: np.ndarray  # (n,) bool: holds a pixel of the image's border


def to_lab(image):
    """uint8 (H, W, 3) RGB as float32 (H, W, 3) CIE Lab, L 0..100, a and b about -100..100."""
    return cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def segment(image, count=250, compactness=20.0):
    """Cut a uint8 (H, W, 3) RGB image into about `count` SLIC superpixels; fewer in an image of few pixels."""
    height, width = image.shape[:2]
    count = max(1, min(count, height * width // 16))
    labels = (
        slic(image, n_segments=count, compactness=compactness, start_label=0)
        if count > 1
        else np.zeros((height, width), np.int64)
    )
    labels = np.unique(labels, return_inverse=True)[1].reshape(height, width)
    return describe(image, labels)


def describe(image, labels):
    """Superpixels of a uint8 (H, W, 3) RGB image from labels (H, W), 0..n - 1, none of them empty."""
    height, width = labels.shape
    n = int(labels.max()) + 1
    flat = labels.ravel()
    sizes = np.bincount(flat, minlength=n)
    rows, columns = np.mgrid[:height, :width]

    def mean(values):  # (H, W) -> (n,)
        return np.bincount(flat, weights=values.ravel(), minlength=n) / sizes

    lab = to_lab(image)
    colours = np.stack([mean(lab[..., channel]) for channel in range(3)], axis=1)
    centres = np.stack([mean((rows + 0.5) / height), mean((columns + 0.5) / width)], axis=1)
    touching = np.zeros((n, n), bool)
    for one, other in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        touching[one, other] = touching[other, one] = True
    np.fill_diagonal(touching, False)
    border = np.zeros(n, bool)
    border[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = True
    return Superpixels(labels, colours, centres, sizes, touching, border)


def distances(points):
    """Euclidean distance of every pair of (n, d) points, (n, n)."""
    return np.sqrt(((points[:, None] - points[None]) ** 2).sum(axis=2))


def geodesic_distances(edges, lengths):
    """Length of the shortest path between every pair of nodes, (n, n); inf where there is none.

    edges: (n, n) bool, symmetric; lengths: (n, n) >= 0, read where there is an edge; 0 is a length like any other.
    """
    one, other = np.nonzero(edges)
    graph = csr_matrix((lengths[one, other], (one, other)), shape=edges.shape)
    return shortest_path(graph, method="D", directed=True)


def normalise(values, lowest=None):
    """Stretch to [0, 1]; all 0 where the values differ by less than 1e-3, which is rounding. lowest: what becomes 0."""
    lowest = values.min() if lowest is None else lowest
    extent = values.max() - lowest
    return (values - lowest) / extent if extent > 1e-3 else np.zeros_like(values)

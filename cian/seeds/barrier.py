"""Minimum barrier saliency, MB+ (Zhang, Sclaroff, Lin, Shen, Price, Mech, "Minimum Barrier Salient Object Detection at
80 FPS", ICCV 2015): what a path from the image's border can only reach over a change of colour stands out."""

import cv2
import numpy as np
from skimage.morphology import reconstruction

from cian.seeds.superpixels import normalise, to_lab

SIDE = 200  # pixels of the longer side at which all is computed; 300 as in the paper is slower and no better
SMOOTHING = 50  # width of the kernel at a side of 300 pixels, for a mean saliency of 1: the paper's alpha


def barrier_distance(channels, rounds=2):
    """Minimum barrier distance of each pixel to the image's border, float32 (H, W, C), each channel by itself.

    The barrier of a path is its largest value minus its smallest. As in the paper's FastMBD, each pixel keeps the best
    path found so far and offers it to its neighbours. The paper visits pixel after pixel; here a sweep takes a whole
    row or column at a time and a round is four sweeps (down, right, up, left), so that NumPy does the work. The result
    is an upper bound of the distance, as the paper's is.
    """
    highest = np.array(channels, np.float32)  # along the best path to each pixel
    lowest, values = highest.copy(), highest.copy()
    distance = np.full(values.shape, np.inf, np.float32)
    distance[[0, -1]] = 0
    distance[:, [0, -1]] = 0
    state = values, distance, highest, lowest
    for _ in range(rounds):
        for direction in (1, -1):
            _sweep(*(array[::direction] for array in state))
            state = _turn(state)
            _sweep(*(array[::direction] for array in state))
            state = _turn(state)
    return state[1]


def _sweep(values, distance, highest, lowest):
    """Offer each row the paths of the row before it; changes the last three arrays."""
    for row in range(1, len(values)):
        high = np.maximum(highest[row - 1], values[row])
        low = np.minimum(lowest[row - 1], values[row])
        barrier = high - low
        better = barrier < distance[row]
        np.copyto(distance[row], barrier, where=better)
        np.copyto(highest[row], high, where=better)
        np.copyto(lowest[row], low, where=better)


def _turn(arrays):
    return tuple(np.ascontiguousarray(array.swapaxes(0, 1)) for array in arrays)  # (H, W, C) <-> (W, H, C)


def border_contrast(lab, width=0.1):
    """How unlike the border's colours a pixel is, (H, W) in [0, 1].

    The Mahalanobis distance to the colours of each side's strip (`width` of the shorter side), each divided by its
    maximum; the sum of all four sides but the least alike, so that an object may cover one side. 1 is added to the
    variances, or the distance to a strip of a single colour would be infinite.
    """
    strip = max(1, int(round(width * min(lab.shape[:2]))))
    maps = []
    for region in (lab[:strip], lab[-strip:], lab[:, :strip], lab[:, -strip:]):
        colours = region.reshape(-1, 3).astype(np.float64)
        offset = colours - colours.mean(axis=0)
        precision = np.linalg.inv(offset.T @ offset / len(colours) + np.eye(3))
        away = lab - colours.mean(axis=0)  # (H, W, 3)
        squares = (away @ precision * away).sum(axis=2)
        maps.append(normalise(np.sqrt(np.maximum(squares, 0)), lowest=0))
    return normalise(np.sum(maps, axis=0) - np.max(maps, axis=0))


def centre_weight(shape):
    """1 in the centre of an (H, W) image, falling in a straight line to 0 in its corners, whatever its proportions."""
    rows, columns = ((np.arange(side) + 0.5) / side - 0.5 for side in shape)
    return 1 - np.hypot(rows[:, None], columns[None]) / np.sqrt(0.5)


def minimum_barrier(image):
    """MB+ of a uint8 (H, W, 3) RGB image, (H, W) in [0, 1]: distance and contrast, smoothed, weighted to the centre.

    The paper's last step, a sigmoid, is left out: it keeps the order of the values and squeezes the low ones together.
    """
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    lab = to_lab(image)
    found = normalise(barrier_distance(lab).sum(axis=2)) + border_contrast(lab)
    found = normalise(_smooth(normalise(found)) * centre_weight(found.shape))
    return cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR)


def _smooth(found):
    """Remove what is small, bright or dark: opening, then closing by reconstruction, which keep the outlines."""
    side = max(found.shape)
    radius = max(1, int(SMOOTHING * np.sqrt(found.mean()) * side / 300 / 2))
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    found = reconstruction(cv2.erode(found, kernel), found, method="dilation")
    return reconstruction(cv2.dilate(found, kernel), found, method="erosion")

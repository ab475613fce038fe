"""Training transforms as published: mirror, scale, pad, crop, and the label shrunk to the feature map (FIDELITY rows 19-21)."""

import cv2
import numpy as np

from cian.data.images import IGNORE


def random_crop(image, label, crop, rng, scales=(0.5, 0.75, 1, 1.25, 1.5), pad_label=0):
    """Mirror by half chance, scale by one of `scales`, pad bottom and right to `crop`, crop at random.

    image uint8 (H, W, 3), label uint8 (H, W) or None; padding is black and carries `pad_label` (published: 0, background).
    Returns image (crop, crop, 3) and label (crop, crop), or None where None was given.
    """
    if rng.random() < 0.5:
        image = image[:, ::-1]
        label = None if label is None else label[:, ::-1]
    scale = scales[rng.integers(len(scales))]
    if scale != 1:
        height, width = image.shape[:2]
        size = (max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5)))
        image = cv2.resize(image, size)
        label = None if label is None else cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)
    image, label = pad(image, label, crop, pad_label)
    top = rng.integers(image.shape[0] - crop + 1)
    left = rng.integers(image.shape[1] - crop + 1)
    window = (slice(top, top + crop), slice(left, left + crop))
    return np.ascontiguousarray(image[window]), None if label is None else np.ascontiguousarray(label[window])


def pad(image, label, size, pad_label=0):
    """Extend image and label at the bottom and right to at least `size` in both directions."""
    bottom, right = (max(size - side, 0) for side in image.shape[:2])
    if bottom or right:
        image = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_CONSTANT)
        if label is not None:
            label = cv2.copyMakeBorder(label, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=pad_label)
    return image, label


def align_corners_weights(source, target):
    """Bilinear weights (target, source) that map the first pixel on the first and the last on the last."""
    position = np.arange(target) * ((source - 1) / max(target - 1, 1))
    low = np.minimum(position.astype(int), max(source - 2, 0))
    weights = np.zeros((target, source))
    weights[np.arange(target), low] += 1 - (position - low)
    weights[np.arange(target), np.minimum(low + 1, source - 1)] += position - low
    return weights


def shrink_label(label, size):
    """Shrink (H, W) class indices to (size, size): one-hot, bilinear with aligned corners, arg max where above 0.5, else 255.

    At H = W = 8 (size - 1) + 1 this takes every eighth pixel. The published code as it stands interpolates the indices
    themselves, which invents classes; its version before is the one followed here (FIDELITY row 19).
    """
    steps = [(side - 1) // max(size - 1, 1) for side in label.shape]
    if all(step and step * (size - 1) == side - 1 for step, side in zip(steps, label.shape)):
        return label[:: steps[0], :: steps[1]].copy()  # what follows, at the crops of all presets, in no time
    rows, columns = (align_corners_weights(side, size) for side in label.shape)
    best = np.full((size, size), 0.5)
    shrunk = np.full((size, size), IGNORE, np.uint8)
    for value in np.unique(label):
        if value != IGNORE:
            share = rows @ (label == value) @ columns.T  # (size, H) x (H, W) x (W, size)
            shrunk[share > best] = value
            best = np.maximum(best, share)
    return shrunk


def feature_size(side, stride=8):
    """Pixels of the feature map along a side of `side` image pixels."""
    return (side - 1) // stride + 1

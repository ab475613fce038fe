"""Masks made of logits and written, in worker processes: without MXNet, so that these start at once and stay small."""

from pathlib import Path

import numpy as np

from cian.data.images import read_image, write_label
from cian.inference.crf import dense_crf


def write_masks(image_path, logits, output, name, crf_iterations, crf_method, allowed=None):
    """Write arg max of logits (K, H, W) as output/pred/NAME.png, and after the CRF as output/pred_crf/NAME.png.

    crf_iterations 0 leaves the second out. allowed: class indices that may occur (a filter by image tags), None for all.
    """
    if allowed is not None:
        logits = keep_classes(logits, allowed)
    if crf_iterations:
        refined = dense_crf(read_image(image_path), logits, crf_iterations, crf_method)
        write_label(Path(output) / "pred_crf" / f"{name}.png", refined)
    write_label(Path(output) / "pred" / f"{name}.png", logits.argmax(axis=0))  # last: it tells that the image is done


def keep_classes(logits, allowed):
    """Logits (K, H, W) with those of other classes lowered so far that they cannot win."""
    lowest = logits.min() - 100
    kept = np.full_like(logits, lowest)
    kept[list(allowed)] = logits[list(allowed)]
    return kept

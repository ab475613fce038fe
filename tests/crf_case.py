"""An image and logits for the tests of the dense CRF."""

import numpy as np


def make_case(classes=21, height=96, width=120, seed=0):
    """An image of two flat halves with noise, and logits that favour classes 0 and 3 with small tails elsewhere."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), 60, np.uint8)
    image[:, width // 2 :] = (180, 140, 100)
    image += rng.integers(0, 12, image.shape, dtype=np.uint8)
    logits = rng.normal(0, 0.7, (classes, height, width)).astype(np.float32)
    logits[0, :, : width // 2 + 5] += 4
    logits[min(3, classes - 1), :, width // 2 - 5 :] += 4
    return image, logits

"""A made-up photograph."""

import numpy as np
from PIL import Image


def picture(height=50, width=60, seed=0):
    """Smooth noise, uint8 (height, width, 3)."""
    noise = np.random.RandomState(seed).randint(0, 255, (height // 8 + 1, width // 8 + 1, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(noise).resize((width, height), Image.BICUBIC))

"""Made-up photographs, and unusual image files."""

import numpy as np
from PIL import Image


def picture(height=50, width=60, seed=0):
    """Smooth noise, uint8 (height, width, 3)."""
    noise = np.random.RandomState(seed).randint(0, 255, (height // 8 + 1, width // 8 + 1, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(noise).resize((width, height), Image.BICUBIC))


def jpeg(path, array, mode):
    Image.fromarray(array, mode=mode).save(str(path), format="JPEG", quality=95)


def odd_image(kind, path):
    """Write an unusual image in place of a JPEG; the size it has."""
    random = np.random.RandomState(0)
    grey = random.randint(0, 256, (40, 48)).astype(np.uint8)
    if kind == "grey":
        jpeg(path, grey, "L")
    elif kind == "CMYK":
        jpeg(path, random.randint(0, 256, (40, 48, 4)).astype(np.uint8), "CMYK")
    elif kind == "black":
        jpeg(path, np.zeros((40, 48, 3), np.uint8), "RGB")
    elif kind == "transparent":
        Image.fromarray(random.randint(0, 256, (40, 48, 4)).astype(np.uint8)).save(str(path), format="PNG")
    elif kind == "palette":
        Image.fromarray(grey, mode="P").save(str(path), format="PNG")
    else:
        grey = grey.ravel()[: int(np.prod(kind))].reshape(kind)
        jpeg(path, grey, "L")
    return grey.shape

"""Images and label images: read with an error that names the file, written with the VOC palette."""

import functools
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from cian.base.files import replacing

IGNORE = 255  # label of pixels that do not count


def open_image(path):
    """Open a picture with Pillow; FileNotFoundError or ValueError name the file."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such image file")
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # gluoncv switches it on for the whole process
    try:
        image = Image.open(path)
        image.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path}: cannot be decoded as an image ({error})") from None
    return image


def to_rgb(image):
    """A Pillow image of any mode as uint8 (H, W, 3) RGB: 16-bit scaled down, alpha over white, CMYK converted."""
    if image.mode.startswith("I"):  # 16-bit grey: keep the high byte, Pillow would clip at 255
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("RGB"))


def read_image(path, upright=False):
    """Read an image file as uint8 (H, W, 3) RGB.

    upright: turn by the EXIF orientation, as for a photograph; off for data sets, whose masks are not turned.
    """
    image = open_image(path)
    if upright:
        image = ImageOps.exif_transpose(image)
    return to_rgb(image)


def read_label(path):
    """Read a label PNG (palette or grey) as uint8 (H, W) class indices; any other mode is a ValueError."""
    image = open_image(path)
    if image.mode not in ("P", "L"):
        raise ValueError(
            f"{path}: label images are palette (P) or grey (L) PNGs of class indices, found mode {image.mode}"
        )
    return np.asarray(image)


def write_label(path, label):
    """Write (H, W) class indices 0..255 as a palette PNG with the VOC colours, whole or not at all."""
    label = np.asarray(label)
    if label.ndim != 2 or (label.size and (label.min() < 0 or label.max() > 255)):
        raise ValueError(
            f"label for {path}: expected (H, W) values in 0..255, found shape {label.shape}"
            + (f", values {label.min()}..{label.max()}" if label.size else "")
        )
    image = Image.fromarray(label.astype(np.uint8, copy=False), mode="P")
    image.putpalette(palette().ravel().tolist())
    with replacing(path) as temporary:
        image.save(str(temporary), format="PNG")


@functools.lru_cache(maxsize=None)
def palette():
    """The VOC colours, uint8 (256, 3) RGB: bits 0, 3, 6 of the index make red, 1, 4, 7 green, 2, 5 blue, high bit first."""
    index = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            source = 3 * bit + channel
            if source < 8:
                colours[:, channel] |= (((index >> source) & 1) << (7 - bit)).astype(np.uint8)
    colours.flags.writeable = False
    return colours

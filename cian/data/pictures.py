"""Photographs of any kind made fit for a network: upright, RGB, and reduced so that memory stays bounded.

A JPEG is decoded at a fraction of its size. Any other file is decoded once, at most 4 bytes a pixel, and turned into RGB band
by band; Pillow refuses files of more than 179 million pixels.
"""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from cian.data.images import no_such_image, refuse_lost_depth, to_rgb, white_of

TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
ORIENTATION = 0x0112
BAND = 4_000_000  # pixels that are turned into RGB at once


def read_picture(source, sides):
    """A picture as uint8 (h, w, 3) RGB that fits into `sides` (height, width), and its own size (H, W).

    source: a path, a Pillow image, or an array uint8 (H, W), (H, W, 3) or (H, W, 4). Files and Pillow images are turned by
    their EXIF orientation; alpha is laid over white. Smaller pictures keep their size, no picture is enlarged.
    FileNotFoundError or ValueError name the file; TypeError or ValueError tell what else was given.
    """
    if isinstance(source, (str, Path)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large is fine, absurd still is an error
            return _read_file(Path(source), sides)
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim not in (2, 3) or (source.ndim == 3 and source.shape[2] not in (3, 4)):
            raise ValueError(f"picture: expected uint8 (H, W), (H, W, 3) or (H, W, 4), found {source.dtype} {source.shape}")
        if 0 in source.shape:
            raise ValueError(f"picture: has no pixels, its shape is {source.shape}")
        return _fit(Image.fromarray(source), sides), source.shape[:2]
    if isinstance(source, Image.Image):
        return _fit(source, sides), _upright_size(source, source.size)
    raise TypeError(f"picture: expected a path, a Pillow image or a uint8 array, found {type(source).__name__}")


def _read_file(path, sides):
    if not path.is_file():
        raise no_such_image(path)
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # gluoncv switches it on for the whole process
    try:
        with Image.open(path) as image:
            size = image.size
            refuse_lost_depth(image)
            image.draft("RGB" if image.mode == "YCbCr" else image.mode, (max(sides), max(sides)))  # JPEG: decode fewer pixels
            return _fit(image, sides), _upright_size(image, size)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path}: cannot be decoded as an image ({error})") from None


def _upright_size(image, size):
    turned = image.getexif().get(ORIENTATION) in TURNED
    return (size[0], size[1]) if turned else (size[1], size[0])


def _fit(image, sides):
    """Pillow image -> uint8 (h, w, 3), upright, within sides (height, width)."""
    height, width = _upright_size(image, image.size)
    scale = min(1.0, sides[0] / height, sides[1] / width)
    if scale < 1:
        fitted = tuple(max(1, round(side * scale)) for side in image.size)  # (width, height) as stored, not yet turned
        image = _keep_exif(_reduced(image, fitted), image)
    return to_rgb(ImageOps.exif_transpose(image))


def _reduced(image, size):
    """A picture of any mode in RGB at a smaller size (width, height): averaged to about twice that, then bicubic."""
    white = white_of(image)
    factor = tuple(max(1, int(old / new / 2)) for old, new in zip(image.size, size))
    rows = max(1, BAND // (image.width * factor[1])) * factor[1]
    bands = []
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        bands.append(np.asarray(Image.fromarray(to_rgb(band, white)).reduce(factor)))
    averaged = Image.fromarray(np.concatenate(bands))
    return averaged.resize(size, Image.BICUBIC, box=(0, 0, image.width / factor[0], image.height / factor[1]))


def _keep_exif(image, old):
    image.getexif()[ORIENTATION] = old.getexif().get(ORIENTATION, 1)
    return image

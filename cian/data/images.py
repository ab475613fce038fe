"""Images and label images: read with an error that names the file, written with the VOC palette."""

import functools
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps, ImageStat, UnidentifiedImageError

from cian.base.files import replacing

IGNORE = 255  # label of pixels that do not count
PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")  # of the images of a data set
LABEL_ENDINGS = (".png", ".bmp", ".tif", ".tiff")
LOSSY = ("JPEG", "MPO", "WEBP")  # formats that invent values between class indices


def find_file(folder, name, endings):
    """Path of the file NAME in a folder with the first of `endings`, or else, if it is the only one, with another of them.

    Upper case counts as lower. Where there is none, or several, the path with the first ending, at which there is no file.
    """
    usual = Path(folder) / f"{name}{endings[0]}"
    if usual.is_file():
        return usual
    try:
        found = _names(str(folder), Path(folder).stat().st_mtime_ns).get(str(name), ())
    except OSError:
        return usual
    found = [Path(folder) / one for one in found if Path(one).suffix.lower() in endings]
    return found[0] if len(found) == 1 else usual


@functools.lru_cache(maxsize=8)
def _names(folder, changed):
    """{name without ending: names of the files} in a folder; `changed`, its time of change, is part of the cache's key."""
    names = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                names.setdefault(os.path.splitext(entry.name)[0], []).append(entry.name)
    return names


def no_such_image(path):
    """The FileNotFoundError of a picture that is not there; names the files of other endings that are."""
    path = Path(path)
    beside = sorted(entry.name for entry in path.parent.glob("*") if entry.stem.lower() == path.stem.lower())
    hint = f"; there {'is' if len(beside) == 1 else 'are'} {', '.join(beside[:4])}" if beside else ""
    return FileNotFoundError(f"{path}: no such image file{hint}")


def open_image(path):
    """Open a picture with Pillow; FileNotFoundError or ValueError name the file."""
    if not Path(path).is_file():
        raise no_such_image(path)
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # gluoncv switches it on for the whole process
    try:
        image = Image.open(path)
        refuse_lost_depth(image)
        image.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path}: cannot be decoded as an image ({error})") from None
    return image


def open_header(path):
    """Open a picture without decoding it, in a `with`; FileNotFoundError or ValueError name the file."""
    if not Path(path).is_file():
        raise no_such_image(path)
    try:
        return Image.open(path)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path}: cannot be decoded as an image ({error})") from None


def refuse_lost_depth(image):
    """ValueError where Pillow, which keeps the high byte of 16-bit colours, would make black of all that an image holds."""
    modes = [tile[3] if isinstance(tile[3], str) else tile[3][0] for tile in image.tile if tile[3]]  # as stored
    deep = any(";16" in str(mode) for mode in modes) and not image.mode.startswith("I")
    if deep and max(high for _, high in ImageStat.Stat(image.convert("RGB")).extrema) == 0:
        raise ValueError("16 bits a colour, but no value above 255, or all is black; expected 0..65535")


def white_of(image):
    """The value that means white in a grey image of 16 or 32 bits or floats: 65535, 255 or 1; None of any other image.

    16 bits count from 0 to 65535; 32 bits and floats as far as their largest value says. ValueError for negative or larger
    values, NaN, and 16 bits that hold no value above 255.
    """
    if image.mode != "F" and not image.mode.startswith("I"):
        return None
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= (255 if image.mode == "F" else 65535)):  # NaN is neither
        expected = "0..1 or 0..255" if image.mode == "F" else "0..65535"
        raise ValueError(f"values {low:g}..{high:g} in an image of mode {image.mode}, expected {expected}")
    if image.mode == "F":
        return 1 if high <= 1 else 255
    if image.mode != "I" or image.format == "PNG":  # PNG has no 32 bits
        if 0 < high <= 255:
            raise ValueError(f"16 bits, but no value above {high}; expected 0..65535")
        return 65535
    return 255 if high <= 255 else 65535


def to_rgb(image, white=None):
    """A Pillow image of any mode as uint8 (H, W, 3) RGB: 16 and 32 bits and floats scaled, alpha over white, CMYK converted.

    white: of `white_of`, where that was asked of the whole image of which this is a part. Errors: see there.
    """
    white = white or white_of(image)
    if white is not None:
        values = np.asarray(image)
        values = values >> 8 if white == 65535 else values * (255 / white)  # the high byte; Pillow would clip at 255
        image = Image.fromarray(np.rint(values).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("LA" if image.mode == "La" else "RGBA").convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return np.asarray(image.convert("RGB"))


def read_image(path, upright=False):
    """Read an image file as uint8 (H, W, 3) RGB.

    upright: turn by the EXIF orientation, as for a photograph; off for data sets, whose masks are not turned.
    FileNotFoundError or ValueError name the file, such as one of other numbers than 0..255, 0..65535 or floats of 0..1.
    """
    image = open_image(path)
    if upright:
        image = ImageOps.exif_transpose(image)
    try:
        pixels = to_rgb(image)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if pixels.max(initial=0) == 1:
        raise ValueError(f"{path}: no value above 1, expected an image of 0..255; black is 0")
    return pixels


def read_label(path):
    """Read a label image as uint8 (H, W) class indices.

    A palette or grey image without loss, 8 bits or, if no value is above 255, 16 bits; ValueError for any other.
    """
    image = open_image(path)
    values = np.asarray(image) if image.mode in ("P", "L") or image.mode.startswith("I") else None
    if values is None or image.format in LOSSY:
        raise ValueError(
            f"{path}: label images are palette (P) or grey (L) PNGs of class indices, "
            f"found {f'a {image.format}, which is lossy' if image.format in LOSSY else f'mode {image.mode}'}"
        )
    if values.dtype != np.uint8 and values.size and not 0 <= values.min() <= values.max() <= IGNORE:
        raise ValueError(f"{path}: expected class indices 0..{IGNORE}, found {values.min()}..{values.max()}")
    return values.astype(np.uint8, copy=False)


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

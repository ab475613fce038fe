"""Saliency, from which the background of the seeds comes: methods that need no training, and maps read from files.

The paper takes its background from a trained saliency model (DRFI) at threshold 0.06 ("Initial Seeds"); maps of it, or
of any other, are read by `find_maps` and `read_saliency`. The methods here need no download; each has its threshold.

An image of one colour, or of one pixel, has nothing that stands out: its map is 0, all background.
"""

import logging
from pathlib import Path
from typing import Callable, NamedTuple

import cv2
import numpy as np
from PIL import Image

from cian.base.files import replacing
from cian.data.images import open_header, open_image, read_image, white_of
from cian.seeds.barrier import minimum_barrier
from cian.seeds.superpixels import distances, geodesic_distances, normalise, segment, to_lab

log = logging.getLogger(__name__)

DEFAULT = "mbd-warm"
MAP_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
LEAST = 1.5 / 255  # of a map that holds more than 0 and 1


def saliency(image, method=DEFAULT):
    """How much each pixel stands out, float32 (H, W) in [0, 1], of a uint8 (H, W, 3) RGB image of at least one pixel.

    ValueError for an unknown method (it lists the known ones) or for anything else than such an image.
    """
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(sorted(METHODS))}, found {method!r}")
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0 or image.dtype != np.uint8:
        raise ValueError(f"image: expected uint8 (H, W, 3), found {image.dtype} {image.shape}")
    return np.clip(METHODS[method].compute(image), 0, 1).astype(np.float32)


def warm_minimum_barrier(image, least=0.2):
    """MB+ times a prior for warm colours, from `least` where a pixel is green to 1 where it is red.

    Vegetation and water are rarely what a photograph shows, warm colours often are (the idea of the colour prior of
    Zhang, Gu, Li, "SDSP", ICIP 2013). Here it is a logistic function of the CIE Lab a axis, whose two constants and
    `least` were chosen on 300 training images of animals. It is not relative to the image: it also compares images.
    `least` keeps a green object above the threshold as long as it differs clearly from the border.
    """
    green_to_red = cv2.GaussianBlur(to_lab(image)[..., 1], (0, 0), 1)  # (H, W), about -100..100; 0 is grey
    warm = 1 / (1 + np.exp(-(green_to_red + 3) / 3))
    return minimum_barrier(image) * (least + (1 - least) * warm)


def robust_background(image, side=300):
    """Zhu, Liang, Wei, Sun, "Saliency Optimization from Robust Background Detection", CVPR 2014, on superpixels.

    How much of the border the region around a superpixel holds, for its area, says how surely it is background (its
    "boundary connectivity", over geodesic distances in colour); the contrast to the others counts by that; least
    squares make both agree over neighbours. The constants are the paper's.
    """
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    regions = segment(image)
    colour = distances(regions.colours)  # (n, n)
    touching, border = regions.touching, regions.border

    nearest = np.where(touching, colour, np.inf).min(axis=1)
    noise = nearest.mean() if touching.any() else 0.0  # a smaller step between neighbours is not one
    linked = touching | (border[:, None] & border[None])  # the border is connected around the outside
    np.fill_diagonal(linked, False)
    similar = _bell(geodesic_distances(linked, np.maximum(colour - noise, 0)), 10)
    connectivity = similar[:, border].sum(axis=1) / np.sqrt(similar.sum(axis=1))  # length along border / sqrt(area)
    background = 1 - _bell(connectivity, 1)
    contrast = (colour * _bell(distances(regions.centres), 0.25) * background).sum(axis=1)
    foreground = normalise(contrast)

    two_steps = linked | (touching.astype(np.float32) @ touching.astype(np.float32) > 0)
    np.fill_diagonal(two_steps, False)
    smooth = np.where(two_steps, _bell(colour, np.clip(3 * noise, 5, 20)) + 0.1, 0)  # 0.1: the paper's mu
    system = np.diag(smooth.sum(axis=1) + background + foreground) - smooth
    found = normalise(np.linalg.solve(system, foreground))[regions.labels]
    return cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR)


def frequency_tuned(image):
    """Achanta, Hemami, Estrada, Suesstrunk, "Frequency-tuned Salient Region Detection", CVPR 2009: a cheap yardstick.

    The distance in CIE Lab between the blurred pixel and the mean colour of the image.
    """
    lab = to_lab(image)
    away = cv2.GaussianBlur(lab, (5, 5), 0) - lab.mean(axis=(0, 1))
    return normalise(np.sqrt((away**2).sum(axis=2)))


def _bell(values, sigma):
    return np.exp(-np.square(values) / (2 * sigma**2))


class Method(NamedTuple):
    """compute: uint8 (H, W, 3) -> (H, W) in [0, 1]; a pixel at or below `background` is taken for background."""

    compute: Callable
    background: float


# Each threshold is the smallest multiple of 0.01 that claims more than 40 % of the background of 300 training images of
# VOC2012-animals. Beside it, what it gives on the other 1000 (700 of train, 300 of val): precision and recall of the
# background over all their pixels, and the largest F measure of the foreground (beta^2 = 0.3).
METHODS = {
    "mbd-warm": Method(warm_minimum_barrier, 0.06),  # 92.7 % and 43.6 %, F 0.696
    "mbd": Method(minimum_barrier, 0.11),  # 89.6 % and 45.1 %, F 0.668
    "rbd": Method(robust_background, 0.09),  # 89.5 % and 46.0 %, F 0.659
    "frequency-tuned": Method(frequency_tuned, 0.28),  # 75.0 % and 41.3 %, F 0.429
}


def find_maps(folder, ids):
    """Paths of the saliency maps of `ids` in a folder, as a dict: ID.png (or another of MAP_SUFFIXES) or ID_METHOD.png.

    FileNotFoundError when the folder or a map is missing, ValueError when an image has two; both name them.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of saliency maps")
    wanted, found = set(ids), {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in MAP_SUFFIXES or path.name.startswith("."):
            continue
        name = path.stem if path.stem in wanted else path.stem.rpartition("_")[0]
        if name in wanted and name in found:
            raise ValueError(f"{folder}: two saliency maps of image {name}, {found[name].name} and {path.name}")
        if name in wanted:
            found[name] = path
    missing = [name for name in ids if name not in found]
    if missing:
        raise FileNotFoundError(
            f"{folder}: no saliency map of {len(missing)} of {len(wanted)} images, the first "
            f"{missing[0]} (expected {missing[0]}.png or .jpg)"
        )
    return found


def check_map(item):
    """The largest value of a saliency map, a fraction; item = (path of the map, path of the image).

    ValueError unless it is a map that `read_saliency` takes, of its image's size; of the image only the header is read.
    """
    map_path, image_path = item
    with open_header(image_path) as image:
        size = image.size[::-1]
    return float(read_saliency(map_path, size).max())


def check_largest(folder, largest):
    """ValueError where no map of a folder reaches more than 1 of 255, that is, where they hold 0 and 1; see `check_map`.

    Such maps would all be background. A warning says how many are so, if only some: they may be of images without an object.
    """
    low = sum(0 < value <= LEAST for value in largest)
    if largest and max(largest) <= LEAST:
        values = "only 0" if not low else "only 0 and 1"
        expected = "0..255 (or 16 bits, or floats of 0..1)"
        raise ValueError(f"{folder}: saliency maps of {values}, expected {expected}; multiply them by 255")
    if low:
        log.warning("%s: %d of %d saliency maps have no value above 1 of 255; all of such an image is background", folder, low,
                    len(largest))  # fmt: skip


def read_saliency(path, size):
    """Read a grey map, 8 or 16 bits or floats, as float32 (H, W) in [0, 1]; size = (H, W) of its image.

    A colour file counts as grey when its channels are equal up to JPEG's rounding. FileNotFoundError; ValueError names
    the file when it is not grey, has another size, or numbers that are none of 0..255, 0..65535 and, as floats, 0..1.
    """
    image = open_image(path)
    values = np.asarray(image.convert("L") if image.mode == "1" else image)
    if image.mode == "RGB" and np.ptp(values.astype(np.int16), axis=2).max() <= 2:
        values = values[..., 1]
    if image.mode not in ("1", "L", "RGB", "F") and not image.mode.startswith("I") or values.ndim != 2:
        raise ValueError(f"{path}: expected a grey saliency map, found an image of mode {image.mode}")
    if values.shape != tuple(size):
        raise ValueError(f"{path}: expected the size of its image, {tuple(size)} (H, W), found {values.shape}")
    try:
        white = white_of(image) or 255
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return values.astype(np.float32) / white


def write_saliency(dataset, folder, method, image_id):
    """Write the saliency of one image as grey PNG, 0..255."""
    values = saliency(read_image(dataset.image_path(image_id)), method)
    with replacing(folder / f"{image_id}.png") as temporary:
        Image.fromarray(np.rint(255 * values).astype(np.uint8)).save(str(temporary), format="PNG")

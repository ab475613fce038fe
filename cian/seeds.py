"""Seeds: sparse labels made from CAM and saliency (paper, "Initial Seeds"), and the CAM files they come from.

The paper generates foreground where the CAM, normalised to [0, 1], reaches 0.3 and background where the saliency is at
most 0.06; "all the remaining unassigned pixels and conflictual assignments are abandoned and marked as ignored".
"""

import zipfile
from pathlib import Path

import cv2
import numpy as np

from cian.data.images import IGNORE, read_label
from cian.files import replacing

CAM_THRESHOLD = 0.3
SALIENCY_THRESHOLD = 0.06  # for the paper's saliency (DRFI); cian.saliency.METHODS holds those of the embedded methods


def save_cam(path, class_ids, maps):
    """Write the CAM of one image as an npz of two arrays, whole or not at all.

    class_ids: (C,) class indices 1..254, each once; C may be 0 (an image without tags).
    maps: (C, h, w) in [0, 1], stored as float16. ValueError when shapes or values are not so.
    """
    class_ids, maps = np.asarray(class_ids), np.asarray(maps)
    if class_ids.size == 0:
        class_ids = class_ids.astype(np.int64)
    _check_cam(path, class_ids, maps)
    with replacing(path) as temporary, open(str(temporary), "wb") as file:
        np.savez(file, classes=class_ids.astype(np.int64), maps=maps.astype(np.float16))


def load_cam(path):
    """Read what `save_cam` wrote: class ids int64 (C,) and maps float16 (C, h, w) in [0, 1].

    FileNotFoundError, or ValueError when the file is cut short, holds other arrays or other values; both name the file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such CAM file")
    try:
        with np.load(str(path), allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: cannot be read as a CAM file ({error})") from None
    if set(found) != {"classes", "maps"}:
        raise ValueError(f"{path}: expected the arrays classes and maps, found {', '.join(sorted(found)) or 'none'}")
    class_ids, maps = found["classes"], found["maps"]
    if class_ids.dtype != np.int64 or maps.dtype != np.float16:
        raise ValueError(f"{path}: expected classes int64 and maps float16, found {class_ids.dtype} and {maps.dtype}")
    _check_cam(path, class_ids, maps)
    return class_ids, maps


def resize_maps(maps, size):
    """Resize (C, h, w) maps to float32 (C, H, W), size = (H, W), bilinearly; values stay within those of the input."""
    maps, size = np.asarray(maps, np.float32), tuple(int(side) for side in size)
    if maps.ndim != 3 or 0 in maps.shape[1:] or len(size) != 2 or min(size) < 1:
        raise ValueError(f"maps and size: expected (C, h, w) and (H, W), found {maps.shape} and {size}")
    resized = np.empty((len(maps),) + size, np.float32)
    for index, one in enumerate(maps):
        large = cv2.resize(one, size[::-1], interpolation=cv2.INTER_LINEAR)  # OpenCV wants (W, H)
        resized[index] = np.clip(large, one.min(), one.max())  # rounding may leave [0, 1] by 1e-7
    return resized


def make_seed(
    cam_maps, class_ids, saliency, cam_threshold=CAM_THRESHOLD, saliency_threshold=SALIENCY_THRESHOLD, overlap="ignore"
):
    """Label the pixels of one image that CAM or saliency is sure of; uint8 (H, W), 255 where none or several claim it.

    cam_maps: (C, H, W) in [0, 1], the CAM of each of the image's own classes at the image's size; class_ids: (C,) their
    indices. A class claims the pixels where its CAM >= cam_threshold.
    saliency: (H, W) in [0, 1]. Background (0) claims the pixels where saliency <= saliency_threshold.
    overlap: what becomes of a pixel that two or more classes claim: "ignore" (255: the paper's "conflictual assignments
    are abandoned") or "largest" (the class with the larger CAM; an exact tie stays 255). A pixel claimed by both a class
    and the background is 255 in either case.
    ValueError names the argument that has another shape, or values that are NaN or outside [0, 1].
    """
    cam_maps, class_ids, saliency = np.asarray(cam_maps), np.asarray(class_ids), np.asarray(saliency)
    if overlap not in OVERLAPS:
        raise ValueError(f"overlap: expected one of {', '.join(sorted(OVERLAPS))}, found {overlap!r}")
    if class_ids.size == 0:
        class_ids = class_ids.astype(np.int64)
    _check_cam("cam_maps", class_ids, cam_maps)
    if saliency.shape != cam_maps.shape[1:]:
        raise ValueError(f"saliency: expected the size of cam_maps, {cam_maps.shape[1:]}, found {saliency.shape}")
    _check_unit("saliency", saliency)

    claims = cam_maps >= cam_threshold  # (C, H, W)
    foreground = claims.any(axis=0)
    background = saliency <= saliency_threshold
    seed = np.full(saliency.shape, IGNORE, np.uint8)
    seed[background & ~foreground] = 0
    if len(class_ids):
        chosen, decided = OVERLAPS[overlap](cam_maps, claims)
        decided &= foreground & ~background
        seed[decided] = class_ids.astype(np.uint8)[chosen[decided]]
    return seed


def _claimed_once(cam_maps, claims):
    return claims.argmax(axis=0), claims.sum(axis=0) == 1


def _claimed_most(cam_maps, claims):
    return cam_maps.argmax(axis=0), (cam_maps == cam_maps.max(axis=0)).sum(axis=0) == 1


OVERLAPS = {"ignore": _claimed_once, "largest": _claimed_most}  # (C, H, W) twice -> index of the class, is it decided


def substituted_ids(ids, share, seed=0):
    """The ids whose seeds are replaced by the ground truth (Table 4): round(share * len(ids)) of them, drawn by `seed`.

    They come in the order of `ids`. The draw depends on the set of ids, not on their order, and is nested: for one seed
    those of a smaller share are among those of a larger one. ValueError when share is outside [0, 1] or an id comes twice.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share: expected a fraction in [0, 1], found {share}")
    ids = list(ids)
    if len(set(ids)) != len(ids):
        raise ValueError(f"ids: expected each id once, found {len(ids) - len(set(ids))} repeated")
    order = np.random.RandomState(seed).permutation(len(ids))
    names = sorted(ids)
    drawn = {names[index] for index in order[: round(share * len(ids))]}
    return [name for name in ids if name in drawn]


def read_seed(path, size, class_count):
    """Read a seed made here or elsewhere: an index PNG, uint8 (H, W), size = (H, W) of its image.

    ValueError names the file when it is no label image, has another size, or a value that is neither 0..class_count - 1
    nor 255.
    """
    seed = read_label(path)
    if seed.shape != tuple(size):
        raise ValueError(f"{path}: expected the size of its image, {tuple(size)} (H, W), found {seed.shape}")
    values = np.unique(seed)
    foreign = values[(values >= class_count) & (values != IGNORE)]
    if foreign.size:
        raise ValueError(f"{path}: expected class indices 0..{class_count - 1} and {IGNORE}, found {foreign.tolist()}")
    return seed


def _check_cam(name, class_ids, maps):
    if maps.ndim != 3 or class_ids.shape != maps.shape[:1] or 0 in maps.shape[1:]:
        raise ValueError(f"{name}: expected (C,) class ids and (C, H, W) maps, found {class_ids.shape} and {maps.shape}")
    if (
        not np.issubdtype(class_ids.dtype, np.integer)
        or len(set(class_ids.tolist())) != len(class_ids)
        or (class_ids < 1).any()
        or (class_ids >= IGNORE).any()
    ):
        raise ValueError(f"{name}: expected integer class ids 1..{IGNORE - 1}, each once, found {class_ids.tolist()}")
    _check_unit(name, maps)


def _check_unit(name, values):
    """Raise ValueError unless every value is in [0, 1] (NaN is not)."""
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"{name}: expected values in [0, 1], found {values.min()}..{values.max()}")

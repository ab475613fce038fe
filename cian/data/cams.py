"""Files of class activation maps (CAM), `ID.npz`, and of labels made from them, `ID.png`: what seeds are made from and are.

Others' `ID.npy` are read in their place, see cam_exchange.
"""

from pathlib import Path

import cv2
import numpy as np

from cian.base.files import read_arrays, write_arrays
from cian.data.cam_exchange import read_npy, write_npy
from cian.data.images import IGNORE, read_image, read_label


def save_cam(path, class_ids, maps):
    """Write the CAM of one image as an npz of two arrays, whole or not at all.

    class_ids: (C,) class indices 1..254, each once; C may be 0 (an image without tags).
    maps: (C, h, w) in [0, 1], stored as float16. ValueError when shapes or values are not so.
    """
    class_ids, maps = np.asarray(class_ids), np.asarray(maps)
    if class_ids.size == 0:
        class_ids = class_ids.astype(np.int64)
    check_cam(path, class_ids, maps)
    write_arrays(path, {"classes": class_ids.astype(np.int64), "maps": maps.astype(np.float16)})


def cam_path(folder, image_id):
    """Path of the CAM file of an image: folder/ID.npz, or ID.npy, as others write it, where only that is there."""
    paths = [Path(folder) / f"{image_id}{ending}" for ending in (".npz", ".npy")]
    return next((path for path in paths if path.is_file()), paths[0])


def load_cam(path):
    """Read what `save_cam` wrote, or of ID.npy what other code did: class ids int64 (C,) and maps float16 (C, h, w) in [0, 1].

    FileNotFoundError, or ValueError when the file is cut short, holds other arrays or other values; both name the file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such CAM file")
    if Path(path).suffix == ".npy":
        class_ids, maps = read_npy(path)
        check_cam(path, class_ids, maps)
        return class_ids, maps.astype(np.float16)
    found = read_arrays(path, "CAM file")
    if set(found) != {"classes", "maps"}:
        raise ValueError(f"{path}: expected the arrays classes and maps, found {', '.join(sorted(found)) or 'none'}")
    class_ids, maps = found["classes"], found["maps"]
    if class_ids.dtype != np.int64 or maps.dtype != np.float16:
        raise ValueError(f"{path}: expected classes int64 and maps float16, found {class_ids.dtype} and {maps.dtype}")
    check_cam(path, class_ids, maps)
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


def read_seed(path, size, class_count):
    """Read a seed made here or elsewhere: an index PNG, uint8 (H, W), size = (H, W) of its image.

    ValueError names the file when it is no label image, has another size, or a value that is neither 0..class_count - 1
    nor 255.
    """
    seed = read_label(path)
    if seed.shape != tuple(size):
        raise ValueError(f"{path}: expected the size of its image, {tuple(size)} (H, W), found {seed.shape}")
    values = np.flatnonzero(np.bincount(seed.ravel(), minlength=256))  # np.unique, which sorts, takes 20 times as long
    foreign = values[(values >= class_count) & (values != IGNORE)]
    if foreign.size:
        raise ValueError(f"{path}: expected class indices 0..{class_count - 1} and {IGNORE}, found {foreign.tolist()}")
    return seed


def check_cam(name, class_ids, maps):
    """Raise ValueError, which starts with `name`, unless maps (C, H, W) in [0, 1] and class ids (C,), 1..254, go together."""
    if maps.ndim != 3 or class_ids.shape != maps.shape[:1] or 0 in maps.shape[1:]:
        raise ValueError(f"{name}: expected (C,) class ids and (C, H, W) maps, found {class_ids.shape} and {maps.shape}")
    if (
        not np.issubdtype(class_ids.dtype, np.integer)
        or len(set(class_ids.tolist())) != len(class_ids)
        or (class_ids < 1).any()
        or (class_ids >= IGNORE).any()
    ):
        raise ValueError(f"{name}: expected integer class ids 1..{IGNORE - 1}, each once, found {class_ids.tolist()}")
    check_unit(name, maps)


def check_unit(name, values):
    """Raise ValueError, which starts with `name`, unless every value is in [0, 1] (NaN is not)."""
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"{name}: expected values in [0, 1], found {values.min()}..{values.max()}")


def has_cam(path, class_ids):
    """Is there a CAM file of just these classes? One of other tags does not count; ValueError for one that is broken."""
    return path.exists() and tuple(load_cam(path)[0]) == tuple(class_ids)


def write_exchange(dataset, cams, output, image_id):
    """Write output/ID.npy as IRN does, from the maps in folder `cams`."""
    class_ids, maps = load_cam(cam_path(cams, image_id))
    size = read_image(dataset.image_path(image_id)).shape[:2]
    write_npy(output / f"{image_id}.npy", class_ids, maps, resize_maps(maps, size))

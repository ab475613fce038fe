"""Class activation maps as other projects keep them: `ID.npy` with one pickled dictionary, classes from 0 without background.

IRN (`step/make_cam.py`): {"keys": (C,), "cam": (C, h, w) at a quarter of the image's size, "high_res": (C, H, W)}. SEAM,
MCTformer and WeakTr: {class: (H, W)}. Read by `pickled`, which executes nothing; IRN's own code saves "keys" and "cam" as torch
tensors, which it refuses: `numpy.asarray` of each makes the file readable here.
"""

import io
from pathlib import Path

import numpy as np

from cian.base.files import write_bytes
from cian.data.pickled import read_dictionary


def read_npy(path):
    """Class indices int64 (C,), background being 0, and maps (C, h, w) of an `ID.npy`, IRN's "high_res" where there is one.

    ValueError names the file: not such a dictionary, torch tensors, or arrays that do not go together.
    """
    found = read_dictionary(path)
    if "keys" in found:
        name = next((name for name in ("high_res", "cam") if name in found), None)
        if name is None:
            raise ValueError(f"{path}: expected the entries keys and high_res or cam, found {', '.join(map(str, found))}")
        keys, maps = found["keys"], found[name]
    elif all(isinstance(key, int) for key in found):
        keys, maps = sorted(found), [found[key] for key in sorted(found)]
        shapes = {np.shape(one) for one in maps}
        if len(shapes) > 1 or any(len(shape) != 2 for shape in shapes):
            raise ValueError(f"{path}: expected a map (H, W) of each class, found shapes {sorted(shapes)}")
        maps = maps or np.zeros((0, 1, 1), np.float32)
    else:
        raise ValueError(f"{path}: expected IRN's keys and high_res, or classes as numbers, found {list(found)[:5]}")
    keys = np.asarray(keys) if len(keys) else np.zeros(0, np.int64)
    if keys.ndim != 1 or keys.dtype.kind not in "iu":
        raise ValueError(f"{path}: keys: expected whole numbers (C,), found {keys.dtype} of shape {keys.shape}")
    maps = np.asarray(maps)
    if maps.dtype.kind != "f":
        raise ValueError(f"{path}: expected maps of floating-point numbers, found {maps.dtype}")
    return keys.astype(np.int64) + 1, maps


def write_npy(path, class_ids, maps, large):
    """Write the maps of an image as IRN does, whole or not at all: float32 arrays, no tensors.

    class_ids: (C,) indices, background being 0; maps: (C, h, w); large: the same (C, H, W) at the image's size.
    """
    content = {"keys": np.asarray(class_ids, np.int64) - 1, "cam": np.asarray(maps, np.float32),
               "high_res": np.asarray(large, np.float32)}  # fmt: skip
    buffer = io.BytesIO()
    np.save(buffer, content)
    write_bytes(path, buffer.getvalue())


def cam_folder(folder):
    """Where the maps of a folder lie: in cam, or, if others made them, in the folder itself."""
    return Path(folder) if is_foreign(folder) else Path(folder) / "cam"


def is_foreign(folder):
    """Is this a folder of others' maps, ID.npy, and no output folder of make_seeds?"""
    return not (Path(folder) / "seeds.json").is_file() and next(Path(folder).glob("*.npy"), None) is not None

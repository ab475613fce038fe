"""The loader of the published code (github js-fan/CIAN, `lib/loader`), run as it is, to be timed beside ours.

It reads, scales, mirrors and cuts in the process that trains; OpenCV may use all processors for each step.
"""

import importlib
import sys
import tempfile
import time
from pathlib import Path

from loky import ProcessPoolExecutor

LOADER = Path("lib") / "loader" / "voc_seg_loader.py"


def published_loading(folder, dataset, ids, crop=321, batch=16):
    """Seconds a training image of the loader in `folder`, the published code, at the settings of throughput.loading.

    It runs in a process of its own. FileNotFoundError where the folder does not hold it; ModuleNotFoundError names what its
    own imports lack.
    """
    if not (Path(folder) / LOADER).is_file():
        raise FileNotFoundError(f"--published {folder}: {LOADER} is not there; expected a copy of github js-fan/CIAN")
    masks = dataset.mask_folder if all(dataset.mask_path(i).is_file() for i in ids) else None
    roots = str(dataset.image_path(ids[0]).parent), None if masks is None else str(masks)
    pool = ProcessPoolExecutor(1)
    try:
        return pool.submit(seconds_an_image, str(Path(folder).resolve()), roots, list(ids), crop, min(batch, len(ids))).result()
    finally:
        pool.shutdown(wait=True)


def seconds_an_image(folder, roots, ids, crop, batch):
    """What published_loading measures, in this process; roots: folders of images and masks."""
    import cian.base.runtime  # noqa: F401  # here, in the process that is measured: puts back what MXNet wants of NumPy

    sys.path.insert(0, folder)
    module = importlib.import_module("lib.loader.voc_seg_loader")
    with tempfile.TemporaryDirectory() as made:
        names = Path(made) / "list.txt"
        names.write_text("".join(f"{name}\n" for name in ids), encoding="utf-8")
        random = dict(shuffle=True, rand_scale=True, rand_mirror=True, rand_crop=True)
        loader = module.VOCSegLoader(*roots, str(names), batch, crop, downsample=8, **random)
    for passed in range(2):  # the first one warms up
        loader.reset()
        began, made = time.perf_counter(), 0
        for loaded in loader:
            loaded.data[0].wait_to_read()
            loaded.label[0].wait_to_read()
            made += batch
            if not passed:
                break
    return (time.perf_counter() - began) / made

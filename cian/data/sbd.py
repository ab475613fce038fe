"""The augmented training set of VOC 2012: masks of the Semantic Boundaries Dataset (SBD) beside those of VOC.

Hariharan et al., Semantic Contours from Inverse Detectors, ICCV 2011. The usual `train_aug` of 10,582 images is SBD's
train and val and VOC's train, less VOC's val. Where both have a mask, VOC's is used: it marks the borders as 255.
"""
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Tuple

import numpy as np
import scipy.io
from PIL import Image

from cian.base.files import write_bytes, write_text
from cian.base.parallel import map_parallel
from cian.data.images import IGNORE, read_label, write_label
from cian.data.lists import read_id_file
from cian.data.voc import VOC_CLASSES

TRAIN_AUG_COUNT = 10582
LISTS = "ImageSets/Segmentation"


@dataclass(frozen=True)
class Plan:
    """voc, output: folders; train_aug: its ids, sorted; sources: {id of train_aug or val: path of its mask}."""

    voc: Path
    output: Path
    train_aug: Tuple[str, ...]
    sources: Dict[str, Path]


def find_voc(folder):
    """VOC 2012 in `folder` or where its archive puts it below; FileNotFoundError names what was looked for."""
    return _find(folder, ("", "VOC2012", "VOCdevkit/VOC2012"), ("JPEGImages", "SegmentationClass", LISTS))


def find_sbd(folder):
    """The folder of SBD with cls/*.mat and its lists, in `folder` or where its archive puts it below."""
    return _find(folder, ("", "dataset", "benchmark_RELEASE/dataset", "VOCaug/dataset"),
                 ("cls", "train.txt", "val.txt"))


def read_sbd_mask(path):
    """The classes of an SBD .mat file (GTcls.Segmentation) as uint8 (H, W); ValueError names what is wrong."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such SBD mask")
    try:
        label = scipy.io.loadmat(str(path), variable_names=["GTcls"])["GTcls"]["Segmentation"][0, 0]
    except Exception as error:  # a damaged file may raise nearly anything
        raise ValueError(f"{path}: expected a MATLAB file with GTcls.Segmentation ({error!r})") from None
    if label.ndim != 2 or label.dtype.kind not in "biuf":
        raise ValueError(f"{path}: expected GTcls.Segmentation of shape (H, W), found {label.dtype} {label.shape}")
    legal = np.isin(label, list(range(len(VOC_CLASSES))) + [IGNORE])
    if not legal.all():
        raise ValueError(f"{path}: expected classes 0..{len(VOC_CLASSES) - 1} or {IGNORE}, found {label[~legal][0]}")
    return label.astype(np.uint8)


def derive_train_aug(sbd_train, sbd_val, voc_train, voc_val):
    """The ids of train_aug, sorted: (SBD train + SBD val + VOC train) - VOC val."""
    return sorted(set().union(sbd_train, sbd_val, voc_train).difference(voc_val))


def check_ids(ids, count=None, expected=None):
    """Raise ValueError unless there are `count` ids, and unless they are those of the list `expected`; None = any."""
    if count is not None and len(ids) != count:
        raise ValueError(f"train_aug: expected {count} ids, found {len(ids)}: "
                         "the lists of VOC or SBD are not the usual ones")
    if expected is not None and set(ids) != set(expected):
        missing, extra = sorted(set(expected) - set(ids)), sorted(set(ids) - set(expected))
        raise ValueError(f"train_aug differs from the expected list: {len(missing)} ids missing {missing[:5]}, "
                         f"{len(extra)} ids too many {extra[:5]}")


def make_plan(voc, sbd, output=None, count=TRAIN_AUG_COUNT, expected=None):
    """What `build` has to do, as a `Plan`; nothing is written yet.

    voc, sbd: folders as of `find_voc` and `find_sbd`. output: the data set to write, None = that of VOC.
    count, expected: see `check_ids`. Raises FileNotFoundError or ValueError for wrong lists or missing masks.
    """
    voc, sbd = find_voc(voc), find_sbd(sbd)
    output = voc if output is None else Path(output)
    train, val = (read_id_file(voc / LISTS / f"{name}.txt") for name in ("train", "val"))
    ids = derive_train_aug(read_id_file(sbd / "train.txt"), read_id_file(sbd / "val.txt"), train, val)
    check_ids(ids, count, expected)
    return Plan(voc, output, tuple(ids), _find_sources(ids + val, voc, sbd))


def build(plan, workers=None, progress=None):
    """Write OUTPUT/SegmentationClassAug and OUTPUT/ImageSets/Segmentation/train_aug.txt.

    If the output is not VOC itself, the images and annotations are linked and the other lists copied. Masks that are
    there already are kept, so an interrupted call is continued by the next one; the folder gets its name when it is
    complete. workers, progress: see `map_parallel`. Raises FileNotFoundError or ValueError that names the file.
    """
    if plan.output.resolve() != plan.voc.resolve():
        _link_dataset(plan.voc, plan.output)
    complete, partial = plan.output / "SegmentationClassAug", plan.output / "SegmentationClassAug.partial"
    folder = complete if complete.is_dir() else partial
    items = [(source, plan.voc / "JPEGImages" / f"{name}.jpg", folder / f"{name}.png")
             for name, source in plan.sources.items()]
    for _ in map_parallel(_convert, items, workers, progress):
        pass
    absent = sorted(path.stem for _, _, path in items if not path.is_file())
    if absent:
        raise ValueError(f"{folder}: expected {len(items)} masks, {len(absent)} are not there: {absent[:5]}")
    if folder == partial:
        for left in partial.glob(".*.png"):  # temporary files of a run that was killed
            left.unlink()
        os.replace(str(partial), str(complete))
    write_text(plan.output / LISTS / "train_aug.txt", "".join(f"{name}\n" for name in plan.train_aug))


def _find(folder, places, parts):
    for place in places:
        if all((Path(folder) / place / part).exists() for part in parts):
            return Path(folder) / place
    raise FileNotFoundError(f"{folder}: expected {', '.join(parts)} in it or in one of its folders "
                            f"{', '.join(places[1:])}")


def _find_sources(ids, voc, sbd):
    """{id: path of its mask}: VOC's PNG where there is one, else SBD's .mat."""
    have_png = {path.stem for path in (voc / "SegmentationClass").glob("*.png")}
    have_mat = {path.stem for path in (sbd / "cls").glob("*.mat")}
    missing = sorted(set(ids) - have_png - have_mat)
    if missing:
        raise FileNotFoundError(f"{len(missing)} of {len(ids)} images have a mask neither in "
                                f"{voc / 'SegmentationClass'} nor in {sbd / 'cls'}: {', '.join(missing[:5])}")
    return {name: voc / "SegmentationClass" / f"{name}.png" if name in have_png else sbd / "cls" / f"{name}.mat"
            for name in ids}


def _convert(item):
    """Write one mask as an index PNG, unless it is there already."""
    source, image, target = item
    if target.is_file():
        return
    label = read_sbd_mask(source) if source.suffix == ".mat" else read_label(source)
    if not image.is_file():
        raise FileNotFoundError(f"{image}: no such image, but a mask {source}")
    with Image.open(str(image)) as picture:  # the header is enough here; `prepare_data.py check` decodes
        width, height = picture.size
    if label.shape != (height, width):
        raise ValueError(f"{source}: mask of {label.shape[1]}x{label.shape[0]}, its image has {width}x{height}")
    write_label(target, label)


def _link_dataset(voc, output):
    for name in ("JPEGImages", "Annotations"):
        link = output / name
        if not link.exists() and (voc / name).is_dir():
            output.mkdir(parents=True, exist_ok=True)
            os.symlink(str((voc / name).resolve()), str(link), target_is_directory=True)
    for path in sorted((voc / LISTS).glob("[!.]*.txt")):
        write_bytes(output / LISTS / path.name, path.read_bytes())

"""COCO 2014 in VOC layout: images linked or copied, semantic masks, image tags, lists and class names.

The split is the usual one of weakly supervised segmentation: all images with an annotation, 82,081 to train and 40,137 to
validate. The tags of all of them stand in one tags.csv, which VOCDataset reads where there are no annotation XMLs.
"""

import errno
import functools
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Tuple

from PIL import Image, UnidentifiedImageError

from cian.base.files import UNFINISHED, read_json, replacing, write_json, write_text
from cian.base.locks import HELD
from cian.base.parallel import map_parallel
from cian.data.coco import Picture, read_instances
from cian.data.coco_masks import semantic_mask
from cian.data.images import write_label
from cian.data.voc import TAG_TABLE

SPLITS = ("train", "val")
COUNTS = {"classes": 80, "train": 82081, "val": 40137}  # of COCO 2014; the classes without background
DRAWING = 1  # raise it when masks or tags change: old folders then no longer count as the same data set
_FINISHED, _UNFINISHED = "coco.json", "coco-unfinished.json"


@dataclass(frozen=True)
class Sources:
    """images: {split: folder of its JPEGs}; annotations: {split: its instances_*.json}; both by train and val."""

    images: Dict[str, Path]
    annotations: Dict[str, Path]

    @functools.cached_property
    def record(self):
        """Which data set is made from them: names and SHA-256 of the annotation files, and the version of the drawing."""
        files = {split: {"file": path.name, "sha256": _digest(path)} for split, path in self.annotations.items()}
        return {**files, "drawing": DRAWING}


def find_sources(images, annotations):
    """The `Sources` in the folders `images` and `annotations`, or where COCO's archives put them below.

    FileNotFoundError names what was looked for.
    """
    folders, files = {}, {}
    for split in SPLITS:
        name = f"instances_{split}2014.json"
        found = [place for place in (Path(annotations), Path(annotations) / "annotations") if (place / name).is_file()]
        if not found:
            raise FileNotFoundError(f"{annotations}: expected {name} in it or in its folder annotations")
        files[split] = found[0] / name
        below = Path(images) / f"{split}2014"
        folders[split] = below if below.is_dir() else Path(images)
        if not folders[split].is_dir():
            raise FileNotFoundError(f"{images}: no such folder of COCO images")
    return Sources(folders, files)


@dataclass(frozen=True)
class Plan:
    """What `build` has to do. classes: K names. pictures: {split: {id: Picture}}. images: {split: folder}. record: as of
    `Sources`."""

    classes: Tuple[str, ...]
    pictures: Dict[str, Dict[str, Picture]]
    images: Dict[str, Path]
    record: Dict


def make_plan(sources, counts=COUNTS, progress=None):
    """Read the annotation files into a `Plan`; nothing is written yet.

    counts: how many classes (without background), and ids of train and of val, there have to be; None for any number.
    progress: called with 1 for each annotation file.
    Raises FileNotFoundError or ValueError that names a file: see `read_instances`; other classes in the two files, an image
    in both, other counts, images that are not there.
    """
    read = {}
    for split in SPLITS:
        read[split] = read_instances(sources.annotations[split])
        if progress is not None:
            progress(1)
    train, val = (read[split] for split in SPLITS)
    if train.classes != val.classes:
        raise ValueError(f"{val.path}: categories {val.classes[1:]}, expected those of {train.path}, {train.classes[1:]}")
    both = sorted(set(train.pictures) & set(val.pictures))
    if both:
        raise ValueError(f"{val.path}: {len(both)} images are in {train.path} as well, such as {both[0]}")
    found = {"classes": len(train.classes) - 1, "train": len(train.pictures), "val": len(val.pictures)}
    for name, number in found.items():
        if counts[name] not in (None, number):
            what = "categories" if name == "classes" else "images with an annotation"
            path = sources.annotations.get(name, train.path)
            raise ValueError(f"{path}: {number} {what}, expected {counts[name]} as in COCO 2014")
    pictures = {split: read[split].pictures for split in SPLITS}
    for split in SPLITS:
        present = {entry.name for entry in os.scandir(str(sources.images[split]))}
        missing = [picture.file_name for picture in pictures[split].values() if picture.file_name not in present]
        if missing:
            raise FileNotFoundError(
                f"{sources.images[split]}: {len(missing)} of {len(pictures[split])} images are not there, such as {missing[0]}"
            )
    return Plan(train.classes, pictures, sources.images, sources.record)


def is_finished(root, record):
    """Whether the data set in `root` is complete; False where it is empty or unfinished.

    ValueError where `root` holds anything else, or COCO made from other annotation files.
    """
    root, left = Path(root), (UNFINISHED, HELD)  # what a first write leaves that was interrupted
    if not root.exists() or (root.is_dir() and all(entry.name.startswith(left) for entry in root.iterdir())):
        return False
    for name in (_FINISHED, _UNFINISHED):
        if (root / name).is_file():
            found = read_json(root / name)
            if found != record:
                raise ValueError(f"{root / name}: made from {found}, expected {record}; delete the folder or choose another")
            return name == _FINISHED
    raise ValueError(f"{root}: expected a new or empty folder, or COCO prepared here, found something else (no {_FINISHED})")


def build(plan, root, link="symlink", workers=None, progress=None):
    """Write the data set of a `Plan` to folder `root`; an interrupted call is continued by the next one.

    Writes JPEGImages, SegmentationClass, ImageSets/Segmentation/{train,val}.txt, tags.csv, classes.txt, and coco.json at the
    very end. link: how images get there, one of LINKS. workers, progress: see `map_parallel`; progress counts images.
    ValueError or FileNotFoundError name the file, such as an image of another size than its annotations say.
    """
    if link not in LINKS:
        raise ValueError(f"link: {link!r}, expected one of {', '.join(LINKS)}")
    root = Path(root)
    finished = is_finished(root, plan.record)
    total = sum(map(len, plan.pictures.values()))
    if finished:
        if progress is not None:
            progress(total)
        return
    write_json(root / _UNFINISHED, plan.record)
    items = [(split, name, picture) for split in SPLITS for name, picture in plan.pictures[split].items()]
    items = [(plan.images[split], root, name, picture) for split, name, picture in items if not _is_there(root, name, picture)]
    if progress is not None:
        progress(total - len(items))
    for _ in map_parallel(functools.partial(_convert, link), items, workers, progress):
        pass
    for folder in ("JPEGImages", "SegmentationClass"):
        for left in (root / folder).glob(".*"):  # temporary files of a call that was killed
            left.unlink()
    for split in SPLITS:
        write_text(root / "ImageSets" / "Segmentation" / f"{split}.txt", "".join(f"{name}\n" for name in plan.pictures[split]))
    write_text(root / TAG_TABLE, _tag_table(plan))
    write_text(root / "classes.txt", "".join(f"{name}\n" for name in plan.classes))
    write_json(root / _FINISHED, plan.record)
    (root / _UNFINISHED).unlink()


def _places(root, name, picture):
    return root / "JPEGImages" / f"{name}{Path(picture.file_name).suffix}", root / "SegmentationClass" / f"{name}.png"


def _is_there(root, name, picture):
    return all(path.is_file() for path in _places(root, name, picture))


def _convert(link, item):
    """Link or copy one image and draw its mask, the mask last."""
    folder, root, name, picture = item
    source = folder / picture.file_name
    image, mask = _places(root, name, picture)
    try:
        with Image.open(str(source)) as opened:  # the header is enough here; `prepare_data.py check` decodes
            size = opened.size
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{source}: cannot be read as an image ({error})") from None
    if size != (picture.width, picture.height):
        raise ValueError(f"{source}: {size[0]}x{size[1]} pixels, its annotations say {picture.width}x{picture.height}")
    if not image.is_file():
        image.parent.mkdir(parents=True, exist_ok=True)
        if image.is_symlink():  # to an image that is no longer there
            image.unlink()
        LINKS[link](source, image)
    write_label(mask, semantic_mask(picture))


def _copy(source, target):
    with replacing(target) as temporary:
        shutil.copyfile(str(source), str(temporary))


def _hard_link(source, target):
    try:
        os.link(str(source.resolve()), str(target))
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise ValueError(
            f"{target}: on another file system than {source}, where a hard link cannot lead; use --link copy"
        ) from None


def _symbolic_link(source, target):
    os.symlink(str(source.resolve()), str(target))


LINKS = {"symlink": _symbolic_link, "hardlink": _hard_link, "copy": _copy}


def _tag_table(plan):
    """The text of tags.csv: `id,CLASS,...`, a line an image, 0 or 1 a class."""
    lines = [",".join(("id",) + plan.classes[1:])]
    for split in SPLITS:
        for name, picture in plan.pictures[split].items():
            own = set(picture.tags)
            lines.append(name + "".join(",1" if index in own else ",0" for index in range(1, len(plan.classes))))
    return "\n".join(lines) + "\n"


def _digest(path):
    total = hashlib.sha256()
    with open(str(path), "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            total.update(block)
    return total.hexdigest()

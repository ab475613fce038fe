"""A generated data set in VOC layout: scenes of creatures and flowers over natural textures, with tags and masks.

It is the embedded default of the quick start, so that everything runs without a download. Each class has a small
distinctive part and a large part that looks alike on all its members (`scene_objects.py`): a class activation map
finds the former, and the segmentation method has to complete it (papers, "Introduction").

Every image is drawn from its own random stream, made of the seed and the image's id: the files do not depend on the
number of workers, nor on the number of images, and are identical to the byte for the same versions of the libraries
on the same kind of processor.
"""
import dataclasses
import io
import logging
import zlib
from pathlib import Path
from typing import Tuple

import cv2
import joblib
import numpy as np
import PIL
from PIL import Image

from cian.base.files import UNFINISHED, read_json, remove_unfinished, write_bytes, write_json, write_text
from cian.base.locks import LOCK, locked
from cian.base.parallel import processors
from cian.data.images import IGNORE, write_label
from cian.scenes.backgrounds import BACKGROUNDS, clutter, overlap, place
from cian.scenes.objects import KINDS, draw_object

log = logging.getLogger(__name__)
CLASSES = ("background",) + tuple(KINDS)
DRAWING = 4  # raise it when the drawing changes: old folders then no longer count as the same data set

_FINISHED, _UNFINISHED = "scenes.json", "scenes-unfinished.json"
_SUPERSAMPLING = 2  # scenes are drawn this many times larger, then averaged down
_ASPECTS = ((1, 1), (1, 1), (0.9, 1), (0.8, 1), (1, 0.9), (1, 0.8))  # height, width as shares of the size
_NUMBERS = (0.30, 0.40, 0.20, 0.10)  # probability of 1, 2, 3, 4 objects
_AREAS = ((0.12, 0.32), (0.09, 0.21), (0.07, 0.15), (0.06, 0.11))  # share of the image, by the number of objects
_VISIBLE, _PART_VISIBLE, _SMALLEST = 0.6, 0.7, 0.025  # what must be seen: shares of object, of part, of the image
_CERTAIN = 0.85  # a pixel covered less than this by any one object or the background is uncertain


def generate(root, train=400, val=100, size=160, seed=0, workers=None, progress=None):
    """Write a data set of `train` + `val` scenes to folder `root`, in VOC layout; done already, it returns at once.

    size: longer side of the images in pixels; workers: processes (None: as many as this process may use).
    progress: called with the number of images finished since its last call (such as the `update` of a tqdm bar).
    Writes JPEGImages, Annotations, SegmentationClassAug, ImageSets/Segmentation/{train_aug,val}.txt, classes.txt, and
    at the very end scenes.json; a generation that was interrupted goes on with the images that are missing. Where another
    process makes the same data set, it waits for that one.
    Raises ValueError for impossible arguments, and where `root` holds anything but this data set with these settings.
    """
    for argument, value, least in (("train", train, 1), ("val", val, 0), ("size", size, 64), ("seed", seed, 0),
                                   ("workers", 1 if workers is None else workers, 1)):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{argument}: expected a whole number of at least {least}, found {value!r}")
    root, progress = Path(root), progress or (lambda count: None)
    settings = {"train": train, "val": val, "size": size, "seed": seed, "drawing": DRAWING}
    if not _is_finished(root, settings):
        with locked(root, lambda: log.info("%s: another process makes these scenes; waiting for it", root)):
            if not _is_finished(root, settings):  # by that other process
                _write_missing(root, settings, workers or processors(), progress)
                return
    progress(train + val)


def _write_missing(root, settings, workers, progress):
    """Write the scenes that `root` lacks, the lists, and the record that it is finished."""
    write_json(root / _UNFINISHED, {"settings": settings})
    lists = {"train_aug": [f"train_{k:05d}" for k in range(settings["train"])],
             "val": [f"val_{k:05d}" for k in range(settings["val"])]}
    names = [name for ids in lists.values() for name in ids]
    for folder in ("", "JPEGImages", "Annotations", "SegmentationClassAug", "ImageSets/Segmentation"):
        remove_unfinished(root / folder)  # of a generation that was killed
    missing = [name for name in names if not _mask_path(root, name).is_file()]  # the mask is the last file of an image
    if len(missing) < len(names):
        progress(len(names) - len(missing))
    jobs = [(root, missing[k:k + 10], settings["size"], settings["seed"]) for k in range(0, len(missing), 10)]
    if workers == 1:
        counts = (_write_scenes(*job) for job in jobs)
    else:
        run = joblib.Parallel(n_jobs=workers, backend="loky", return_as="generator_unordered")
        counts = run(joblib.delayed(_write_scenes)(*job) for job in jobs)
    for count in counts:
        progress(count)
    for name, ids in lists.items():
        write_text(root / "ImageSets" / "Segmentation" / (name + ".txt"), "".join(f"{i}\n" for i in ids))
    write_text(root / "classes.txt", "".join(f"{name}\n" for name in CLASSES))
    versions = {"numpy": np.__version__, "opencv": cv2.__version__, "pillow": PIL.__version__}
    write_json(root / _FINISHED, {"settings": settings, "versions": versions})
    (root / _UNFINISHED).unlink()


def _is_finished(root, settings):
    """Whether `root` holds the data set of these settings; False if empty or unfinished, ValueError if foreign."""
    if root.exists() and not root.is_dir():
        raise ValueError(f"{root}: expected a folder, found a file")
    ours = (LOCK, UNFINISHED)
    if not root.exists() or all(path.name.startswith(ours) for path in root.iterdir()):
        return False  # nothing there but what an interrupted first write leaves
    for name in (_FINISHED, _UNFINISHED):
        if (root / name).is_file():
            record = read_json(root / name)
            found = record.get("settings") if isinstance(record, dict) else record
            if found != settings:
                raise ValueError(f"{root / name}: holds scenes made with {found}, expected {settings}; "
                                 "delete the folder or choose another one")
            return name == _FINISHED
    raise ValueError(f"{root}: expected a new or empty folder or a data set of scenes, found something else "
                     f"(no {_FINISHED})")


def _mask_path(root, name):
    return root / "SegmentationClassAug" / (name + ".png")


def _write_scenes(root, names, size, seed):
    """Draw scenes and write the files of each, the mask last; returns how many. Runs in a worker process."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)  # the processes are the parallel part
    try:
        for name in names:
            scene = draw_scene(name, size, seed)
            jpeg = io.BytesIO()
            Image.fromarray(scene.image).save(jpeg, format="JPEG", quality=95)
            write_bytes(root / "JPEGImages" / (name + ".jpg"), jpeg.getvalue())
            write_text(root / "Annotations" / (name + ".xml"), _annotation(name, scene))
            write_label(_mask_path(root, name), scene.label)
    finally:
        cv2.setNumThreads(threads)
    return len(names)


def _annotation(name, scene):
    """The text of a VOC annotation file."""
    height, width = scene.label.shape
    lines = ["<annotation>", "\t<folder>scenes</folder>", f"\t<filename>{name}.jpg</filename>",
             f"\t<size><width>{width}</width><height>{height}</height><depth>3</depth></size>",
             "\t<segmented>1</segmented>"]
    for kind, (xmin, ymin, xmax, ymax) in scene.objects:
        lines += ["\t<object>", f"\t\t<name>{kind}</name>", "\t\t<difficult>0</difficult>",
                  f"\t\t<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox>",
                  "\t</object>"]
    return "\n".join(lines + ["</annotation>"]) + "\n"


@dataclasses.dataclass(frozen=True)
class Scene:
    """image uint8 (H, W, 3) RGB; label uint8 (H, W) class indices with 255 at borders; part bool (H, W), the pixels of
    distinctive parts; objects: a (class name, (xmin, ymin, xmax, ymax)) each, pixels counted from 1 as in VOC."""

    image: np.ndarray
    label: np.ndarray
    part: np.ndarray
    objects: Tuple[Tuple[str, Tuple[int, int, int, int]], ...]


def draw_scene(name, size=160, seed=0):
    """Draw the scene with id `name` ("train_00012": its number decides the first object's class), longer side `size`.

    What `generate` writes can so be drawn again, for instance to know where the distinctive parts are.
    """
    rng = np.random.default_rng([seed, size, zlib.crc32(name.encode("ascii"))])
    aspect = _ASPECTS[int(rng.integers(len(_ASPECTS)))]
    height, width = (int(round(size * share)) for share in aspect)
    shape = (height * _SUPERSAMPLING, width * _SUPERSAMPLING)
    unit = min(shape) / 100
    canvas = list(BACKGROUNDS.values())[int(rng.integers(len(BACKGROUNDS)))](rng, shape)
    for _ in range(int(rng.integers(2, 7))):
        place(canvas, clutter(rng, unit), rng.random(2) * shape[::-1])

    owner = np.zeros(shape, np.uint8)  # 0 background, k the k-th object
    part = np.zeros(shape, bool)
    full = []  # area of each object and of its part, nothing hidden
    kinds = _choose_kinds(rng, int(name.rsplit("_", 1)[1]))
    low, high = _AREAS[len(kinds) - 1]
    placed = []
    for kind in kinds:
        sketch = draw_object(kind, rng.uniform(low, high) * shape[0] * shape[1], rng)
        if _try_places(canvas, owner, part, sketch, full, rng, len(placed) + 1, 0.38):
            placed.append(kind)
    for _ in range(int(rng.integers(0, 3))):  # clutter in front of the objects
        _try_places(canvas, owner, part, clutter(rng, 0.7 * unit), full, rng, 0, 0.6)

    image = canvas * rng.uniform(0.88, 1.08) * rng.uniform(0.96, 1.04, 3).astype(np.float32)
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    image = image + rng.normal(0, 0.012, image.shape).astype(np.float32)
    image = np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
    coverage = np.stack([cv2.resize((owner == k).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
                         for k in range(len(placed) + 1)])  # (1 + objects, H, W)
    winner = coverage.argmax(axis=0)
    uncertain = coverage.max(axis=0) < _CERTAIN
    uncertain[:-1] |= winner[:-1] != winner[1:]  # where a border runs just between two pixels, one of them is uncertain
    uncertain[:, :-1] |= winner[:, :-1] != winner[:, 1:]
    classes = np.array([0] + [CLASSES.index(kind) for kind in placed], np.uint8)
    label = np.where(uncertain, IGNORE, classes[winner]).astype(np.uint8)
    part = cv2.resize(part.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) >= 0.5
    return Scene(image, label, part, tuple((kind, _box(coverage[k + 1] >= 0.5)) for k, kind in enumerate(placed)))


def _choose_kinds(rng, number):
    """Names of the 1 to 4 objects of a scene: the first by the scene's number, so that classes are equally frequent."""
    count = 1 + int(rng.choice(len(_NUMBERS), p=_NUMBERS))
    names = list(KINDS)
    first = names[number % len(names)]
    others = [str(name) for name in rng.permutation([name for name in names if name != first])]
    pool = [first] + others[:int(rng.choice(3, p=(0.35, 0.5, 0.15)))]  # one to three classes
    return [first] + [pool[int(rng.integers(len(pool)))] if k >= len(pool) else pool[k] for k in range(1, count)]


def _try_places(canvas, owner, part, sketch, full, rng, number, spread):
    """Find a place for a sketch where it and everything under it stay visible enough, and draw it there.

    number: its value in `owner`; 0 is clutter. full: areas of the objects so far; an object appends its own.
    spread: largest distance of its centre from the picture's, as a share of the sides. Returns whether it was drawn.
    """
    height, width = owner.shape
    solid, distinct = sketch.alpha > 0.5, (sketch.part > 0.5) & (sketch.alpha > 0.5)
    areas = full + ([(solid.sum(), distinct.sum())] if number else [])
    for _ in range(40):
        centre = (0.5 + rng.uniform(-spread, spread, 2)) * (width, height)
        ours, theirs = overlap(owner.shape, sketch.side, centre)
        trial, trial_part = owner.copy(), part.copy()
        trial[ours][solid[theirs]] = number
        trial_part[ours][solid[theirs]] = distinct[theirs][solid[theirs]]
        seen = np.bincount(trial.ravel(), minlength=len(areas) + 1)
        seen_part = np.bincount(trial[trial_part], minlength=len(areas) + 1)
        if all(seen[k] >= max(_VISIBLE * whole, _SMALLEST * trial.size) and seen_part[k] >= _PART_VISIBLE * whole_part
               for k, (whole, whole_part) in enumerate(areas, 1)):
            place(canvas, sketch, centre)
            owner[:], part[:] = trial, trial_part
            full[:] = areas
            return True
    return False


def _box(mask):
    """VOC box (xmin, ymin, xmax, ymax) of a boolean mask: first and last column and row, counted from 1."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]) + 1, int(rows[0]) + 1, int(columns[-1]) + 1, int(rows[-1]) + 1

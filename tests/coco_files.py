"""A small data set in COCO's own format, made from generated scenes: 80 categories, polygons, run-length codes and crowds."""

import functools
import json

import cv2
import numpy as np
from PIL import Image
from pycocotools import mask as rle_tools

from cian.scenes.generate import CLASSES, draw_scene
from cian.scenes.objects import KINDS

SIZE = 72
# 80 categories with gaps in their ids as COCO has them (12, 26, ... are missing), and names with a space
NUMBERS = [number for number in range(1, 91) if number not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
INDICES = dict(zip(KINDS, (2, 13, 30, 47, 79, 80)))  # class index of each kind of creature
NAMES = ["background"] + [f"other thing {index}" for index in range(1, 81)]
for _kind, _index in INDICES.items():
    NAMES[_index] = _kind


@functools.lru_cache(maxsize=None)
def scene(number):
    return draw_scene(f"train_{number:05d}", SIZE)


def regions(label):
    """(class index, bool (H, W)) of each connected part of a scene's label; grown by a pixel, so that neighbours overlap."""
    found = []
    for kind in range(1, len(CLASSES)):
        count, parts = cv2.connectedComponents((label == kind).astype(np.uint8), connectivity=4)
        for part in range(1, count):
            grown = cv2.dilate((parts == part).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            found.append((INDICES[CLASSES[kind]], grown))
    return found


def runs_of(mask):
    """Uncompressed run lengths, columns first, beginning with those of 0."""
    flat = np.concatenate([[0], mask.ravel(order="F").astype(np.int8), [0]])
    ends = np.flatnonzero(np.diff(flat))
    runs = np.diff(np.concatenate([[0], ends, [mask.size]])).tolist()
    return runs[:-1] if runs[-1] == 0 and len(runs) > 1 else runs


def rectangles_of(mask):
    """Polygons that cover exactly these pixels: a rectangle for each run of a row."""
    polygons = []
    for y, row in enumerate(mask):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], row.astype(np.int8), [0]])))
        polygons += [[int(a), y, int(b), y, int(b), y + 1, int(a), y + 1] for a, b in edges.reshape(-1, 2)]
    return polygons


def compressed(mask):
    code = rle_tools.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"counts": code["counts"].decode("ascii"), "size": list(mask.shape)}


OUTLINES = {
    "polygons": rectangles_of,
    "runs": lambda mask: {"counts": runs_of(mask), "size": list(mask.shape)},
    "compressed": compressed,
}


def annotate(numbers, first=1):
    """(images, annotations, {file name: [(class index, bool (H, W), crowd), ...]}) of scenes; kinds of outline in turn.

    The last scene gets no annotation; of every third scene the first region is a crowd.
    """
    images, annotations, truth = [], [], {}
    for position, number in enumerate(numbers):
        label = scene(number).label
        name, key = f"COCO_part_{number:012d}.jpg", 1000 + number
        images.append({"id": key, "file_name": name, "height": label.shape[0], "width": label.shape[1], "license": 1})
        found = regions(label) if position < len(numbers) - 1 else []
        truth[name] = []
        for order, (index, mask) in enumerate(found):
            crowd = position % 3 == 1 and order == 0
            kind = "runs" if crowd else list(OUTLINES)[len(annotations) % 3]
            annotations.append({"id": first + len(annotations), "image_id": key, "category_id": NUMBERS[index - 1],
                                "iscrowd": int(crowd), "area": float(mask.sum()), "bbox": [0, 0, 1, 1],
                                "segmentation": OUTLINES[kind](mask)})  # fmt: skip
            truth[name].append((index, mask, crowd))
    return images, annotations, truth


def write_instances(path, images, annotations, names=tuple(NAMES)):
    categories = [{"id": number, "name": name, "supercategory": "x"} for number, name in zip(NUMBERS, names[1:])]
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories[::-1]}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_coco(folder, train=8, val=5):
    """Images and annotation files as COCO's archives lay them out; {split: truth as of `annotate`}.

    The first image to train is grey and the second CMYK, as a few of COCO are.
    """
    truth, numbers = {}, iter(range(train + val))
    for split, count in (("train", train), ("val", val)):
        images, annotations, truth[split] = annotate([next(numbers) for _ in range(count)])
        write_instances(folder / "annotations" / f"instances_{split}2014.json", images, annotations)
        (folder / f"{split}2014").mkdir(parents=True)
        for position, image in enumerate(images):
            picture = Image.fromarray(scene(image["id"] - 1000).image)
            if split == "train" and position < 2:
                picture = picture.convert(("L", "CMYK")[position])
            picture.save(str(folder / f"{split}2014" / image["file_name"]), quality=95)
    return truth

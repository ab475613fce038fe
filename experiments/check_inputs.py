"""What can be known before the hours, checked before them: lists, tags, images, masks, class names, weights, devices, space.

quickstart.sh and seeds.sh run this as a program, which prints shell variables about what cannot be measured; the table scripts
call `check`. Data that were found sound and have not changed since are not decoded again.
"""

import argparse
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cian.base.cli import chosen_devices, run_tool
from cian.base.files import check_space, read_json, write_json
from cian.base.parallel import map_parallel
from cian.base.progress import Progress
from cian.base.runs import tags_digest
from cian.config import PRESETS, WEIGHTS
from cian.data.check import check_dataset
from cian.data.voc import open_dataset
from cian.seeds.saliency import check_largest, check_map, find_maps

log = logging.getLogger(__name__)
RECORD = "checked.json"
FAULTS_SHOWN = 5
IMAGE_BYTES = 300_000  # of class activation, saliency, seeds and masks of an image of VOC
COPIES = 13  # of a network's parameters in a run folder: checkpoints, optimizer, and what is written beside


@dataclass(frozen=True)
class Found:
    """What there is besides what is needed: masks of every image of the lists, tags of the validation list."""

    train_masks: bool
    val_masks: bool
    val_tags: bool


def check(data, train, val, tags=None, classes=None, maps=None, devices=None, record=None):
    """The Found of a data set; ValueError or FileNotFoundError say what stages over it would stumble on.

    train, val: lists; tags: their source, None for the data set's own; classes: names of the mean, or None; maps: folder of
    saliency maps, or None; devices: as --devices; record: folder in which checked.json remembers sound data.
    """
    chosen_devices(devices)
    dataset = open_dataset(data)
    unknown = [name for name in classes or () if name not in dataset.classes]
    if unknown:
        raise ValueError(f"--classes: no class named {', '.join(unknown)}; there are {', '.join(dataset.classes)}")
    lists = {"train": dataset.read_ids(train), "val": dataset.read_ids(val)}
    known = {"train": dataset.read_tags(lists["train"], tags)}
    try:
        known["val"] = dataset.read_tags(lists["val"], tags)
    except (FileNotFoundError, ValueError) as error:
        log.warning("not measured: the classifier on %s, whose images lack tags (%s)", val, error)
    masks = {}
    for name, ids in lists.items():
        missing = [image_id for image_id in ids if not dataset.mask_path(image_id).is_file()]
        masks[name] = not missing
        if missing and name == "val" and len(missing) < len(ids):
            path = dataset.mask_path(missing[0])
            raise FileNotFoundError(f"{path}: no such mask; {len(missing)} of {len(ids)} images of {val} lack one")
        if missing:
            what = {"train": f"the seeds of {train}", "val": f"the predictions of {val}"}[name]
            log.warning("not measured: %s, as %d of %d images lack masks", what, len(missing), len(ids))
    state = {name: [dataset.fingerprint(ids), tags_digest(known[name], ids) if name in known else None, masks[name]]
             for name, ids in lists.items()}  # fmt: skip
    path = record and Path(record) / RECORD
    if path and path.is_file() and read_json(path) == state:
        log.info("data: %s, unchanged since they were checked", data)
    else:
        for name, ids in lists.items():
            decode(dataset, {"train": train, "val": val}[name], ids, tags if name in known else False, masks[name])
        if path:
            write_json(path, state)
    if maps:
        ids = list(dict.fromkeys(lists["train"] + lists["val"]))
        found = find_maps(maps, ids)
        check_largest(maps, list(map_parallel(check_map, [(found[i], dataset.image_path(i)) for i in ids])))
    return Found(masks["train"], masks["val"], "val" in known)


def decode(dataset, name, ids, tags, masks):
    """ValueError that shows the first faults of a list's images and masks, see data.check."""
    with Progress(len(ids), f"check {name}", "image") as progress:
        faults, notes = check_dataset(dataset, ids, tags, True if masks else None, None, progress.update)
    if faults:
        shown = "\n  ".join(faults[:FAULTS_SHOWN])
        raise ValueError(f"{len(faults)} faults in {len(ids)} images of {name}; the first:\n  {shown}")
    if 2 * len(notes) > len(ids):
        log.warning("%s: %d of %d masks show other classes than the tags, such as %s", name, len(notes), len(ids), notes[0])


def check_weights(starts, preset):
    """Bytes of each network's parameters; starts: (backbone, init) each. ValueError where weights do not fit their backbone.

    What has to be downloaded is downloaded now. An `init` that another stage will write is none of these.
    """
    from cian.models.fit import fit, shapes_of  # here, because it prepares MXNet
    from cian.models.weight_cache import choose
    from cian.models.weight_file import read_weights

    sizes = []
    for backbone, init in starts:
        shapes = shapes_of(backbone)
        sizes.append(sum(4 * int(np.prod(shape)) for shape in shapes.values()))
        chosen = choose(init, backbone, WEIGHTS[preset])
        if chosen.path is None:
            continue
        found = fit(read_weights(chosen.path), backbone)
        if not found.whole:
            parts = {"missing": found.missing, "unknown": found.unknown, "misshapen": found.misshapen}
            wrong = "; ".join(f"{len(names)} {part}, such as {names[0]}" for part, names in parts.items() if names)
            raise ValueError(f"--init {init}: not weights of {backbone}: {wrong}; see `cian weights check`")
    return sizes


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, required=True)
    for name in ("data", "list", "val-list", "output"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("tags", "classes", "saliency-maps", "devices"):
        parser.add_argument(f"--{name}", default=None)
    parser.add_argument("--start", action="append", default=[], help="BACKBONE=WEIGHTS of a training")
    parser.add_argument("--needs", choices=("train_masks", "val_masks"), action="append", default=[], help="what must be there")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    starts = [tuple(start.split("=", 1)) for start in args.start]
    classes = args.classes.split(",") if args.classes else None
    sizes = check_weights(starts, args.preset)
    dataset = open_dataset(args.data)
    images = len(dataset.read_ids(args.list)) + len(dataset.read_ids(args.val_list))
    check_space(args.output, COPIES * sum(sizes) + IMAGE_BYTES * images, f"{len(starts)} networks and maps of {images} images")
    found = check(args.data, args.list, args.val_list, args.tags, classes, args.saliency_maps, args.devices, args.output)
    lacking = [name for name in args.needs if not getattr(found, name)]
    if lacking:
        raise FileNotFoundError(f"{dataset.mask_folder}: no masks of every image, which are needed here ({', '.join(lacking)})")
    for name in ("train_masks", "val_masks", "val_tags"):
        print(f"{name}={'yes' if getattr(found, name) else 'no'}")


if __name__ == "__main__":
    sys.exit(run_tool(main, sys.argv[1:], "check"))

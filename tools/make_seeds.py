"""Seeds of a list of images: class activation maps of a trained classifier, saliency, and the labels both agree on.

Writes OUTPUT/cam/ID.npz, OUTPUT/saliency/ID.png (grey) and OUTPUT/seeds/ID.png (class indices, 255 unassigned). What is there
already is kept, so an interrupted run goes on; the seeds themselves are made anew from the maps each time.
"""

import argparse
import functools
import hashlib
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from cian import saliency
from cian.activation import activation_maps
from cian.cli import add_preset, chosen_devices, claim_output, run_tool
from cian.config import Seeding, add_arguments, from_arguments
from cian.data.images import read_image, write_label
from cian.data.voc import open_dataset
from cian.files import replacing
from cian.models.cam import CAM
from cian.models.checkpoint import load_parameters, read_params
from cian.parallel import map_parallel
from cian.runs import settings_record
from cian.seeds import load_cam, make_seed, resize_maps, save_cam


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True, help="parameters of a classifier made by train_cam.py")
    parser.add_argument("--backbone", default="vgg16", help="backbone of the checkpoint (default: vgg16)")
    parser.add_argument("--data", required=True, help="data set in VOC layout")
    parser.add_argument("--list", default="train_aug", help="list of ids (default: train_aug)")
    parser.add_argument("--tags", default=None, help="image tags: cls_labels.npy or a CSV (default: Annotations/*.xml)")
    parser.add_argument(
        "--saliency-maps", default=None, help="folder of grey maps ID.png to use instead of an embedded method"
    )
    parser.add_argument("--output", required=True, help="folder of the maps and seeds")
    parser.add_argument("--devices", default=None, help="cpu or gpu0 (default: a GPU if there is one)")
    parser.add_argument(
        "--workers", type=int, default=None, help="processes for saliency and seeds (default: all processors)"
    )
    add_preset(parser)
    add_arguments(parser, Seeding)
    return parser.parse_args(argv)


def load_classifier(path, backbone, classes, device):
    """The classifier of a checkpoint; ValueError if it was trained for another number of classes."""
    net = CAM(backbone, classes)
    net.initialize(ctx=device)
    load_parameters(net, read_params(path), str(path))
    net.hybridize()
    return net


def write_saliency(dataset, folder, method, image_id):
    """Write the saliency of one image as grey PNG, 0..255."""
    values = saliency.saliency(read_image(dataset.image_path(image_id)), method)
    with replacing(folder / f"{image_id}.png") as temporary:
        Image.fromarray(np.rint(255 * values).astype(np.uint8)).save(str(temporary), format="PNG")


def write_seed(dataset, output, cam_threshold, saliency_threshold, item):
    """Write the seed of one image, item = (id, path of its saliency map), from its CAM and saliency files."""
    image_id, map_path = item
    size = read_image(dataset.image_path(image_id)).shape[:2]
    class_ids, cams = load_cam(output / "cam" / f"{image_id}.npz")
    salient = saliency.read_saliency(map_path, size)
    write_label(
        output / "seeds" / f"{image_id}.png",
        make_seed(resize_maps(cams, size), class_ids, salient, cam_threshold, saliency_threshold),
    )


def main(argv=None):
    args = parse_args(argv)
    settings = from_arguments(args, Seeding)
    method = settings.saliency or saliency.DEFAULT
    if method not in saliency.METHODS:
        raise ValueError(f"saliency: {method!r}, expected one of {', '.join(saliency.METHODS)}")
    threshold = settings.saliency_threshold if settings.saliency_threshold >= 0 else saliency.METHODS[method].background
    dataset = open_dataset(args.data)
    ids = dataset.read_ids(args.list)
    tags = dataset.read_tags(ids, args.tags)
    output = Path(args.output)
    own = {"cam_scales": settings_record(settings)["cam_scales"], "saliency": args.saliency_maps or method}
    claim_output(
        output,
        "seeds.json",
        {"checkpoint": hashlib.sha256(Path(args.checkpoint).read_bytes()).hexdigest(), "made_with": own},
    )

    todo = [i for i in ids if not (output / "cam" / f"{i}.npz").exists()]
    if todo:
        device = chosen_devices(args.devices)[0]
        net = load_classifier(args.checkpoint, args.backbone, len(dataset.classes) - 1, device)
        for image_id in tqdm(todo, desc="activation maps", unit="image"):
            maps, _ = activation_maps(
                net, read_image(dataset.image_path(image_id)), tags[image_id], settings.cam_scales, device=device
            )
            save_cam(output / "cam" / f"{image_id}.npz", np.array(tags[image_id]), maps)

    if args.saliency_maps:
        maps = saliency.find_maps(args.saliency_maps, ids)
    else:
        maps = {i: output / "saliency" / f"{i}.png" for i in ids}
        todo = [i for i in ids if not maps[i].exists()]
        run_all(functools.partial(write_saliency, dataset, output / "saliency", method), todo, "saliency", args.workers)
    make = functools.partial(write_seed, dataset, output, settings.cam_threshold, threshold)
    run_all(make, [(i, maps[i]) for i in ids], "seeds", args.workers)
    print(output / "seeds")


def run_all(function, items, what, workers):
    """function(item) for all items in worker processes, with a progress bar."""
    with tqdm(total=len(items), desc=what, unit="image") as bar:
        for _ in map_parallel(function, items, workers, bar.update):
            pass


if __name__ == "__main__":
    run_tool(main)

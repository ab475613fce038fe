"""Masks from class activation maps: by a threshold (none), with a dense CRF (crf), or by IRN's random walk (walk, walk+crf).

Writes OUTPUT/ID.png (class indices), which `cian train` takes as --labels and `cian evaluate` as --predictions, and
OUTPUT/refine.json, which says how they were made. Masks that are there already are kept, so an interrupted run goes on.
"""

import contextlib
import functools
from pathlib import Path

import numpy as np

from cian.base.claims import fill
from cian.base.cli import add_preset, chosen_devices
from cian.base.origin import origin_of
from cian.base.outputs import claim_output
from cian.base.parallel import stream_parallel
from cian.base.parser import Parser
from cian.base.places import add_places, crf_workers, places, take_shard
from cian.base.progress import Progress
from cian.base.runs import file_digest, folder_digest, settings_record
from cian.base.workers import Workers
from cian.config import Refinement, add_arguments, from_arguments
from cian.config.arguments import positive
from cian.data.cams import cam_path, load_cam
from cian.data.images import read_image, read_label
from cian.data.voc import open_dataset
from cian.figures.refinement import refinement_sheet
from cian.figures.sheet import write_png
from cian.inference.boundary import boundary_map, boundary_worker, load_boundary_network
from cian.inference.refinement import USED, needs_boundary, write_refined

EXAMPLE = (
    """cian refine --cams runs/seeds/cam --data VOC2012 --checkpoint runs/irn/irn_resnet50v1b-0002.params --output runs/masks"""
)


def make_parser():
    parser = Parser("cian refine", __doc__, EXAMPLE)
    parser.add_argument("--cams", required=True, metavar="DIR", help="class activation maps (CAM): ID.npz of `cian "
                        "make_seeds`, or ID.npy as IRN and WeakTr write them")  # fmt: skip
    parser.add_argument("--data", required=True, metavar="ROOT", help="data set in VOC layout")
    parser.add_argument("--list", default="train_aug", help="list of ids: a name, or a text file (default: train_aug)")
    parser.add_argument("--refine", choices=USED, default="walk", help="how the masks are made (default: walk)")
    parser.add_argument("--checkpoint", metavar="FILE", help="boundary network of `cian train_irn`, for the walk")
    parser.add_argument("--backbone", default=None, help="its backbone (default: as its run folder says)")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the masks")
    parser.add_argument("--pictures", type=int, default=0, metavar="N", help="also write OUTPUT/pictures/sheet.png of N images")
    add_places(parser)
    parser.add_argument(
        "--workers",
        type=positive,
        default=None,
        help="processes for walk and CRF (default: all processors; on a CPU those of --processes do it)",
    )
    add_preset(parser, of_run=True)
    add_arguments(parser, Refinement)
    return parser


def parse_args(argv):
    parser = make_parser()
    args = parser.parse_args(argv)
    if needs_boundary(args.refine) != bool(args.checkpoint):
        parser.error("--checkpoint goes with --refine walk and walk+crf, which need it")
    if args.pictures < 0:
        parser.error("--pictures: expected 0 or more")
    return args


def write_sheet(args, settings, dataset, ids):
    """Write OUTPUT/pictures/sheet.png of --pictures images, at equal distances in the list."""
    output, entries, net = Path(args.output), [], None
    if args.checkpoint:
        device = chosen_devices(args.devices)[0]
        net = load_boundary_network(args.checkpoint, args.backbone, device)
    for image_id in [ids[at] for at in np.unique(np.linspace(0, len(ids) - 1, args.pictures).astype(int))]:
        class_ids, maps = load_cam(cam_path(args.cams, image_id))
        image, truth = read_image(dataset.image_path(image_id)), dataset.mask_path(image_id)
        truth = read_label(truth) if truth.is_file() else None
        mask, boundary = read_label(output / f"{image_id}.png"), None
        if net is not None:
            boundary = boundary_map(net, image, settings.boundary_size, settings.boundary_flip, device)
        entries.append((image_id, image, truth, class_ids, maps, boundary, mask))
    write_png(output / "pictures" / "sheet.png", refinement_sheet(entries, dataset.classes, settings.cam_threshold))


def main(argv=None):
    args = parse_args(argv)
    origin = origin_of(args.checkpoint)
    args.preset = origin.decide_preset(args.preset)
    settings = from_arguments(args, Refinement)
    dataset = open_dataset(args.data)
    origin.check_classes(dataset.classes, args.data)
    ids = dataset.read_ids(args.list)
    cams = folder_digest(args.cams, ids, cam_path(args.cams, ids[0]).suffix)
    record = {"refine": args.refine, "cams": cams, "classes": list(dataset.classes)}
    record["settings"] = {name: settings_record(settings)[name] for name in USED[args.refine]}
    if args.checkpoint:
        record["checkpoint"] = file_digest(args.checkpoint)
    output, ids = Path(args.output), take_shard(ids, args.shard)
    inputs = {i: {"image": dataset.image_digest(i)} for i in ids}

    def done(image_id):
        return (output / f"{image_id}.png").is_file()

    todo = [i for i in ids if not done(i)]
    work = functools.partial(write_refined, dataset, args.cams, output, args.refine, settings)
    with contextlib.ExitStack() as stack:
        if args.checkpoint and todo:
            where = places(args.devices, args.processes, len(todo))
            boundary = args.checkpoint, args.backbone, settings.boundary_size, settings.boundary_flip
            make = functools.partial(boundary_worker, boundary, dataset, work, crf_workers(args.workers, where))
            run = stack.enter_context(Workers(make, where)).run
        else:

            def run(names):
                return stream_parallel(work, ((i, None) for i in names), args.workers)

        claim_output(output, "refine.json", record, inputs, together=True)
        progress = stack.enter_context(Progress(len(ids), f"refine {args.refine}", "image", len(ids) - len(todo)))
        for _ in fill(output, todo, done, run):
            progress.update()
    if args.pictures:
        write_sheet(args, settings, dataset, ids)
    print(output)

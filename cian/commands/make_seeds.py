"""Seeds of a list of images: class activation maps of a trained classifier, saliency, and the labels both agree on.

Writes OUTPUT/cam/ID.npz, OUTPUT/saliency/ID.png (grey), OUTPUT/seeds/ID.png (class indices, 255 unassigned) and
OUTPUT/recipe.json, which says how the seeds were made and which are the ground truth (--substitute, Table 4). Maps that are
there already are kept, so an interrupted run goes on; the seeds are made anew each time, and those of another recipe removed.

Seeds from elsewhere need no such folder: `cian prepare_data check --data ROOT --list LIST --masks DIR` checks any folder of
index PNGs, and `cian train --labels DIR` trains on it.
"""

import functools
from pathlib import Path

from cian.base.claims import fill
from cian.base.cli import add_backbone, add_preset, chosen_backbone
from cian.base.files import check_space, read_json, read_record
from cian.base.origin import origin_of
from cian.base.outputs import check_inputs, claim_output
from cian.base.parallel import map_parallel, stream_parallel
from cian.base.parser import Parser
from cian.base.places import add_places, places, take_shard
from cian.base.progress import Progress
from cian.base.runs import file_digest, folder_digest, settings_record
from cian.base.workers import Workers
from cian.config import Classifier, Seeding, add_arguments, from_arguments, hide
from cian.config.arguments import positive
from cian.data.cam_exchange import cam_folder, is_foreign
from cian.data.cams import has_cam, write_exchange
from cian.data.check import check_images
from cian.data.voc import open_dataset
from cian.models.comnet import MATCHINGS
from cian.seeds import saliency
from cian.seeds.classifiers import SETTINGS as METHODS
from cian.seeds.classifiers import map_worker, network_record
from cian.seeds.recipe import make_recipe, remove_other_seeds
from cian.seeds.seeds import OVERLAPS, write_seed

EXAMPLE = """cian make_seeds --checkpoint runs/cam/cam_vgg16-0014.params --data VOC2012 --output runs/seeds"""

SEED_BYTES = 200_000  # of class activation, saliency and seed of an image of VOC


def make_parser():
    parser = Parser("cian make_seeds", __doc__, EXAMPLE)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint", metavar="FILE", help="parameters of a classifier made by `cian train_cam`")
    source.add_argument(
        "--maps",
        metavar="DIR",
        help="output folder of another run, whose maps are used, so that only the seeds are made; or of ID.npy, as IRN and "
        "WeakTr write them",
    )
    add_backbone(parser, Classifier)
    parser.add_argument(
        "--method",
        choices=sorted(METHODS),
        default=None,
        help="method of the checkpoint; that of comnet lies in its run folder, which describes it (default: as its run says; "
        "without a run cam)",
    )
    parser.add_argument("--data", required=True, metavar="ROOT", help="data set in VOC layout")
    parser.add_argument("--list", default="train_aug", help="list of ids: a name, or a text file (default: train_aug)")
    parser.add_argument("--tags", default=None, help="image tags: cls_labels.npy or a CSV (default: the data set's own)")
    parser.add_argument("--saliency-maps", default=None, help="folder of grey maps ID.png to use instead of an embedded method")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the maps and seeds")
    parser.add_argument("--npy", action="store_true", help="also write the maps as IRN does, to OUTPUT/npy/ID.npy")
    parser.add_argument(
        "--matching",
        choices=MATCHINGS,
        help="of comnet: matching at test, where it is not that of the training; only inter-matching can come or go",
    )
    parser.add_argument("--cams-only", action="store_true", help="stop after the class activation maps: no saliency, no seeds")
    parser.add_argument(
        "--overlap",
        choices=sorted(OVERLAPS),
        default="ignore",
        help="pixels that two classes claim: ignore leaves them unassigned, largest gives the larger CAM (default: ignore)",
    )
    parser.add_argument(
        "--substitute",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the images whose seed is their ground truth, 0.05 and 0.10 in Table 4; a smaller share is part of a "
        "larger one (default: 0)",
    )
    seed = parser.add_argument("--seed", "--substitute-seed", type=int, default=0, help="chooses these images (default: 0)")
    hide(seed, "--substitute-seed")
    add_places(parser)
    parser.add_argument("--workers", type=positive, default=None, help="processes of saliency and seeds (default: all)")
    add_preset(parser, of_run=True)
    add_arguments(parser, Seeding)
    return parser


def parse_args(argv):
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.cams_only and args.maps:
        parser.error("--cams-only and --maps leave nothing to do")
    if args.matching and args.maps:
        parser.error("--matching needs --checkpoint")
    return args


def find_saliency(args, dataset, output, ids):
    """{id: path of its saliency map}: where it will be, or that of a folder, whose maps are checked."""
    given = args.saliency_maps or (args.maps and not is_foreign(args.maps) and Path(args.maps) / "saliency")
    if not given:
        return {i: output / "saliency" / f"{i}.png" for i in ids}
    maps = saliency.find_maps(given, ids)
    items = [(maps[i], dataset.image_path(i)) for i in ids]
    largest = run_all(saliency.check_map, items, "checking saliency maps", args.workers)
    if args.saliency_maps:  # the embedded methods' may well be empty
        saliency.check_largest(given, largest)
    return maps


def main(argv=None):
    args = parse_args(argv)
    origin = origin_of(args.checkpoint)
    args.preset, args.method = origin.decide_preset(args.preset), origin.decide("method", args.method, "cam")
    if args.matching and args.method != "comnet":
        raise ValueError(f"--matching {args.matching}: the checkpoint is one of {args.method}, expected one of comnet")
    if args.checkpoint:
        args.backbone = chosen_backbone(origin, args, METHODS.get(args.method, Classifier))
    settings = from_arguments(args, Seeding)
    method = settings.saliency or (args.maps and recorded_saliency(args)) or saliency.DEFAULT
    if method not in saliency.METHODS:
        raise ValueError(f"saliency: {method!r}, expected one of {', '.join(saliency.METHODS)}")
    dataset = open_dataset(args.data)
    ids = dataset.read_ids(args.list)
    origin.check_classes(dataset.classes, args.data)
    tags = dataset.read_tags(ids, args.tags)
    check_images(dataset, ids)
    check_space(args.output, SEED_BYTES * len(ids), f"maps and seeds of {len(ids)} images")
    recipe = make_recipe(args, settings, method, ids)
    missing = [i for i in recipe["substituted"] if not dataset.mask_path(i).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{dataset.mask_path(missing[0])}: no such mask, needed by --substitute ({len(missing)} missing)"
        )
    ids, output = take_shard(ids, args.shard), Path(args.output)
    maps = find_saliency(args, dataset, output, ids)
    inputs = {i: {"image": dataset.image_digest(i), "tags": list(tags[i])} for i in ids}
    if args.maps:
        check_inputs(args.maps, inputs)
    tags = {i: tags[i] for i in ids}
    record = maps_record(args, settings, method, dataset, tags)
    claim_output(output, "seeds.json", record, inputs, remade=("tags",), together=True)
    if not args.maps:
        make_maps(args, settings, dataset, tags, output)
    if not (args.saliency_maps or args.cams_only) and (not args.maps or is_foreign(args.maps)):
        make_saliency(args, method, dataset, maps, output)
    cams = cam_folder(args.maps or output)
    if args.npy:
        run_all(functools.partial(write_exchange, dataset, cams, output / "npy"), ids, "npy", args.workers)
    if args.cams_only:
        print(output / "cam")
        return
    remove_other_seeds(output, recipe)
    substituted = set(recipe["substituted"])
    items = [(i, maps[i], i in substituted) for i in ids]
    run_all(functools.partial(write_seed, dataset, output, cams, recipe), items, "seeds", args.workers)
    print(output / "seeds")


def make_maps(args, settings, dataset, tags, output):
    """Write the class activation of the images that lack it."""

    def has_map(image_id):
        return has_cam(output / "cam" / f"{image_id}.npz", tags[image_id])

    todo = [i for i in tags if not has_map(i)]
    if todo:
        where = places(args.devices, args.processes, len(todo))
        network = args.checkpoint, args.method, args.backbone, len(dataset.classes) - 1
        make = functools.partial(map_worker, network, settings.cam_scales, output / "cam", matching=args.matching)
        with Workers(make, where) as workers:

            def run(names):
                return workers.run((i, dataset.image_path(i), tags[i]) for i in names)

            show(fill(output / "cam", todo, has_map, run), len(tags), len(todo), "activation maps")


def make_saliency(args, method, dataset, maps, output):
    """Write the saliency of the images that lack it; maps: {id: path of its file}."""
    todo = [i for i in maps if not maps[i].exists()]
    write = functools.partial(saliency.write_saliency, dataset, output / "saliency", method)

    def run(names):
        return stream_parallel(write, ((i,) for i in names), args.workers)

    show(fill(output / "saliency", todo, lambda i: maps[i].exists(), run), len(maps), len(todo), "saliency")


def maps_record(args, settings, method, dataset, tags):
    """What the maps were made of, for seeds.json; with --maps ValueError if they lack one or were made differently."""
    if args.maps and is_foreign(args.maps):
        own = {"cam_scales": None, "saliency": args.saliency_maps or method}
        return {"cams": folder_digest(args.maps, list(tags), ".npy"), "made_with": own, "classes": list(dataset.classes)}
    if not args.maps:
        own = {"cam_scales": settings_record(settings)["cam_scales"], "saliency": args.saliency_maps or method}
        network = network_record(args.checkpoint, args.method, args.backbone, args.matching)
        return {
            "checkpoint": file_digest(args.checkpoint),
            "made_with": own,
            "network": network,
            "classes": list(dataset.classes),
        }
    missing = [i for i in tags if not has_cam(Path(args.maps) / "cam" / f"{i}.npz", tags[i])]
    if missing:
        raise FileNotFoundError(
            f"{args.maps}/cam: no activation maps of {len(missing)} of {len(tags)} ids, such as {missing[0]}"
        )
    return read_json(Path(args.maps) / "seeds.json")


def recorded_saliency(args):
    """The method whose saliency maps --maps holds; None where they come from --saliency-maps, which is then needed again."""
    path = Path(args.maps) / "seeds.json"
    if is_foreign(args.maps):
        return None
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected --maps to be an output folder of make_seeds.py")
    made_with = read_record(path).get("made_with")
    if not isinstance(made_with, dict) or not isinstance(made_with.get("saliency"), str):
        raise ValueError(f"{path}: not the record of make_seeds.py (it does not say what the saliency is)")
    source = made_with["saliency"]
    if source not in saliency.METHODS and not args.saliency_maps:
        raise ValueError(f"{path}: the saliency of these --maps comes from {source}; give --saliency-maps as well")
    return source if source in saliency.METHODS else None


def show(finished, count, missing, what):
    """Show progress over what is finished of `count` images, of which `missing` were missing."""
    with Progress(count, what, "image", count - missing) as progress:
        for _ in finished:
            progress.update()


def run_all(function, items, what, workers):
    """List of function(item) for all items, computed in worker processes, showing progress."""
    with Progress(len(items), what, "image") as progress:
        return list(map_parallel(function, items, workers, progress.update))

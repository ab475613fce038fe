"""Predict masks of a list of a data set, or of pictures: multi-scale, mirrored, with and without dense CRF.

Writes OUTPUT/pred/ID.png and OUTPUT/pred_crf/ID.png. Interrupted, the same command goes on where it stopped. With
--submission it then packs the masks of the list, after the CRF unless that is left out, for the Pascal VOC test server.

Pictures of any kind and size (`cian predict photo.jpg --model EXPORT --output DIR`) are reduced to the size of the network;
their masks have their own size, and OUTPUT/overlay/NAME.png shows picture, mask and legend.
"""

import functools
from pathlib import Path

from cian.base.claims import fill
from cian.base.cli import add_backbone, add_preset, chosen_backbone, chosen_devices
from cian.base.files import check_space, read_record, write_json
from cian.base.origin import origin_of
from cian.base.outputs import claim_output
from cian.base.parser import Parser
from cian.base.places import add_places, crf_workers, places, take_shard
from cian.base.progress import Progress, tracked
from cian.base.runs import file_digest, settings_record
from cian.base.workers import Workers
from cian.config import LABEL_FITS, Inference, Segmentation, add_arguments, from_arguments, hide
from cian.config.arguments import positive
from cian.data.check import check_images
from cian.data.images import read_image, write_label
from cian.data.voc import open_dataset
from cian.export.exported import export_files
from cian.export.predictor import Predictor, enlarge_label
from cian.export.symbols import class_names, export_origin
from cian.figures.sheet import write_png
from cian.inference.crf import dense_crf
from cian.inference.segmenter import FITS, load_network, mask_worker
from cian.inference.submission import check_submission, pack_submission
from cian.models.checkpoint import read_params, saved_classes
from cian.models.multi_scale import MultiScale

EXAMPLE = """cian predict --checkpoint runs/round1/cian_resnet101-0019.params --data VOC2012 --list val --output runs/round1/val
cian predict photo.jpg --model exports/cian_resnet101 --output pictures"""

LABELS = "labels"  # a fit that the preset decides
MASK_BYTES = 40_000  # of the two masks of an image of VOC


def make_parser():
    parser = Parser("cian predict", __doc__, EXAMPLE)
    parser.add_argument("pictures", nargs="*", metavar="PICTURE", help="image files, instead of --data and --list")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--checkpoint", metavar="FILE", help="parameters of a CIAN network (.params)")
    what.add_argument("--model", metavar="EXPORT", help="export of `cian export`, for pictures; brings its own scales")
    add_backbone(parser, Segmentation)
    parser.add_argument("--data", metavar="ROOT", help="data set in VOC layout")
    parser.add_argument("--list", default="val", help="list of ids: a name, or a text file (default: val)")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder of the predictions")
    parser.add_argument(
        "--fit",
        choices=(*FITS, LABELS),
        default="pad",
        help="pad: published testing; warp: published pseudo labels, the image warped to the square; labels: as the preset "
        "makes pseudo labels (default: pad)",
    )
    parser.add_argument(
        "--filter-tags", action="store_true", help="only the image's own classes and background may be predicted"
    )
    parser.add_argument("--tags", help="image tags for --filter-tags: cls_labels.npy or a CSV (default: its own)")
    parser.add_argument(
        "--similarity", choices=("dot", "cosine"), help="affinity of the network (default: as its run says, else dot)"
    )
    add_places(parser)
    names = parser.add_argument(
        "--class-names",
        "--classes",
        metavar="NAMES",
        help="names of all classes for the legend of pictures, comma-separated or a file",
    )
    hide(names, "--classes")
    parser.add_argument("--submission", default=None, metavar="FILE.tgz", help="also write the test server's archive")
    parser.add_argument(
        "--workers",
        type=positive,
        default=None,
        help="processes for the CRF (default: all processors beside GPUs; on a CPU those of --processes do it)",
    )
    add_preset(parser, of_run=True)
    add_arguments(parser, Inference)
    return parser


def parse_args(argv):
    return make_parser().parse_args(argv)


def network_of(args, origin):
    """(checkpoint, backbone, similarity) of load_network, the number of classes, and the network's part of predict.json."""
    backbone = chosen_backbone(origin, args, Segmentation)
    similarity = origin.decide("similarity", args.similarity, "dot")
    arrays = read_params(args.checkpoint)
    affinity = any(name.startswith("conv_embed_") for name in arrays)
    record = {"backbone": backbone, "similarity": similarity if affinity else None}
    return (args.checkpoint, backbone, similarity), saved_classes(arrays, args.checkpoint), record


def picture_predictor(args, origin, settings, device):
    """(predictor of --model, or of --checkpoint with the scales and mirroring of the settings; its part of predict.json)."""
    if args.model:
        if args.scales is not None or args.flip is not None:
            raise ValueError("--scales and --flip: an export brings its own; they go with --checkpoint")
        symbol, parameters = export_files(args.model)
        predictor = Predictor(args.model, str(device).replace("(", "").rstrip(")"), settings.test_size)
        return predictor, {"checkpoint": file_digest(parameters), "symbol": file_digest(symbol), "classes": predictor.classes}
    arguments, count, network = network_of(args, origin)
    net, classes = load_network(*arguments, device), class_names("cian", count, args.class_names, origin)
    block = MultiScale(net, (settings.test_size, settings.test_size), settings.scales, settings.flip)
    block.hybridize()
    predictor = Predictor.of_network(block, classes, device, settings.test_size)
    return predictor, {"checkpoint": file_digest(args.checkpoint), "network": network, "classes": list(classes)}


def finished_pictures(output, names):
    """Digests {name: SHA-256} of the pictures whose masks are in the folder, and of those in `names` {name: path}.

    ValueError where the folder holds the mask of another picture of that name.
    """
    record = output / "pictures.json"
    done, wanted = read_record(record) if record.exists() else {}, {name: file_digest(path) for name, path in names.items()}
    for name, path in names.items():
        if done.get(name, wanted[name]) != wanted[name]:
            raise ValueError(f"{path}: {output} holds the mask of another picture {name} ({record.name}); use another --output")
    return done, wanted


def predict_pictures(args, origin, settings):
    """Write masks and overlays of image files; the CRF works on the reduced picture, its mask is enlarged."""
    for option in ("data", "submission", "filter_tags"):
        if getattr(args, option):
            raise ValueError(f"--{option.replace('_', '-')}: is for data sets, not for image files")
    names = {}
    for path in map(Path, args.pictures):
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such image file")
        if names.setdefault(path.stem, path) is not path:
            raise ValueError(f"{path}: would be written as {path.stem}.png, as {names[path.stem]}; use two --output folders")
    if args.processes not in (None, 1) or args.shard != (1, 1):
        raise ValueError("--processes and --shard: are for lists of a data set, not for image files")
    predictor, record = picture_predictor(args, origin, settings, chosen_devices(args.devices)[0])
    claim_output(args.output, "predict.json", {**record, "settings": settings_record(settings)})
    output, iterations = Path(args.output), settings.crf_iterations if predictor.output != "labels" else 0
    done, digests = finished_pictures(output, names)
    for name, path in tracked(names.items(), "predict", "picture"):
        if name in done:
            continue
        prediction = predictor(path)
        write_label(output / "pred" / f"{name}.png", prediction.label)
        small = None
        if iterations:
            small = dense_crf(prediction.picture, prediction.logits, iterations, settings.crf)
            write_label(output / "pred_crf" / f"{name}.png", enlarge_label(small, prediction.size))
        write_png(output / "overlay" / f"{name}.png", prediction.sheet(name, small))
        done[name] = digests[name]
        write_json(output / "pictures.json", done)


def predict_list(args, settings, dataset, ids, tags, network, record):
    """Write the masks of the ids that lack them, on all devices, beside other processes that fill the same folder.

    tags: {id: class indices} of a filter, or None; network: arguments of load_network; record: predict.json.
    """
    output = Path(args.output)
    own_tags = {} if tags is None else {i: {"tags": list(tags[i])} for i in ids}
    inputs = {i: {"image": dataset.image_digest(i), **own_tags.get(i, {})} for i in ids}

    def done(image_id):
        return (output / "pred" / f"{image_id}.png").exists()

    todo = [i for i in ids if not done(i)]
    if not todo:
        claim_output(output, "predict.json", record, inputs, together=True)
        return
    where = places(args.devices, args.processes, len(todo))
    view = settings.test_size if args.fit == "pad" else settings.warp_size, settings.scales, settings.flip, args.fit
    masks = output, settings.crf_iterations, settings.crf, crf_workers(args.workers, where)
    with Workers(functools.partial(mask_worker, network, view, masks), where) as workers, Progress(
        len(ids), f"predict {args.list}", "image", len(ids) - len(todo)
    ) as progress:
        claim_output(output, "predict.json", record, inputs, together=True)

        def run(names):
            return workers.run((i, dataset.image_path(i), None if tags is None else (0,) + tags[i]) for i in names)

        for _ in fill(output, todo, done, run):
            progress.update()


def main(argv=None):
    args = parse_args(argv)
    origin = export_origin(args.model) if args.model else origin_of(args.checkpoint)
    args.preset = origin.decide_preset(args.preset)
    settings = from_arguments(args, Inference)
    args.fit = LABEL_FITS[args.preset] if args.fit == LABELS else args.fit
    if args.pictures:
        predict_pictures(args, origin, settings)
        return
    if not args.data or args.model:
        raise ValueError("expected image files, or --data with --checkpoint; --model is for image files")
    dataset = open_dataset(args.data)
    ids = dataset.read_ids(args.list)
    if args.submission:
        if args.shard != (1, 1):
            raise ValueError("--submission: packs the whole list, expected no --shard; give it when all shards are there")
        check_submission(args.submission, dataset.classes)
    tags = dataset.read_tags(ids, args.tags) if args.filter_tags else None
    origin.check_classes(dataset.classes, args.data)
    arguments, classes, network = network_of(args, origin)
    if classes != len(dataset.classes):
        raise ValueError(
            f"{args.checkpoint}: a network of {classes} classes, {args.data} has {len(dataset.classes)} (see its classes.txt)"
        )
    check_images(dataset, ids)
    check_space(args.output, MASK_BYTES * len(ids), f"the masks of {len(ids)} images")
    record = {
        "checkpoint": file_digest(args.checkpoint),
        "network": network,
        "classes": list(dataset.classes),
        "fit": args.fit,
        "filter_tags": args.filter_tags,
        "settings": settings_record(settings),
    }
    predict_list(args, settings, dataset, take_shard(ids, args.shard), tags, arguments, record)
    if args.submission:
        masks = Path(args.output) / ("pred_crf" if settings.crf_iterations else "pred")
        with Progress(len(ids), f"pack {args.submission}", "mask") as progress:
            pack_submission(args.submission, masks, ids, lambda i: read_image(dataset.image_path(i)).shape[:2], progress.update)

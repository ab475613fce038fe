"""Train the image classifier whose class activation maps become the seeds.

--method cam is CIAN's; --method comnet is COMNet's, with its own settings (--method comnet --help shows them): IRN's classifier
with matchings between the images of a group and within each image, or, with --matching none, without.
"""

import argparse
import functools

import numpy as np

from cian.base.files import read_json, write_json
from cian.base.parser import Parser
from cian.base.places import places
from cian.base.progress import Progress
from cian.base.workers import Workers
from cian.config import from_arguments
from cian.data.check import check_images
from cian.data.loader import Examples
from cian.data.long_side import LongSideExamples
from cian.data.voc import open_dataset
from cian.evaluation.metrics import mean_average_precision
from cian.models.pretrained import load_pretrained
from cian.seeds.classifiers import SETTINGS, score_worker
from cian.training.objectives import ClassifierObjective, MatchingObjective, multi_hot
from cian.training.tool import Training, add_training_options

EXAMPLE = """cian train_cam --data VOC2012 --init imgclsmob:vgg16 --val-list val --output runs/cam
cian train_cam --method comnet --data VOC2012 --init imgclsmob:resnet50b --output runs/comnet"""


def make_parser(method="cam"):
    """The settings that are options depend on the method."""
    parser = Parser("cian train_cam", __doc__, EXAMPLE)
    add_training_options(parser, SETTINGS.get(method, SETTINGS["cam"]))
    parser.add_argument("--method", choices=sorted(SETTINGS), default="cam", help="which classifier (default: cam)")
    parser.add_argument("--val-list", metavar="LIST", help="list to measure the mean average precision on after training")
    return parser


def parse_args(argv):
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--method", default="cam")
    return make_parser(early.parse_known_args(argv)[0].method).parse_args(argv)


def measure(network, devices, dataset, ids, tags, flip=False):
    """Average precision of every class, and their mean, of whole images at their own size, on all devices of the training.

    network: see cian.seeds.classifiers.score_worker; devices: --devices; flip: with their mirrors.
    """
    where, scores = places(devices, None, len(ids)), {}
    make = functools.partial(score_worker, network, flip)
    with Workers(make, where) as workers, Progress(len(ids), "measure", "image") as progress:
        for image_id, values in workers.run((i, dataset.image_path(i)) for i in ids):
            scores[image_id] = values
            progress.update()
    return mean_average_precision(np.stack([scores[i] for i in ids]), multi_hot(ids, tags, len(dataset.classes))[:, 1:])


def group_size(method, settings):
    """Images in a group of the training: those that are matched or share a class, else one."""
    return settings.images_together if method == "comnet" else 1


def prepare_cam(training, dataset):
    """CIAN's classifier with its starting weights, and the maker of its examples."""
    settings = training.settings
    objective = ClassifierObjective(settings, len(dataset.classes) - 1, training.devices)
    start_network(objective.net, training)
    return objective, Examples(dataset, None, settings.crop, settings.train_scales)


def prepare_comnet(training, dataset):
    """COMNet's classifier with its starting weights, and the maker of its examples."""
    settings = training.settings
    objective = MatchingObjective(settings, len(dataset.classes) - 1, training.devices)
    start_network(objective.net, training)
    return objective, LongSideExamples(dataset, settings.crop, settings.long_side)


def start_network(net, training):
    """Set the weights of --init, where it is not random."""
    if training.weights.path is not None:
        load_pretrained(net, training.weights, training.settings.backbone, training.args.allow_missing)


def main(argv=None):
    args = parse_args(argv)
    settings = from_arguments(args, SETTINGS[args.method])
    dataset = open_dataset(args.data)
    ids = dataset.read_ids(args.list)
    tags = dataset.read_tags(ids, args.tags)
    val_ids = dataset.read_ids(args.val_list) if args.val_list else []
    val_tags = dataset.read_tags(val_ids, args.tags)
    check_images(dataset, ids + val_ids)
    size = group_size(args.method, settings)
    training = Training(args, settings, args.method, size)
    make = prepare_comnet if args.method == "comnet" else prepare_cam
    objective, examples = make(training, dataset)
    training.check_space(objective.net)
    grouping = settings.grouping if args.method == "comnet" else "random"
    plan = training.plan(ids, tags, size, grouping, getattr(settings, "updates", 0))
    training.begin("train_cam", dataset, ids, tags)

    def to_arrays(batch_ids, made):
        arrays = made[0], multi_hot(batch_ids, tags, len(dataset.classes))[:, 1:]
        if args.method == "cam":
            return arrays
        return tuple(array.reshape((-1, size) + array.shape[1:]) for array in (*arrays, made[1]))  # (P G, ..) -> (P, G, ..)

    last = training.fit(objective, plan, examples.make_batch, to_arrays)
    measured = training.run.folder / "tags.json"
    if args.val_list and training.run.write and not measured.exists():
        pairs = args.method == "comnet"
        training.free_memory()
        network = last, args.method, settings.backbone, len(dataset.classes) - 1
        mean, per_class = measure(network, training.names, dataset, val_ids, val_tags, pairs)
        write_json(measured, {"list": args.val_list, "map": mean, "ap": per_class_record(dataset, per_class)})
    if measured.exists():
        scores = read_json(measured)
        print(f"mean average precision on {scores['list']}: {100 * scores['map']:.1f} %")
    print(last)


def per_class_record(dataset, values):
    """{class: average precision, None where the list shows no image of it}."""
    return {name: None if np.isnan(value) else float(value) for name, value in zip(dataset.classes[1:], values)}

"""Train the image classifier whose class activation maps become the seeds.

--method cam is CIAN's; --method comnet is COMNet's, with its own settings (--method comnet --help shows them): IRN's classifier
with matchings between the images of a group and within each image, or, with --matching none, without.
"""

import argparse

import numpy as np

from cian.base.files import read_json, write_json
from cian.base.parser import Parser
from cian.base.progress import tracked
from cian.config import from_arguments
from cian.data.check import check_images
from cian.data.images import read_image
from cian.data.loader import Examples
from cian.data.long_side import LongSideExamples
from cian.data.voc import open_dataset
from cian.evaluation.metrics import mean_average_precision
from cian.models.comnet import MATCHINGS
from cian.models.pretrained import load_pretrained
from cian.seeds.activation import activation_maps
from cian.seeds.classifiers import SETTINGS
from cian.training.objectives import ClassifierObjective, MatchingObjective, multi_hot
from cian.training.tool import Training, add_training_options

EXAMPLE = """cian train_cam --data VOC2012 --init gluoncv:vgg16 --val-list val --output runs/cam"""


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


def measure(net, dataset, ids, tags, device, flip=False):
    """Average precision of every class, and their mean, of whole images at their own size; flip: with their mirrors."""
    scores = []
    for image_id in tracked(ids, "measure", "image"):
        scores.append(activation_maps(net, read_image(dataset.image_path(image_id)), (), (1.0,), flip, device)[1])
    return mean_average_precision(np.stack(scores), multi_hot(ids, tags, len(dataset.classes))[:, 1:])


def prepare_cam(training, dataset):
    """CIAN's classifier with its starting weights, the maker of its examples, and 1 image in a group."""
    settings = training.settings
    objective = ClassifierObjective(settings, len(dataset.classes) - 1, training.devices)
    start_network(objective.net, training)
    return objective, Examples(dataset, None, settings.crop, settings.train_scales), 1


def prepare_comnet(training, dataset):
    """COMNet's classifier with its starting weights, the maker of its examples, and the images in a group."""
    settings = training.settings
    objective = MatchingObjective(settings, len(dataset.classes) - 1, training.devices)
    start_network(objective.net, training)
    fill = objective.net.backbone.bn_data.moving_mean.data(training.devices[0]).asnumpy()  # zero after the normalisation
    examples = LongSideExamples(dataset, settings.crop, settings.long_side, tuple(fill.tolist()))
    return objective, examples, settings.group_size if MATCHINGS[settings.matching][0] else 1


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
    training = Training(args, settings, args.method)
    make = prepare_comnet if args.method == "comnet" else prepare_cam
    objective, examples, size = make(training, dataset)
    training.check_space(objective.net)
    plan = training.plan(ids, tags, size, "common" if size > 1 else "random")
    training.begin("train_cam", dataset, ids, tags)

    def to_arrays(batch_ids, made):
        arrays = made[0], multi_hot(batch_ids, tags, len(dataset.classes))[:, 1:]
        if args.method == "cam":
            return arrays
        return tuple(array.reshape((-1, size) + array.shape[1:]) for array in arrays)  # (P G, ..) -> (P, G, ..)

    last = training.fit(objective, plan, examples.make_batch, to_arrays)
    measured = training.run.folder / "tags.json"
    if args.val_list and training.run.write and not measured.exists():
        pairs = args.method == "comnet"
        mean, per_class = measure(objective.net, dataset, val_ids, val_tags, training.devices[0], pairs)
        write_json(measured, {"list": args.val_list, "map": mean, "ap": per_class_record(dataset, per_class)})
    if measured.exists():
        scores = read_json(measured)
        print(f"mean average precision on {scores['list']}: {100 * scores['map']:.1f} %")
    print(last)


def per_class_record(dataset, values):
    """{class: average precision, None where the list shows no image of it}."""
    return {name: None if np.isnan(value) else float(value) for name, value in zip(dataset.classes[1:], values)}

"""Train the CIAN network, or its baselines, on seeds, in groups of images that share a class."""

from pathlib import Path

from cian.base.origin import NETWORK, origin_of
from cian.base.parser import Parser
from cian.base.runs import folder_digest
from cian.base.runtime import mx
from cian.config import Inference, Segmentation, from_arguments, hide
from cian.config.arguments import at_least
from cian.data.loader import Examples
from cian.data.voc import open_dataset
from cian.models.checkpoint import load_checkpoint
from cian.models.pretrained import load_pretrained
from cian.training.objectives import SegmentationObjective, multi_hot
from cian.training.tool import Training, add_training_options
from cian.training.validation import Validation

EXAMPLE = """cian train --data VOC2012 --labels runs/seeds/seeds --init imgclsmob:preresnet101b --output runs/round1"""


def make_parser():
    parser = Parser("cian train", __doc__, EXAMPLE)
    labels = parser.add_argument(
        "--labels",
        "--seeds",
        required=True,
        metavar="DIR",
        help="labels to train on, ID.png: seeds, or masks of round one; 255 unlabelled",
    )
    hide(labels, "--seeds")
    parser.add_argument("--val-list", metavar="LIST", help="measure the mean IoU on this list after an epoch, quickly: stride "
                        "8, one scale, no CRF; it goes to the log, and best.json names the best epoch, whose checkpoint is "
                        "kept. The papers do not choose by it (default: not measured)")  # fmt: skip
    parser.add_argument("--val-every", type=at_least(1), default=1, metavar="N", help="after every Nth epoch (default: 1)")
    add_training_options(parser, Segmentation)
    parser.set_defaults(preset=None)  # not given: of round two's network that of its run
    return parser


def parse_args(argv):
    return make_parser().parse_args(argv)


def chosen_settings(args, dataset):
    """The settings of the options; in round two preset and network are those of the run of --init, where it has one."""
    if args.round == 2 and not Path(args.init).is_file():
        raise FileNotFoundError(f"init: {args.init}; round 2 goes on from the last checkpoint of round one, expected its file")
    origin = origin_of(args.init if args.round == 2 else None)
    args.preset = origin.decide_preset(args.preset)
    origin.fill(args, **dict.fromkeys(NETWORK))
    origin.check_classes(dataset.classes, args.data)
    return from_arguments(args, Segmentation)


def start_network(net, weights, settings, allow_missing):
    """Set the starting weights: round 1 from a backbone with bn_out's gamma zeroed, round 2 from round one's end."""
    if settings.round == 2:
        load_checkpoint(net, weights.path)
        return
    if weights.path is not None:
        load_pretrained(net, weights, settings.backbone, allow_missing)
    if settings.affinity:
        gamma = net.collect_params("bn_out_gamma")["bn_out_gamma"]
        gamma.set_data(mx.nd.zeros(gamma.shape))


def main(argv=None):
    args = parse_args(argv)
    dataset = open_dataset(args.data)
    settings = chosen_settings(args, dataset)
    ids = dataset.read_ids(args.list)
    tags = dataset.read_tags(ids, args.tags)
    training = Training(args, settings, "cian", settings.group_size)
    objective = SegmentationObjective(settings, len(dataset.classes), training.devices)
    start_network(objective.net, training.weights, settings, args.allow_missing)
    training.check_space(objective.net)
    size = settings.group_size
    plan = training.plan(ids, tags, size, settings.grouping)
    validation = None
    if args.val_list:
        side, first = Inference.preset(args.preset).test_size, training.devices[0]
        validation = Validation(
            training.run, objective.net, dataset, args.val_list, args.val_every, settings.epochs, side, first
        )
    labels = Path(args.labels)
    labels_digest = folder_digest(labels, ids, ".png")
    training.check_labels(dataset, ids, labels, tags)
    training.begin("train", dataset, ids, tags, seeds=labels_digest)
    examples = Examples(dataset, labels, settings.crop, settings.train_scales, settings.pad_label)

    def to_arrays(batch_ids, made):
        images, crops = made
        hot = multi_hot(batch_ids, tags, len(dataset.classes))
        hot[:, 0] = 1  # completion by tags may always use the background
        return tuple(array.reshape((-1, size) + array.shape[1:]) for array in (images, crops, hot))  # (P G, ..) -> (P, G, ..)

    print(training.fit(objective, plan, examples.make_batch, to_arrays, validation))

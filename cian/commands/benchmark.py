"""Measure parts of the project, one sub-command a part: what they cost, in time or operations, and how good saliency is."""

import importlib
import json
from pathlib import Path

from cian.base.cli import add_preset
from cian.base.files import write_json
from cian.base.origin import origin_of
from cian.base.parallel import map_parallel
from cian.base.parser import Parser
from cian.base.progress import Progress
from cian.base.results import read_paper
from cian.base.runs import git_commit
from cian.config import hide
from cian.config.arguments import add_count, positive
from cian.data.voc import open_dataset
from cian.evaluation.crf import compare_crf
from cian.evaluation.saliency import at_own_thresholds, measure, quality_table, scores, write_scores
from cian.seeds.saliency import METHODS as SALIENCY
from cian.seeds.saliency import check_largest, check_map, find_maps

PAPER = Path(__file__).resolve().parents[2] / "experiments" / "paper.csv"


EXAMPLE = """cian benchmark complexity --backbones resnet101,resnet50
cian benchmark export --checkpoint random --backbone resnet10 --data VOC2012 --count 20"""


def make_parser():
    parser = Parser("cian benchmark", __doc__, EXAMPLE)
    commands = parser.add_subparsers(dest="command", required=True, metavar="PART")
    crf = commands.add_parser(
        "crf",
        description=compare_crf.__doc__,
        help="pruned against exact dense CRF: time per image and share of equal pixels",
    )
    crf.add_argument("--data", type=Path, required=True, metavar="ROOT", help="data set root in VOC layout, with masks")
    crf.add_argument("--list", default="val", help="list of ids: a name, or a text file")
    add_count(crf, 100, "how many images, from the start of the list")
    crf.add_argument("--iterations", type=int, default=5, help="CRF iterations")
    crf.add_argument("--seed", type=int, default=0, help="of the made-up logits")
    crf.set_defaults(run=run_crf, show=indented)
    count = commands.add_parser(
        "complexity",
        description=run_complexity.__doc__,
        help="Table 1: parameters and multiply-adds of the three networks, the paper's beside ours",
    )
    count.add_argument("--backbones", default="resnet101,resnet50", help="comma-separated names")
    count.add_argument("--size", type=side_lengths, default=(321, 321), help="of the images: 321 (default), or HxW")
    count.add_argument(
        "--paper", type=Path, default=PAPER, metavar="FILE", help="published numbers (default: experiments/paper.csv)"
    )
    count.add_argument("--results", type=Path, metavar="PATH", help="also put the numbers into results.jsonl of this folder")
    count.set_defaults(run=run_complexity, show=later("cian.evaluation.complexity_table", "count_table"))
    salient = commands.add_parser(
        "saliency",
        description=run_saliency.__doc__,
        help="precision and coverage of the background, largest F of the foreground, of every method",
    )
    salient.add_argument("--data", type=Path, required=True, metavar="ROOT", help="data set root in VOC layout, with masks")
    salient.add_argument("--list", default="val", help="list of ids: a name, or a text file")
    salient.add_argument("--methods", default=",".join(SALIENCY), help="comma-separated names")
    salient.add_argument("--maps", type=Path, metavar="DIR", help="folder of grey maps to measure too, such as DRFI's")
    salient.add_argument("--workers", type=positive, help="processes (default: all processors)")
    salient.add_argument("--csv", type=Path, metavar="PATH", help="also write precision and coverage at each threshold there")
    salient.set_defaults(run=run_saliency, show=quality_table)
    matching = commands.add_parser(
        "matching",
        description=run_matching.__doc__,
        help="COMNet's Table I: time of inter-matching by images in a group, the paper's beside ours",
    )
    matching.add_argument(
        "--channels", type=whole_numbers, default=(2048, 512), help="of the features, comma-separated (default: 2048,512)"
    )
    sizes = matching.add_argument("--group-sizes", "--groups", type=whole_numbers, default=(2, 3, 4, 5), metavar="SIZES",
                                  help="images in a group, comma-separated (default: 2,3,4,5)")  # fmt: skip
    hide(sizes, "--groups")
    matching.add_argument("--side", type=int, default=32, help="of the square feature maps; 32 for crops of 512 pixels")
    matching.add_argument("--repeats", type=int, default=3, help="measurements whose median is taken")
    matching.add_argument(
        "--paper", type=Path, default=PAPER, metavar="FILE", help="published numbers (default: experiments/paper.csv)"
    )
    matching.add_argument("--results", type=Path, metavar="PATH", help="also put the times into results.jsonl of this folder")
    matching.set_defaults(run=run_matching, show=later("cian.evaluation.matching_cost", "cost_table"))
    ways = commands.add_parser(
        "export",
        description=run_export.__doc__,
        help="Gluon, exported symbol and ONNX Runtime in turn on real images: time per image, deviation, equal labels",
    )
    ways.add_argument(
        "--checkpoint", required=True, metavar="FILE", help="parameters of a network, or random for random weights"
    )
    ways.add_argument("--backbone", help="of random weights, or of a checkpoint whose run does not say it")
    ways.add_argument("--similarity", choices=("dot", "cosine"), help="of a checkpoint whose run does not say it; None is dot")
    ways.add_argument("--method", default="cian", help="network of random weights: cian, largefov or cam")
    ways.add_argument("--data", type=Path, required=True, metavar="ROOT", help="data set root in VOC layout")
    ways.add_argument("--list", default="val", help="list of ids: a name, or a text file")
    add_count(ways, 20, "how many images, from the start of the list")
    ways.add_argument("--size", type=side_lengths, default=(513, 513), help="of the input: 513, or HEIGHTxWIDTH (default: 513)")
    ways.set_defaults(run=run_export, show=later("cian.export.comparison", "comparison_table"))
    pace = commands.add_parser(
        "inference",
        description=run_inference.__doc__,
        help="images a second of prediction, loader, CRF and evaluation by processes and images",
    )
    pace.add_argument("--checkpoint", required=True, metavar="FILE", help="parameters of a CIAN network")
    pace.add_argument("--backbone", help="of a checkpoint whose run does not say it")
    pace.add_argument("--similarity", choices=("dot", "cosine"), help="of a checkpoint whose run does not say it; None is dot")
    pace.add_argument("--data", type=Path, required=True, metavar="ROOT", help="data set root in VOC layout")
    pace.add_argument("--list", default="val", help="list of ids: a name, or a text file")
    several = pace.add_argument("--count", "--images", type=whole_numbers, default=(32,), metavar="NUMBERS",
                                help="how many images, from the start of the list, such as 20,40,80 (default: 32)")  # fmt: skip
    hide(several, "--images")
    pace.add_argument("--processes", type=whole_numbers, metavar="NUMBERS", help="comma-separated (default: 1,2,4,... and all)")
    pace.add_argument("--devices", help="cpu, or gpu0,gpu1,... (default: all GPUs, else cpu)")
    pace.add_argument("--repeats", type=positive, default=1, help="passes of the prediction whose median is taken")
    pace.add_argument("--published", metavar="DIR", help="a copy of github js-fan/CIAN, whose loader is run and timed too")
    add_preset(pace, of_run=True)
    pace.set_defaults(run=run_inference, show=later("cian.evaluation.throughput", "throughput_table"))
    room = commands.add_parser(
        "memory", description=run_memory.__doc__, help="memory of every training on a GPU, and --shares for cards of 8 to 40 GB"
    )
    add_preset(room)
    room.set_defaults(run=run_memory, show=later("cian.training.memory", "memory_table"))
    for part in commands.choices.values():
        part.add_argument("--json", type=Path, metavar="PATH", help="also write the figures to this file")
    return parser


def parse_args(argv=None):
    return make_parser().parse_args(argv)


def whole_numbers(text):
    """`2,3` -> (2, 3)."""
    return tuple(int(word) for word in text.split(","))


def side_lengths(text):
    """`321` -> (321, 321), `193x257` -> (193, 257)."""
    sides = tuple(int(side) for side in text.split("x"))
    if len(sides) > 2 or min(sides) < 1:
        raise ValueError(text)
    return sides if len(sides) == 2 else sides * 2


def later(module, name):
    """A function of a module that prepares MXNet, which is imported when it is called."""
    return lambda result: getattr(importlib.import_module(module), name)(result)


def indented(result):
    """A result as readable JSON."""
    return json.dumps(result, indent=2)


def run_crf(args):
    dataset = open_dataset(args.data)
    ids = dataset.read_ids(args.list)[: args.count]
    with Progress(len(ids), "crf", "image") as progress:
        return compare_crf(dataset, ids, args.iterations, args.seed, progress.update)


def run_complexity(args):
    """Count the networks of CIAN's Table 1 from their traced graphs, for images of one size."""
    # here, because it prepares MXNet, which is not to disturb the other measurements
    from cian.evaluation.complexity_table import count_networks, write_counts

    counted = count_networks(args.backbones.split(","), args.size, read_paper(args.paper))
    if args.results:
        write_counts(args.results, counted, git_commit())
    return counted


def run_saliency(args):
    """Measure saliency against the masks: how sure the background is at each threshold, and the foreground's F measure."""
    dataset = open_dataset(args.data)
    ids = dataset.read_ids(args.list)
    maps = find_maps(args.maps, ids) if args.maps else None
    if maps:
        check_largest(args.maps, list(map_parallel(check_map, [(maps[i], dataset.image_path(i)) for i in ids], args.workers)))
    with Progress(len(ids), "saliency", "image") as progress:
        measured = measure(dataset, ids, args.methods.split(","), maps, args.workers, progress.update)
    if args.csv:
        write_scores(args.csv, {name: scores(counts) for name, (counts, _) in measured.items()})
    return {"images": len(ids), "methods": at_own_thresholds(measured)}


def run_matching(args):
    """Time the inter-matching of one group on this machine's CPU, each in a process of its own, and measure its memory."""
    from cian.evaluation.matching_cost import matching_costs, write_costs  # here, because it prepares MXNet

    with Progress(len(args.channels) * len(args.group_sizes), "matching", "size") as progress:
        costs = matching_costs(
            args.channels, args.group_sizes, args.side, read_paper(args.paper), args.repeats, progress.update
        )
    if args.results:
        write_costs(args.results, costs, git_commit())
    return costs


def run_export(args):
    """Compare and time the same network as Gluon block, as exported symbol in MXNet alone, and as ONNX, in turn."""
    from cian.export.comparison import compare_export, fitted_image, random_network  # here, because it prepares MXNet
    from cian.export.symbols import network_of_checkpoint

    if any((side - 1) % 8 for side in args.size):
        raise ValueError(f"size: {'x'.join(map(str, args.size))}, expected multiples of 8 plus 1, such as 513")
    dataset = open_dataset(args.data)
    ids = dataset.read_ids(args.list)[: args.count]
    origin = origin_of(None if args.checkpoint == "random" else args.checkpoint)
    origin.fill(args, backbone=None, similarity="dot")
    origin.check_classes(dataset.classes, args.data)
    if args.backbone is None:
        alone = "random weights" if args.checkpoint == "random" else f"{args.checkpoint}, beside which is no settings.json"
        raise ValueError(f"--backbone: missing, expected with {alone}")
    if args.checkpoint == "random":
        method, told = args.method, "random weights"
        net = random_network(method, args.backbone, len(dataset.classes) - (method == "cam"))
    else:
        net, method, _ = network_of_checkpoint(args.checkpoint, args.backbone, args.similarity)
        told = args.checkpoint
    images = [fitted_image(dataset.image_path(image_id), args.size) for image_id in ids]
    with Progress(len(ids), "export", "image") as progress:
        result = compare_export(net, method, images, progress.update)
    return {"network": f"{method} {args.backbone}, {told}", **result}


def run_inference(args):
    """Predict images at the settings of the preset in one process and in several; time loader, CRF and evaluation likewise."""
    from cian.config import Inference, Segmentation  # here, as what follows: it prepares MXNet
    from cian.evaluation import throughput as pace

    dataset, origin = open_dataset(args.data), origin_of(args.checkpoint)
    settings = Inference.preset(origin.decide_preset(args.preset))
    backbone = origin.decide("backbone", args.backbone, Segmentation.preset(origin.decide_preset(args.preset)).backbone)
    network = args.checkpoint, backbone, origin.decide("similarity", args.similarity, "dot")
    view, crf = (settings.test_size, settings.scales, settings.flip), (settings.crf_iterations, settings.crf)
    of, how = (dataset, dataset.read_ids(args.list), args.count), (args.devices, args.repeats, args.published)
    measured = pace.measure(network, view, crf, *of, args.processes or pace.powers(), *how)
    return {"network": f"{backbone}, {args.checkpoint}", "processors": pace.processors(), "measured": measured}


def run_memory(args):
    """Memory of every training by MXNet's planner, without running it: of a group of images, and of the whole batch."""
    from cian.training.memory import TRAININGS, measure  # here, because it prepares MXNet

    return [measure(training, args.preset) for training in TRAININGS]


def main(argv=None):
    args = parse_args(argv)
    result = args.run(args)
    if args.json:
        write_json(args.json, result)
    print(args.show(result))

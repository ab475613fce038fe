"""Figures 3 and 4 of the CIAN paper, Figures 3 to 5 of COMNet's, and the numbers behind them.

`cian draw affinity` (Figure 3) takes pairs of images with a common class, and draws what a pixel of one looks at in the other:
query pixel, its affinity over the reference, activation of the raw representation, of the cross-affinity residual and of the
augmented representation, and the class's probability without, with self and with cross residual: OUTPUT/fig3_ID_ID.png. It
measures how much of the affinity finds the query pixel's own class: OUTPUT/affinity.csv (a line a class), OUTPUT/affinity.json,
and OUTPUT/pairs/ID_ID.json, from which an interrupted command goes on. --statistics N does only that, for N pairs. --html
also writes OUTPUT/affinity_ID_ID.html, a page that needs no network: choose any pixel in a browser, see what it looks at.

`cian draw improvements` (Figure 4) compares the masks of two runs: image, truth, baseline and ours, for the images that improve
most, random ones, and those that lose most: OUTPUT/fig4_{improved,random,worst}.png and OUTPUT/improvements.csv.

`cian draw matching` (COMNet's Figures 3 to 5) shows for groups of images, random ones and those whose masks fail most, truth,
co-occurrence mask M, the points that a point of an object and one of the background are matched with, and the class activation:
OUTPUT/matching_{random,worst}.png; and how well M > 0 finds the common class in each group: OUTPUT/masks.csv.
"""

import argparse
import functools
from itertools import islice
from pathlib import Path

import numpy as np

from cian.base.cli import add_backbone, add_preset, chosen_backbone
from cian.base.files import write_json, write_text
from cian.base.origin import origin_of
from cian.base.outputs import claim_output
from cian.base.parser import Parser
from cian.base.places import add_places, places
from cian.base.progress import Progress, tracked
from cian.base.runs import file_digest, git_commit
from cian.base.workers import Workers
from cian.config import Segmentation
from cian.config.arguments import add_count, positive, yes_or_no
from cian.data.groups import GROUPINGS, random_pairs
from cian.data.voc import open_dataset
from cian.evaluation.masks import common_classes, describe_masks, masks_csv, title_of
from cian.evaluation.metrics import percent
from cian.figures import affinity_summary, improvement
from cian.figures.affinity import ACTIVATIONS
from cian.figures.affinity_pairs import pair_worker
from cian.figures.improvement import compare_folders
from cian.figures.matching import draw_groups
from cian.figures.matching_maps import group_worker
from cian.figures.sheet import write_png
from cian.models.affinity import MERGES, SIMILARITIES

EXAMPLE = """cian draw affinity --checkpoint runs/round1/cian_resnet101-0019.params --data VOC2012 --output figures"""


def make_parser():
    parser = Parser("cian draw", __doc__, EXAMPLE)
    verbs = parser.add_subparsers(dest="figure", required=True, metavar="FIGURE")
    affinity = verbs.add_parser("affinity", help="Figure 3: what pixels look at in a reference, drawn and measured")
    affinity.set_defaults(run=draw_affinity)
    affinity.add_argument("--checkpoint", required=True, metavar="FILE", help="parameters of a CIAN network (.params)")
    add_preset(affinity, of_run=True)
    add_backbone(affinity, Segmentation)
    told = "(default: as its run says, else"
    affinity.add_argument("--similarity", choices=SIMILARITIES, help=f"of the network {told} dot)")
    affinity.add_argument("--merge", choices=MERGES, help=f"of messages, as in training {told} max)")
    affinity.add_argument("--merge-self", type=yes_or_no, metavar="yes|no", help=f"merge the query's own message {told} yes)")
    which = affinity.add_mutually_exclusive_group()
    which.add_argument("--pairs", type=pairs_of, default=None, metavar="ID:ID,...", help="pairs to draw")
    add_count(which, 4, "pairs to draw, chosen at random")
    which.add_argument("--statistics", type=positive, default=None, metavar="N", help="draw nothing, measure N random pairs")
    affinity.add_argument("--html", action="store_true", help="also a page a pair to explore in a browser, at most 5 MB")
    affinity.add_argument("--grouping", default="common", choices=GROUPINGS, help="of random pairs (default: common)")
    affinity.add_argument(
        "--activation",
        default="class",
        choices=ACTIVATIONS,
        help="of a representation: the classifier's response to the query pixel's class, or the norm over the channels "
        "(default: class)",
    )
    improvements = verbs.add_parser("improvements", help="Figure 4: masks of two runs side by side")
    improvements.set_defaults(run=draw_improvements)
    improvements.add_argument("--baseline", required=True, metavar="DIR", help="folder with ID.png of the baseline")
    improvements.add_argument("--ours", required=True, metavar="DIR", help="folder with ID.png of the other run")
    add_count(improvements, 8, "images on a sheet")
    improvements.add_argument("--workers", type=positive, default=None, help="processes (default: all processors)")
    matching = verbs.add_parser("matching", help="COMNet's Figures 3 to 5: masks of groups of images, and matched points")
    matching.set_defaults(run=draw_matching)
    matching.add_argument("--checkpoint", required=True, metavar="FILE", help="parameters of COMNet, in its run folder")
    matching.add_argument("--group-size", type=positive, help="images in a group (default: as in the training)")
    matching.add_argument("--groups", type=positive, default=50, help="random groups to measure (default: 50)")
    add_count(matching, 4, "groups on a sheet")
    matching.add_argument("--side", type=positive, default=321, help="of the squares that are matched, pixels (default: 321)")
    for verb in (affinity, matching):
        verb.add_argument("--tags", help="image tags: cls_labels.npy or a CSV (default: the data set's own)")
        add_places(verb, shards=False)
    for verb in (affinity, improvements, matching):
        verb.add_argument("--data", required=True, metavar="ROOT", help="data set in VOC layout")
        verb.add_argument("--list", default="val", help="list of ids: a name, or a text file (default: val)")
        verb.add_argument("--classes", type=names_of, metavar="NAMES", help="names that count, comma-separated (default: all)")
        verb.add_argument("--output", required=True, metavar="DIR", help="folder of the figures")
        verb.add_argument("--seed", type=int, default=0, help="of what is chosen at random (default: 0)")
    return parser


def parse_args(argv):
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.figure == "affinity" and args.html and args.statistics:
        parser.error("--html draws, --statistics does not: choose one of them")
    return args


def names_of(text):
    """`cat, dog` -> ("cat", "dog")."""
    return tuple(name.strip() for name in text.split(","))


def pairs_of(text):
    """`a:b,c:d` -> [("a", "b"), ("c", "d")]; ArgumentTypeError says what a pair is."""
    pairs = [tuple(pair.split(":")) for pair in text.split(",")]
    wrong = [":".join(pair) for pair in pairs if len(pair) != 2 or not all(pair) or pair[0] == pair[1]]
    if wrong:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} is no pair of two image ids, expected ID:ID,ID:ID")
    return pairs


def chosen_classes(args, dataset):
    """Indices of --classes, None for all; ValueError lists the names there are."""
    unknown = [name for name in args.classes or () if name not in dataset.classes]
    if unknown:
        raise ValueError(f"--classes: no class named {', '.join(unknown)}; there are {', '.join(dataset.classes)}")
    return args.classes and {dataset.classes.index(name) for name in args.classes}


def chosen_pairs(args, dataset):
    """The pairs to show, and the tags of their images; ValueError where the list holds fewer, or --pairs share no class."""
    if args.pairs:
        tags = dataset.read_tags(sorted({name for pair in args.pairs for name in pair}), args.tags)
        for first, second in args.pairs:
            if not set(tags[first]) & set(tags[second]):
                names = [", ".join(dataset.classes[index] for index in tags[name]) for name in (first, second)]
                raise ValueError(f"--pairs: {first} ({names[0]}) and {second} ({names[1]}) have no common class")
        return args.pairs, tags
    ids, wanted = dataset.read_ids(args.list), args.statistics or args.count
    tags = dataset.read_tags(ids, args.tags)
    pairs = list(islice(random_pairs(ids, tags, args.grouping, args.seed), wanted))
    if len(pairs) < wanted:
        raise ValueError(f"--list {args.list}: {wanted} pairs are wanted, but its {len(ids)} images gave {len(pairs)}")
    return pairs, tags


def draw_affinity(args):
    """Draw and measure the affinity of pairs of images."""
    dataset = open_dataset(args.data)
    chosen_classes(args, dataset)
    pairs, tags = chosen_pairs(args, dataset)
    origin = origin_of(args.checkpoint)
    origin.check_classes(dataset.classes, args.data)
    args.preset = origin.decide_preset(args.preset)
    args.backbone = chosen_backbone(origin, args, Segmentation)
    origin.fill(args, similarity="dot", merge="max", merge_self=True)
    made_of = {key: getattr(args, key) for key in ("backbone", "similarity", "merge", "merge_self", "activation")}
    made_of.update(checkpoint=file_digest(args.checkpoint), classes=list(dataset.classes))
    inputs = {name: {"data": dataset.fingerprint([name]), "tags": list(tags[name])} for pair in pairs for name in pair}
    kinds = () if args.statistics else ("png", "html") if args.html else ("png",)
    made = f"{args.checkpoint}: {args.backbone}, {args.similarity}, {args.merge}; SHA-256 {made_of['checkpoint'][:12]}"
    network, merging = (args.checkpoint, args.backbone, args.similarity), (args.merge, args.merge_self)
    drawing = kinds, args.activation, made
    make = functools.partial(pair_worker, network, merging, dataset, args.output, tags, drawing)
    with Workers(make, places(args.devices, args.processes, len(pairs))) as workers:
        claim_output(args.output, "draw.json", made_of, inputs)
        found = dict(tracked(workers.run(pairs), "pairs", "pair", len(pairs)))
    measured = [one for pair in pairs for one in found[pair]]
    if measured:
        write_statistics(args, dataset, pairs, measured, made_of)
    else:
        print(f"no pair has the truth of both images in {dataset.mask_folder}: drawn, not measured")


def write_statistics(args, dataset, pairs, measured, made_of):
    """Write and print what the pairs have shown; values in the files are fractions, NaN is null."""
    found = affinity_summary.statistics(measured, dataset.classes, args.classes)
    write_text(Path(args.output) / "affinity.csv", affinity_summary.as_csv(found.summaries))
    ids = sorted({name for pair in pairs for name in pair})
    how = {"grouping": "given" if args.pairs else args.grouping, "seed": args.seed, "list": args.list, "pairs": len(pairs)}
    made_of = {**made_of, **how, "commit": git_commit(), "data": dataset.fingerprint(ids)}
    write_json(Path(args.output) / "affinity.json", {"made_of": made_of, **affinity_summary.as_values(found)})
    print(f"{len(measured)} queries and references of {len(pairs)} pairs; affinity in per cent of its mass")
    print(affinity_summary.describe(found))
    print(f"figures and numbers: {args.output}")


def draw_improvements(args):
    """Draw the masks of two runs side by side."""
    dataset = open_dataset(args.data)
    ids, output = dataset.read_ids(args.list), Path(args.output)
    folders = args.baseline, args.ours
    chosen, masks = chosen_classes(args, dataset), dataset.mask_folder
    with Progress(len(ids), "compare masks", "image") as progress:
        compared = compare_folders(*folders, masks, ids, len(dataset.classes), chosen, args.workers, progress.update)
    write_text(output / "improvements.csv", improvement.as_csv(compared, dataset.classes))
    for name, drawn in improvement.choose(compared, args.count, args.seed).items():
        if drawn:
            write_png(output / f"fig4_{name}.png", improvement.draw_comparison(dataset, *folders, drawn, compared))
        print(f"{name}: {output / f'fig4_{name}.png'}" if drawn else f"{name}: no such image")
    means = [percent(one.mean_iou(args.classes)) for one in improvement.total_scores(compared, dataset.classes)]
    better, worse = (sum(sign * one.difference > 0 for one in compared.values()) for sign in (1, -1))
    print(f"{len(ids)} images: {better} better, {worse} worse; mIoU of all their pixels: {means[0]} -> {means[1]}")


def draw_matching(args):
    """Draw and measure what COMNet matches in groups of images with a common class."""
    dataset = open_dataset(args.data)
    chosen, ids = chosen_classes(args, dataset), dataset.read_ids(args.list)
    tags = dataset.read_tags(ids, args.tags)
    origin = origin_of(args.checkpoint)
    origin.check_classes(dataset.classes, args.data)
    origin.fill(args, group_size=2)
    order = list(ids)
    np.random.default_rng(args.seed).shuffle(order)
    groups = list(islice(GROUPINGS["common"](order, tags, args.group_size), args.groups))
    shared = {}  # group -> its common classes among the chosen ones
    for group in groups:
        class_ids = [i for i in common_classes(tuple(tags[name] for name in group)) if chosen is None or i in chosen]
        if class_ids:
            shared[group] = class_ids
    if not shared:
        raise ValueError(f"--list {args.list}: no group of {args.group_size} images with a common class among --classes")
    make = functools.partial(group_worker, args.checkpoint, dataset, args.side)
    with Workers(make, places(args.devices, args.processes, len(shared))) as workers:
        found = dict(tracked(workers.run(shared.items()), "match groups", "group", len(shared)))
    observed = {group: found[group] for group in shared}
    sheets = {"random": list(observed)[: args.count]}
    if all(seen.score is not None for seen in observed.values()):  # with inter-matching
        sheets["worst"] = sorted(observed, key=lambda group: observed[group].score.positive)[: args.count]
        scored = {group: (seen.class_ids, seen.score) for group, seen in observed.items()}
        write_text(Path(args.output) / "masks.csv", masks_csv(scored, dataset.classes))
        print(describe_masks([seen.score for seen in observed.values()]))
    for name, shown in sheets.items():
        titles = [title_of(group, observed[group].class_ids, observed[group].score, dataset.classes) for group in shown]
        path = Path(args.output) / f"matching_{name}.png"
        write_png(path, draw_groups([observed[group] for group in shown], titles, dataset.classes))
        print(path)


def main(argv=None):
    args = parse_args(argv)
    args.run(args)

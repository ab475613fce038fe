"""Compare predicted label images with the truth: IoU, precision and recall per class, and their mean IoU.

With --cams instead of --predictions: class activation maps, at every threshold; the best one is shown and marked.
"""

from pathlib import Path

import numpy as np

from cian.base.files import write_json
from cian.base.parser import Parser
from cian.base.progress import Progress
from cian.config import hide
from cian.config.arguments import positive
from cian.data.lists import find_list, read_id_file
from cian.data.voc import VOC_CLASSES, read_classes
from cian.evaluation.confusion import write_confusion
from cian.evaluation.metrics import evaluate_folder
from cian.evaluation.seeds import THRESHOLDS, measure_cams, write_curve

EXAMPLE = """cian evaluate --predictions runs/round1/val/pred_crf --ground-truth VOC2012/SegmentationClass --list val"""


def make_parser():
    parser = Parser("cian evaluate", __doc__, EXAMPLE)
    measured = parser.add_mutually_exclusive_group(required=True)
    measured.add_argument("--predictions", type=Path, metavar="DIR", help="folder with ID.png, class indices")
    measured.add_argument("--cams", type=Path, metavar="DIR", help="class activation maps (CAM): ID.npz of `cian "
                          "make_seeds`, or ID.npy as IRN and WeakTr write them")  # fmt: skip
    parser.add_argument("--curve", type=Path, help="with --cams: write mean IoU by threshold to CURVE.csv and CURVE.png")
    parser.add_argument(
        "--mark", type=float, metavar="THRESHOLD", help="with --cams: another threshold to measure at and mark, in (0, 1)"
    )
    parser.add_argument(
        "--ground-truth", type=Path, required=True, metavar="DIR", help="folder with ID.png, 255 = does not count"
    )
    parser.add_argument("--list", required=True, help="ids: the name of a list of the same data set, or a text file")
    parser.add_argument("--classes", metavar="NAMES", help="classes that count in the mean, comma-separated (default: all)")
    parser.add_argument(
        "--class-names",
        type=Path,
        metavar="FILE",
        help="names of all classes, background first (default: classes.txt beside the ground-truth folder, else VOC's 21)",
    )
    unassigned = parser.add_argument(
        "--ignore-unassigned",
        "--seeds",
        action="store_true",
        help="255 in a prediction, as in seeds, means unassigned: allowed and counted",
    )
    hide(unassigned, "--seeds")
    parser.add_argument("--confusion", type=Path, metavar="NAME", help="also write the confusion matrix, which class is taken "
                        "for which, shares of the true class's pixels, to NAME.csv and NAME.png")  # fmt: skip
    parser.add_argument("--workers", type=positive, help="processes (default: all processors)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the scores, as fractions, to this file")
    return parser


def parse_args(argv=None):
    parser = make_parser()
    args = parser.parse_args(argv)
    if args.cams is None and (args.curve is not None or args.mark is not None):
        parser.error("--curve and --mark need --cams")
    if args.mark is not None and not 0 < args.mark < 1:
        parser.error(f"--mark: {args.mark:g}, expected a threshold between 0 and 1")
    if args.cams is not None and (args.ignore_unassigned or args.confusion is not None):
        parser.error("--ignore-unassigned and --confusion need --predictions")
    if args.confusion is not None and args.confusion.suffix in (".csv", ".png"):
        args.confusion = args.confusion.with_suffix("")
    return args


def class_names(file, ground_truth):
    """All class names, background first: of `file`, else of classes.txt beside the ground truth, else VOC's."""
    beside = ground_truth.resolve().parent / "classes.txt"
    if file is None and not beside.is_file():
        return VOC_CLASSES
    return read_classes(file or beside)


def as_json(scores, chosen, seeds):
    """Scores as plain fractions and counts; null where a class has nothing to divide by."""

    def by_class(values):
        return {scores.classes[i]: _plain(values[i]) for i in scores.indices(chosen)}

    result = {
        "images": scores.images,
        "miou": _plain(scores.mean_iou(chosen)),
        "iou": by_class(scores.iou),
        "precision": by_class(scores.precision),
        "recall": by_class(scores.recall),
        "counts": {
            "truth": by_class(scores.truth),
            "predicted": by_class(scores.predicted),
            "right": by_class(scores.right),
        },
        "left_out_of_mean": scores.absent(chosen),
    }
    if seeds:
        result["miou_unassigned_wrong"] = _plain(scores.mean_iou(chosen, unassigned_wrong=True))
        result["coverage"] = by_class(scores.coverage)
        result["counts"]["unassigned"] = by_class(scores.unassigned)
        result["totals"] = _plain_totals(scores)
    return result


def _plain_totals(scores):
    return {name: {key: _plain(value) for key, value in part.items()} for name, part in scores.totals().items()}


def _plain(value):
    if isinstance(value, (int, np.integer)):
        return int(value)
    return None if np.isnan(value) else float(value)


def as_table(scores, chosen, seeds):
    """The scores in per cent as text, one class a line."""
    columns = [("IoU", scores.iou), ("precision", scores.precision), ("recall", scores.recall)]
    if seeds:
        columns.append(("coverage", scores.coverage))
    indices = scores.indices(chosen)
    width = max([len(scores.classes[i]) for i in indices] + [len("all foreground")])
    lines = ["class".ljust(width) + "".join(name.rjust(11) for name, _ in columns)]
    for i in indices:
        lines.append(scores.classes[i].ljust(width) + "".join(_percent(values[i]) for _, values in columns))
    counted = len(indices) - len(scores.absent(chosen))
    lines.append(f"mean of {counted}".ljust(width) + _percent(scores.mean_iou(chosen)))
    if seeds:
        unassigned, pixels = scores.unassigned.sum(), scores.truth.sum()
        lines.append("")
        for name, part in scores.totals().items():
            lines.append(
                f"all {name}".ljust(width)
                + " " * 11
                + "".join(_percent(part[key]) for key in ("precision", "recall", "coverage"))
            )
        lines.append(
            f"unassigned: {unassigned} of {pixels} pixels ({100 * unassigned / max(pixels, 1):.1f} %), left out of "
            f"IoU; with them as errors, mean IoU {_percent(scores.mean_iou(chosen, unassigned_wrong=True)).strip()}"
        )
    absent = scores.absent(chosen)
    if absent:
        lines.append("left out of the mean, in neither truth nor prediction: " + ", ".join(absent))
    return "\n".join(lines)


def _percent(value):
    return ("-" if np.isnan(value) else f"{100 * value:.2f}").rjust(11)


def evaluate_cams(args, ids, names, chosen, progress):
    """Measure --cams, write the curve; the scores at the best threshold as table and as JSON value."""
    thresholds = sorted({*THRESHOLDS, *([] if args.mark is None else [args.mark])})
    curve = measure_cams(args.cams, args.ground_truth, ids, names, thresholds, args.workers, progress)
    best, means = curve.best(chosen), curve.mean_iou(chosen)
    if args.curve:
        write_curve(args.curve, curve, chosen, args.mark, f"CAM of {Path(args.list).stem}, {len(ids)} images")
    result = {"threshold": curve.thresholds[best], **as_json(curve.scores[best], chosen, False)}
    result["totals"] = _plain_totals(curve.scores[best])
    lines = [f"CAM, best mean IoU at threshold {curve.thresholds[best]:g}", as_table(curve.scores[best], chosen, False)]
    if args.mark is not None:
        marked = means[thresholds.index(args.mark)]
        result["miou_at"] = {f"{args.mark:g}": _plain(marked)}
        lines.append(f"mean IoU at threshold {args.mark:g}: {_percent(marked).strip()}")
    return "\n".join(lines), result


def evaluate_masks(args, ids, names, chosen, progress):
    """Measure --predictions, write the confusion matrix; the scores as table and as JSON value."""
    scores = evaluate_folder(args.predictions, args.ground_truth, ids, names, args.workers, progress, args.ignore_unassigned)
    if args.confusion:
        write_confusion(args.confusion, scores, f"{Path(args.list).stem}, {len(ids)} images: per cent of each true class")
    return as_table(scores, chosen, args.ignore_unassigned), as_json(scores, chosen, args.ignore_unassigned)


def main(argv=None):
    args = parse_args(argv)
    chosen = [name.strip() for name in args.classes.split(",")] if args.classes else None
    ids = read_id_file(find_list(args.list, args.ground_truth.resolve().parent))
    names = class_names(args.class_names, args.ground_truth)
    unknown = [name for name in chosen or () if name not in names]
    if unknown:
        raise ValueError(f"--classes: no class named {', '.join(unknown)}; there are {', '.join(names)}")
    with Progress(len(ids), "evaluate", "image") as progress:
        evaluate = evaluate_masks if args.cams is None else evaluate_cams
        table, result = evaluate(args, ids, names, chosen, progress.update)
    if args.json:
        write_json(args.json, result)
    print(f"{len(ids)} images, values in per cent\n{table}")

"""Tables and pictures of what was reached: the papers' tables beside ours, a run of the main job, or seeds.

--results reads folders with results.jsonl, such as experiments/results/animals, and writes OUTPUT/REPORT.html (one file that
needs no other), REPORT.md with its plots, and numbers.csv: what the papers claim and what was measured, with intervals, then
their tables with the measured numbers, and the sources. --curves draws the losses of some trainings to one picture. --run reads
the folder that experiments/quickstart.sh writes; prints and writes RUN/summary.md, and RUN/sheet.png: CAM, seed and the masks
of both rounds with their IoU, of the images of --sheet-list, which --choose can write. --seeds-folder reads a folder of `cian
make_seeds` and writes random.png and worst.png there: image, CAM of each class, saliency, seed and truth of some images drawn
at random, and of those whose seeds have the lowest IoU.
"""

import logging
import random
import shlex
from pathlib import Path

import numpy as np

from cian.base.files import read_json, write_bytes, write_text
from cian.base.parser import Parser
from cian.base.progress import Progress
from cian.base.results import read_paper, read_results
from cian.config import hide
from cian.config.arguments import add_count, positive
from cian.data.cams import load_cam, resize_maps
from cian.data.images import read_image, read_label
from cian.data.voc import open_dataset
from cian.evaluation.seeds import score_seeds, worst
from cian.figures.main_job import choose_images, job_sheet
from cian.figures.sheet import colour_label, heat_map, legend_of, overlay, sheet, write_png
from cian.report.content import build_report
from cian.report.files import FIGURES, keep_pictures, read_pictures, write_report
from cian.report.plots import training_curves
from cian.report.sections import CURVES
from cian.report.training_log import keep_curves, read_curves, read_log, thin
from cian.seeds.saliency import find_maps, read_saliency

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
PAPER = ROOT / "experiments" / "paper.csv"

#: row of the table -> (scores without CRF, scores with CRF), files in the folder of the run
ROWS = {
    "seeds (training list, assigned pixels)": ("seeds.json", None),
    "round one": ("round1/val.json", "round1/val_crf.json"),
    "round two": ("round2/val.json", "round2/val_crf.json"),
    "true masks, same network and schedule": ("truth/val.json", "truth/val_crf.json"),
}


EXAMPLE = """cian report --results experiments/results/animals --output runs/report"""


def make_parser():
    parser = Parser("cian report", __doc__, EXAMPLE)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", metavar="DIR", help="folder of the main job")
    seeds = source.add_argument(
        "--seeds-folder", "--seeds", metavar="DIR", help="folder of `cian make_seeds`: cam, saliency and seeds"
    )
    hide(seeds, "--seeds")
    source.add_argument("--curves", nargs="+", metavar="RUN", help="run folders whose losses are drawn beside each other, and "
                        "val_miou where it was measured, to the picture --output")  # fmt: skip
    source.add_argument("--results", action="append", metavar="DIR", help="folder of results.jsonl; may be given several times")
    parser.add_argument("--data", metavar="ROOT", help="with --run and --seeds-folder, which need it: data set in VOC layout")
    parser.add_argument("--sheet-list", help="with --run: text file of the ids to draw; their CAM and seeds are in RUN/sheet")
    parser.add_argument("--choose", metavar="FILE", help="with --run: only write the ids of --list whose masks of round two "
                        "are best, middling and worst to this file")  # fmt: skip
    parser.add_argument("--list", default=None, help="list of ids: a name, or a text file (default: with --seeds-folder "
                        "train_aug, with --run val)")  # fmt: skip
    parser.add_argument("--saliency-maps", help="with --seeds-folder: folder of the saliency maps (default: its own)")
    add_count(parser, 10, "with --seeds-folder: images on a sheet")
    seed = parser.add_argument(
        "--seed", "--sheet-seed", type=int, default=0, help="with --seeds-folder: chooses the random images (default: 0)"
    )
    hide(seed, "--sheet-seed")
    parser.add_argument("--workers", type=positive, default=None, help="processes that score seeds (default: all processors)")
    parser.add_argument("--output", help="with --results and --curves, which need it: folder of the report; the picture, .png")
    parser.add_argument("--paper", default=PAPER, help="with --results: the papers' numbers (default: experiments/paper.csv)")
    parser.add_argument("--runs", help="with --results: folder of the run folders; the curves of their logs are kept in "
                        "curves.jsonl beside the measurements, where later reports find them (default: none)")  # fmt: skip
    parser.add_argument("--figures", help="with --results: folder of fig3_* and fig4_*, .png or .jpg (default: "
                        "RESULTS/figures, which is shown, and where those of generated scenes are kept as JPEG)")  # fmt: skip
    parser.add_argument(
        "--photographs", action="store_true", help="with --figures: show them; photographs of VOC must not be committed"
    )
    parser.add_argument("--title", help="with --results: the report's title (default: names the data)")
    return parser


def parse_args(argv):
    parser = make_parser()
    args = parser.parse_args(argv)
    if (args.results or args.curves) and args.output is None:
        parser.error(f"--{'results' if args.results else 'curves'} needs --output")
    if args.curves and not args.output.endswith(".png"):
        parser.error(f"--output: {args.output}, expected the name of a picture, .png")
    if not (args.results or args.curves) and args.data is None:
        parser.error("--run and --seeds-folder need --data")
    if args.choose is not None and (args.run is None or args.sheet_list is not None):
        parser.error("--choose needs --run, and comes before --sheet-list")
    if args.list is None:
        args.list = "val" if args.run else "train_aug"
    if args.photographs and args.figures is None:
        parser.error("--photographs needs --figures")
    return args


def summary(run):
    """Markdown table of mIoU and per-class IoU in per cent; a row whose scores are not there is left out."""
    found = {}
    for row, files in ROWS.items():
        for crf, name in zip(("no", "yes"), files):
            if name and (run / name).exists():
                found[row, crf] = read_json(run / name)
    if not found:
        raise FileNotFoundError(f"{run}: no scores there; expected {ROWS['round one'][0]} or others")
    classes = list(next(iter(found.values()))["iou"])
    lines = ["| masks | CRF | mIoU | " + " | ".join(classes) + " |", "|---|---|" + "---|" * (len(classes) + 1)]
    for (row, crf), scores in found.items():
        values = [scores["miou"]] + [scores["iou"][name] for name in classes]
        lines.append(f"| {row} | {crf} | " + " | ".join("" if v is None else f"{100 * v:.1f}" for v in values) + " |")
    return "\n".join(lines) + "\n"


def seed_row(folder, maps, dataset, image_id, cam_columns):
    """Image, CAM of each class (None for columns beyond), saliency, seed and truth of one image, uint8 (H, W, 3) each."""
    image = read_image(dataset.image_path(image_id))
    _, cams = load_cam(folder / "cam" / f"{image_id}.npz")
    heats = [heat_map(image, cam) for cam in resize_maps(cams, image.shape[:2])[:cam_columns]]
    salient = heat_map(image, read_saliency(maps[image_id], image.shape[:2]), opacity=1, colours="gray")
    labels = [read_label(folder / "seeds" / f"{image_id}.png"), read_label(dataset.mask_path(image_id))]
    drawn = [overlay(image, labels[0]), colour_label(labels[1])]
    return [image] + heats + [None] * (cam_columns - len(heats)) + [salient] + drawn


def seed_title(folder, dataset, image_id, score):
    """Id, scores and the classes of the CAM columns, for the line above a row."""
    names = [dataset.classes[index] for index in load_cam(folder / "cam" / f"{image_id}.npz")[0]]
    precision = "-" if np.isnan(score.precision) else f"{100 * score.precision:.0f} %"
    return (
        f"{image_id}: IoU {100 * score.iou:.0f} %, precision {precision}, assigned {100 * score.assigned:.0f} %; "
        f"CAM of {', '.join(names) or 'nothing'}"
    )


def draw_seeds(folder, maps, dataset, ids, scores, path):
    """Write the sheet of some images with their seeds as PNG."""
    columns = max(len(load_cam(folder / "cam" / f"{i}.npz")[0]) for i in ids)
    rows = [seed_row(folder, maps, dataset, i, columns) for i in ids]
    titles = ["image"] + [f"CAM {number + 1}" for number in range(columns)] + ["saliency", "seed", "truth"]
    shown = [read_label(place) for i in ids for place in (folder / "seeds" / f"{i}.png", dataset.mask_path(i))]
    row_titles = [seed_title(folder, dataset, i, scores[i]) for i in ids]
    write_png(path, sheet(rows, titles, row_titles, legend_of(shown, dataset.classes)))


def report_seeds(args):
    """Draw the seeds of images chosen at random, and the worst."""
    folder, dataset = Path(args.seeds_folder), open_dataset(args.data)
    ids = dataset.read_ids(args.list)
    maps = find_maps(args.saliency_maps or folder / "saliency", ids)
    with Progress(len(ids), "score seeds", "image") as progress:
        masks = dataset.mask_folder
        scores = score_seeds(folder / "seeds", masks, ids, len(dataset.classes), args.workers, progress.update)
    drawn = sorted(random.Random(args.seed).sample(sorted(ids), min(args.count, len(ids))))
    for name, chosen in (("random", drawn), ("worst", worst(scores, args.count))):
        draw_seeds(folder, maps, dataset, chosen, scores, folder / f"{name}.png")
        print(f"pictures, {name}: {folder / name}.png")


def report_run(args):
    """Print and write the table of a main job, and draw the images of --sheet-list; with --choose, only choose these."""
    run, dataset = Path(args.run), open_dataset(args.data)
    if args.choose is not None:
        ids = dataset.read_ids(args.list)
        with Progress(len(ids), "choose images", "image") as progress:
            chosen = choose_images(run, dataset, ids, args.workers, progress.update)
        write_text(Path(args.choose), "".join(f"{name}\n" for name in chosen))
        return
    table = summary(run)
    write_text(run / "summary.md", table)
    print(table)
    if args.sheet_list is not None:
        write_png(run / "sheet.png", job_sheet(run, dataset, dataset.read_ids(args.sheet_list)))
        print(f"pictures: {run / 'sheet.png'}")


def report_results(args):
    """Write the report of the papers' tables."""
    paper, measurements, curves, committed = read_paper(args.paper), [], {}, {}
    for folder in map(Path, args.results):
        found = read_results(folder)
        measurements += found
        if args.runs:
            keep_curves(folder, dict.fromkeys(m.run for m in found if m.table in CURVES), args.runs)
        curves.update(read_curves(folder))
        committed.update(read_pictures(folder / FIGURES) if (folder / FIGURES).is_dir() else {})
    pictures = read_pictures(args.figures) if args.figures else {}
    generated = all(m.settings.get("preset") in (None, "scenes") for m in measurements)  # no photographs
    if generated and pictures:
        keep_pictures(args.results[0], pictures)
        pictures, committed = {}, read_pictures(Path(args.results[0]) / FIGURES)
    shown, left_out = (pictures, 0) if args.photographs or generated else ({}, len(pictures))
    made_by = command(args)
    document, tables = build_report(measurements, paper, args.title, curves, {**committed, **shown}, left_out, made_by)
    paths = write_report(args.output, document, tables, paper)
    for results in tables:
        for warning in results.warnings:
            log.warning("%s, %s: %s", results.table, results.data or "no data", warning)
    print(f"{len(measurements)} measurements: {', '.join(map(str, paths))}")


def report_curves(args):
    """Draw the curves of some runs: a panel for each loss term, a line for each run."""
    logs = {str(run): thin(read_log(Path(run) / "log.jsonl")) for run in args.curves}
    terms = list(dict.fromkeys(term for curves in logs.values() for term in curves))
    write_bytes(Path(args.output), training_curves({run: [curves] for run, curves in logs.items()}, terms))
    print(args.output)


def command(args):
    """The command that makes a report again from what is kept: without run folders and drawn pictures; folders as in the
    repository."""

    def place(path):
        path = Path(path).resolve()
        return path.relative_to(ROOT).as_posix() if ROOT in path.parents else str(path)

    words = [word for folder in args.results for word in ("--results", place(folder))]
    words += ["--title", args.title] if args.title else []
    return " ".join(map(shlex.quote, ["cian", "report", *words])) + " --output FOLDER"


def main(argv=None):
    args = parse_args(argv)
    if args.results is not None:
        report_results(args)
    elif args.curves is not None:
        report_curves(args)
    elif args.seeds_folder is None:
        report_run(args)
    else:
        report_seeds(args)

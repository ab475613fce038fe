"""Tables and pictures of what was reached: the papers' tables beside ours, a run of the main job, or seeds.

--results reads folders of measurements, such as experiments/results/animals, and writes OUTPUT/REPORT.html (one file that
needs no other), REPORT.md with its plots, and numbers.csv: every number of the papers' tables, what was measured (mean,
standard deviation, seeds), differences, and the sources. --run reads the folder that experiments/quickstart.sh writes; prints
and writes RUN/summary.md, and RUN/sheet.png. --seeds reads a folder of make_seeds.py and writes SEEDS/random.png and
SEEDS/worst.png: image, CAM of each class, saliency, seed and truth of some images drawn at random, and of those whose seeds
have the lowest IoU.
"""

import argparse
import logging
import random
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cian.base.files import read_json, write_text
from cian.base.results import read_paper, read_results
from cian.data.cams import load_cam, resize_maps
from cian.data.images import read_image, read_label
from cian.data.voc import open_dataset
from cian.evaluation.seeds import score_seeds, worst
from cian.figures.sheet import colour_label, heat_map, legend_of, overlay, sheet, write_png
from cian.report.content import TITLE, build_report
from cian.report.files import read_pictures, write_report
from cian.seeds.saliency import find_maps, read_saliency

log = logging.getLogger(__name__)

PAPER = Path(__file__).resolve().parents[2] / "experiments" / "paper.csv"

#: row of the table -> (scores without CRF, scores with CRF), files in the folder of the run
ROWS = {
    "seeds (training list, assigned pixels)": ("seeds.json", None),
    "round one": ("round1/val.json", "round1/val_crf.json"),
    "round two": ("round2/val.json", "round2/val_crf.json"),
    "true masks, same network and schedule": ("truth/val.json", "truth/val_crf.json"),
}


def parse_args(argv):
    parser = argparse.ArgumentParser(description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--run", help="folder of the main job")
    source.add_argument("--seeds", help="folder of make_seeds.py, which holds cam, saliency and seeds")
    source.add_argument("--results", action="append", help="folder of measurements (*.json); may be given several times")
    parser.add_argument("--data", help="with --run and --seeds, which need it: data set in VOC layout")
    parser.add_argument("--sheet-list", help="with --run: text file of the ids to draw; their CAM and seeds are in RUN/sheet")
    parser.add_argument("--list", default="train_aug", help="with --seeds: list of ids (default: train_aug)")
    parser.add_argument("--saliency-maps", help="with --seeds: folder of the saliency maps (default: SEEDS/saliency)")
    parser.add_argument("--images", type=int, default=10, help="with --seeds: images a sheet (default: 10)")
    parser.add_argument("--sheet-seed", type=int, default=0, help="with --seeds: seed of the random images (default: 0)")
    parser.add_argument("--workers", type=int, default=None, help="processes that score the seeds (default: all processors)")
    parser.add_argument("--output", help="with --results, which needs it: folder of the report")
    parser.add_argument("--paper", default=PAPER, help="with --results: the papers' numbers (default: experiments/paper.csv)")
    parser.add_argument("--runs", help="with --results: folder of the run folders, for the training curves (default: none)")
    parser.add_argument("--figures", help="with --results: folder of fig3_*.png and fig4_*.png (default: none)")
    parser.add_argument(
        "--photographs", action="store_true", help="with --figures: show them; photographs of VOC must not be committed"
    )
    parser.add_argument("--title", default=TITLE, help=f"with --results: the report's title (default: {TITLE})")
    args = parser.parse_args(argv)
    if args.results is not None and args.output is None:
        parser.error("--results needs --output")
    if args.results is None and args.data is None:
        parser.error("--run and --seeds need --data")
    if args.photographs and args.figures is None:
        parser.error("--photographs needs --figures")
    if args.run is not None and args.sheet_list is None:
        parser.error("--run needs --sheet-list")
    if args.images < 1:
        parser.error(f"--images: expected at least 1, found {args.images}")
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


def picture_row(run, dataset, image_id):
    """Image, truth, CAM, seed and the two rounds' predictions of one image, uint8 (H, W, 3) each."""
    image = read_image(dataset.image_path(image_id))
    _, cams = load_cam(run / "sheet" / "cam" / f"{image_id}.npz")
    strongest = resize_maps(cams, image.shape[:2]).max(axis=0) if len(cams) else np.zeros(image.shape[:2], np.float32)
    masks = [run / "sheet" / "seeds", run / "round1" / "val" / "pred_crf", run / "round2" / "val" / "pred_crf"]
    drawn = [overlay(image, read_label(folder / f"{image_id}.png")) for folder in masks]
    return [image, colour_label(read_label(dataset.mask_path(image_id))), heat_map(image, strongest)] + drawn


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
    folder, dataset = Path(args.seeds), open_dataset(args.data)
    ids = dataset.read_ids(args.list)
    maps = find_maps(args.saliency_maps or folder / "saliency", ids)
    with tqdm(total=len(ids), desc="scoring seeds", unit="image") as bar:
        masks = dataset.mask_folder
        scores = score_seeds(folder / "seeds", masks, ids, len(dataset.classes), args.workers, bar.update)
    drawn = sorted(random.Random(args.sheet_seed).sample(sorted(ids), min(args.images, len(ids))))
    for name, chosen in (("random", drawn), ("worst", worst(scores, args.images))):
        draw_seeds(folder, maps, dataset, chosen, scores, folder / f"{name}.png")
        print(f"pictures, {name}: {folder / name}.png")


def report_run(args):
    """Print and write the table of a main job, and draw its images."""
    run = Path(args.run)
    table = summary(run)
    write_text(run / "summary.md", table)
    dataset = open_dataset(args.data)
    ids = dataset.read_ids(args.sheet_list)
    shown = set().union(*(np.unique(read_label(dataset.mask_path(i))).tolist() for i in ids)) - {255}
    titles = ["image", "truth", "CAM", "seed", "round one + CRF", "round two + CRF"]
    legend = {index: dataset.classes[index] for index in sorted(shown)}
    legend[255] = "unlabelled"
    write_png(run / "sheet.png", sheet([picture_row(run, dataset, i) for i in ids], titles, row_titles=ids, legend=legend))
    print(table)
    print(f"pictures: {run / 'sheet.png'}")


def report_results(args):
    """Write the report of the papers' tables."""
    paper = read_paper(args.paper)
    measurements = [found for folder in args.results for found in read_results(folder)]
    pictures = read_pictures(args.figures) if args.figures else {}
    shown, left_out = (pictures, 0) if args.photographs else ({}, len(pictures))
    document, tables = build_report(measurements, paper, args.title, args.runs, shown, left_out)
    paths = write_report(args.output, document, tables, paper)
    for results in tables:
        for warning in results.warnings:
            log.warning("%s, %s: %s", results.table, results.data or "no data", warning)
    print(f"{len(measurements)} measurements: {', '.join(map(str, paths))}")


def main(argv=None):
    args = parse_args(argv)
    if args.results is not None:
        report_results(args)
    elif args.seeds is None:
        report_run(args)
    else:
        report_seeds(args)

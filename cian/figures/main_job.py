"""Pictures of the main job: images that came out best, middling and worst, from the image to the masks of round two.

An image's IoU is the mean over the classes that its truth shows, as in `cian.figures.improvement`.
"""

import math
from pathlib import Path

import numpy as np

from cian.data.cams import load_cam, resize_maps
from cian.data.images import read_image, read_label
from cian.evaluation.metrics import Scores, confusion_matrix
from cian.figures.improvement import compare_folders
from cian.figures.sheet import colour_label, heat_map, legend_of, overlay, sheet

COLUMNS = ("image", "truth", "CAM", "seed", "round one + CRF", "round two + CRF")
ROUNDS = ("round1/val/pred_crf", "round2/val/pred_crf")  # folders of masks in that of the run
PLACES = ("best", "middle", "worst")


def choose_images(run, dataset, ids, workers=None, progress=None):
    """At most three of the ids: those whose masks of round two have the highest, the middle and the lowest IoU.

    Images without a score are left out, equal ones are in order of their names; workers, progress: see `map_parallel`.
    """
    compared = compare(run, dataset, ids, workers, progress)
    scored = sorted((name for name in ids if not math.isnan(compared[name].ours)), key=lambda n: (-compared[n].ours, n))
    return list(dict.fromkeys(scored[place] for place in (0, len(scored) // 2, -1))) if scored else []


def compare(run, dataset, ids, workers=None, progress=None):
    """{id: Comparison} of the masks of round one and round two."""
    folders = [Path(run) / folder for folder in ROUNDS]
    return compare_folders(*folders, dataset.mask_folder, ids, len(dataset.classes), None, workers, progress)


def job_sheet(run, dataset, ids):
    """A row an id of COLUMNS, with the IoU of its masks below them, uint8 (height, width, 3); class activation and seeds are in
    RUN/sheet."""
    rows, notes, titles, labels = [], [], [], []
    for name, one in compare(run, dataset, ids, workers=1).items():
        truth, seed = read_label(dataset.mask_path(name)), read_label(Path(run) / "sheet" / "seeds" / f"{name}.png")
        rows.append(pictures(run, dataset, name, truth, seed))
        notes.append(["", "", "", seed_note(truth, seed, dataset.classes), *map(iou_note, (one.baseline, one.ours))])
        titles.append(f"{name}: {', '.join(dataset.classes[index] for index in one.shown)}")
        labels.append(truth)
    legend = {**legend_of(labels, dataset.classes), 255: "unlabelled"}
    return sheet(rows, COLUMNS, titles, legend, notes=notes)


def pictures(run, dataset, name, truth, seed):
    """One row: image, truth, the strongest class activation, the seed, and the masks of both rounds, uint8 (H, W, 3) each."""
    image = read_image(dataset.image_path(name))
    _, cams = load_cam(Path(run) / "sheet" / "cam" / f"{name}.npz")
    strongest = resize_maps(cams, image.shape[:2]).max(axis=0) if len(cams) else np.zeros(image.shape[:2], np.float32)
    masks = [seed, *(read_label(Path(run) / folder / f"{name}.png") for folder in ROUNDS)]
    return [image, colour_label(truth), heat_map(image, strongest), *(overlay(image, mask) for mask in masks)]


def seed_note(truth, seed, classes):
    """How much of an image is labelled by its seed, and how much of that is right."""
    scores = Scores(tuple(classes), confusion_matrix(truth, seed, len(classes), seeds=True), 1)
    labelled, pixels = scores.predicted.sum(), scores.truth.sum()
    if not labelled:
        return "nothing labelled"
    return f"{100 * labelled / pixels:.0f} % labelled, {100 * scores.right.sum() / labelled:.0f} % of it right"


def iou_note(value):
    return "" if math.isnan(value) else f"IoU {100 * value:.0f} %"

"""Figure 4 of the CIAN paper: images whose masks improve over the baseline; here also random ones, and those that get worse.

An image's score is the mean IoU over the classes that its truth shows. A class predicted where there is none costs the pixels
it takes, but does not enter the mean: a single stray pixel would otherwise halve the score of an image with one class.
"""

import functools
import math
import random
from pathlib import Path
from typing import NamedTuple, Tuple

import numpy as np

from cian.base.parallel import map_parallel
from cian.data.images import read_image, read_label
from cian.evaluation.metrics import Scores, confusion_matrix
from cian.figures.sheet import colour_label, legend_of, sheet

COLUMNS = ("image", "truth", "baseline", "ours")


class Comparison(NamedTuple):
    """Scores of two masks of one image, fractions, NaN where the truth shows no class that counts; shown: those it shows.

    counts: the confusion matrices of baseline and ours, int64 (2, K, K + 1).
    """

    baseline: float
    ours: float
    shown: Tuple[int, ...]
    counts: np.ndarray

    @property
    def difference(self):
        """Ours less baseline."""
        return self.ours - self.baseline


def compare_masks(truth, baseline, ours, classes, chosen=None, names=("baseline", "ours")):
    """The Comparison of two masks (H, W) with the truth (H, W), 255 not counted.

    classes: how many; chosen: indices of those that count in the means, default all; errors give the names.
    """
    scores = [
        Scores(tuple(range(classes)), confusion_matrix(truth, mask, classes, name=name), 1)
        for mask, name in zip((baseline, ours), names)
    ]
    shown = [i for i in np.flatnonzero(scores[0].truth).tolist() if chosen is None or i in chosen]
    means = [float(one.iou[shown].mean()) if shown else math.nan for one in scores]
    return Comparison(*means, tuple(shown), np.stack([one.confusion for one in scores]))


def compare_folders(baseline, ours, truths, ids, classes, chosen=None, workers=None, progress=None):
    """{id: Comparison} of BASELINE/ID.png and OURS/ID.png with TRUTHS/ID.png.

    classes, chosen: see compare_masks; workers, progress: see `map_parallel`.
    FileNotFoundError or ValueError name a file that is missing, broken, of another size or with illegal values.
    """
    compare = functools.partial(_compare_files, (Path(baseline), Path(ours)), Path(truths), classes, chosen)
    return dict(zip(ids, map_parallel(compare, ids, workers, progress)))


def _compare_files(folders, truths, classes, chosen, name):
    paths = [folder / f"{name}.png" for folder in folders]
    return compare_masks(read_label(truths / f"{name}.png"), *(read_label(path) for path in paths), classes, chosen, paths)


def total_scores(compared, classes):
    """Scores of baseline and ours over all images; compared: {id: Comparison}; classes: the names."""
    total = sum(one.counts for one in compared.values())
    return tuple(Scores(tuple(classes), matrix, len(compared)) for matrix in total)


def choose(compared, count, seed=0):
    """{"improved", "random", "worst": at most `count` ids each} of {id: Comparison}, images without a score left out.

    Improved: the largest differences, all above 0, largest first; worst: those below 0, lowest first; equal ones by name.
    Random: whatever their difference, by name.
    """
    scored = sorted(name for name, one in compared.items() if not math.isnan(one.difference))
    improved = sorted((n for n in scored if compared[n].difference > 0), key=lambda n: (-compared[n].difference, n))
    worst = sorted((n for n in scored if compared[n].difference < 0), key=lambda n: (compared[n].difference, n))
    drawn = sorted(random.Random(seed).sample(scored, min(count, len(scored))))
    return {"improved": improved[:count], "random": drawn, "worst": worst[:count]}


def draw_comparison(dataset, baseline, ours, ids, compared):
    """Sheet of image, truth and both masks of some images, uint8 (height, width, 3)."""
    rows, titles, labels = [], [], []
    for name in ids:
        masks = [read_label(path) for path in (dataset.mask_path(name), *(Path(f) / f"{name}.png" for f in (baseline, ours)))]
        rows.append([read_image(dataset.image_path(name))] + [colour_label(mask) for mask in masks])
        labels += masks
        one = compared[name]
        titles.append(
            f"{name}: IoU {100 * one.baseline:.1f} % -> {100 * one.ours:.1f} % ({100 * one.difference:+.1f}); "
            + ", ".join(dataset.classes[index] for index in one.shown)
        )
    return sheet(rows, COLUMNS, titles, legend_of(labels, dataset.classes))


def as_csv(compared, classes):
    """A line an image, in the order given: id, class names joined by spaces, and fractions, empty where undefined."""
    lines = ["id,classes,baseline,ours,difference"]
    for name, one in compared.items():
        values = ["" if math.isnan(v) else f"{v:.6f}" for v in (one.baseline, one.ours, one.difference)]
        lines.append(",".join([name, " ".join(classes[index] for index in one.shown)] + values))
    return "\n".join(lines) + "\n"

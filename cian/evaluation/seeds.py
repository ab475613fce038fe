"""How good CAM and seeds are: CAM mIoU over thresholds, and a score of each image's seed to find the worst.

The curve is that of the field (IRN's evaluation of class activation): a pixel takes the class of its largest CAM where that
reaches the threshold, else it is background. It knows neither saliency nor unassigned pixels.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Tuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cian.base.files import replacing, write_text
from cian.base.parallel import map_parallel
from cian.data.cams import cam_path, load_cam, resize_maps
from cian.data.images import IGNORE, LABEL_ENDINGS, find_file, read_label
from cian.evaluation.metrics import Scores, confusion_matrix

THRESHOLDS = tuple(step / 50 for step in range(1, 50))  # 0.02, 0.04 .. 0.98
LINES = ("-", "--", ":", "-.")  # of the curves of classes 0-9, 10-19, ..., which have ten colours
ENTRIES = 24  # classes in a column of the legend
CHUNK = 8  # images whose counts a worker adds up before it sends them


@dataclass(frozen=True, eq=False)
class Curve:
    """Scores of the CAM of a list of images at each threshold, thresholds ascending."""

    thresholds: Tuple[float, ...]
    scores: Tuple[Scores, ...]

    def mean_iou(self, chosen=None):
        """Mean IoU over the chosen class names (default all) at each threshold, float64 (T,)."""
        return np.array([scores.mean_iou(chosen) for scores in self.scores])

    def best(self, chosen=None):
        """Index of the threshold of the largest mean IoU; the lowest of several."""
        return int(np.nanargmax(self.mean_iou(chosen)))


def measure_cams(cams, truths, ids, classes, thresholds=THRESHOLDS, workers=None, progress=None):
    """The Curve of CAMS/ID.npz against TRUTHS/ID.png over all ids; every pixel is counted exactly, each file read once.

    classes: the K names. thresholds: ascending, in [0, 1]. workers, progress: see `map_parallel`; progress counts images.
    FileNotFoundError or ValueError name a file that is missing, broken, or holds a class index beyond K - 1.
    """
    ids, levels = list(ids), np.asarray(thresholds, np.float32)  # float32, as make_seed compares
    if not ids or len(set(ids)) != len(ids):
        raise ValueError(f"ids: expected images, each once, found {len(ids)}, {len(set(ids))} of them different")
    if levels.ndim != 1 or not levels.size or not 0 <= levels[0] <= levels[-1] <= 1 or (np.diff(levels) <= 0).any():
        raise ValueError(f"thresholds: expected ascending numbers in [0, 1], found {list(thresholds)}")
    chunks = [ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)]
    count = functools.partial(_count_chunk, Path(cams), Path(truths), len(classes), levels)
    total = np.zeros((len(classes), len(levels) + 1, len(classes)), np.int64)
    for chunk, counts in zip(chunks, map_parallel(count, chunks, workers)):
        total += counts
        if progress is not None:
            progress(len(chunk))
    matrices = confusions(total)
    return Curve(tuple(thresholds), tuple(Scores(tuple(classes), matrix, len(ids)) for matrix in matrices))


def count_levels(cam_maps, class_ids, truth, classes, levels):
    """Count pixels by true class, level and strongest class: int64 (classes, T + 1, classes).

    cam_maps: (C, H, W); class_ids: (C,); truth: (H, W), 255 does not count; levels: (T,) ascending. Level n: the largest
    CAM reaches the first n thresholds and no more. An image without tags is at level 0 everywhere.
    """
    counted = truth != IGNORE
    shape = (classes, len(levels) + 1, classes)
    if len(class_ids):
        strongest = np.asarray(class_ids, np.int64)[cam_maps.argmax(axis=0)]  # (H, W); the first of equal ones
        reached = np.searchsorted(levels, cam_maps.max(axis=0), side="right")
    else:
        strongest = reached = np.zeros(truth.shape, np.int64)
    cells = np.ravel_multi_index((truth[counted].astype(np.int64), reached[counted], strongest[counted]), shape)
    return np.bincount(cells, minlength=int(np.prod(shape))).astype(np.int64).reshape(shape)


def confusions(counts):
    """Confusion matrices at each threshold, int64 (T, K, K + 1) with an empty column for unassigned, of level counts."""
    above = counts[:, ::-1].cumsum(axis=1)[:, ::-1]  # (K, T + 1, K): pixels at this level or higher
    above = above[:, 1:].transpose(1, 0, 2)  # (K, T, K) -> (T, K, K): those that reach each threshold
    below = counts.sum(axis=(1, 2)) - above.sum(axis=2)  # (T, K)
    matrices = np.concatenate([above, np.zeros_like(above[..., :1])], axis=2)
    matrices[..., 0] += below
    return matrices


def write_curve(stem, curve, chosen=None, mark=None, title=""):
    """Write STEM.csv (a line a threshold, fractions, empty where undefined) and STEM.png (the same drawn).

    chosen: class names of the mean and the columns, default all. mark: another threshold to draw, such as that of the seeds.
    """
    indices = curve.scores[0].indices(chosen)
    names = [curve.scores[0].classes[index] for index in indices]
    lines = [",".join(["threshold", "miou", "foreground_precision", "foreground_recall"] + names)]
    for threshold, scores in zip(curve.thresholds, curve.scores):
        foreground = scores.totals()["foreground"]
        values = [scores.mean_iou(chosen), foreground["precision"], foreground["recall"], *scores.iou[indices]]
        lines.append(",".join([f"{threshold:g}"] + ["" if np.isnan(value) else f"{value:.6f}" for value in values]))
    write_text(f"{stem}.csv", "\n".join(lines) + "\n")
    with replacing(f"{stem}.png") as temporary:
        _draw(curve, chosen, mark, title).print_png(str(temporary))


def _draw(curve, chosen, mark, title):
    """The curve as a canvas: IoU of each class thin, their mean thick, the best threshold marked; per cent."""
    first, thresholds = curve.scores[0], curve.thresholds
    iou = 100 * np.stack([scores.iou for scores in curve.scores])  # (T, K)
    shown = [index for index in first.indices(chosen) if not np.isnan(iou[:, index]).all()]
    columns = -(-len(shown) // ENTRIES)
    figure = Figure(figsize=(5.6 + 1.6 * columns, 4.6), dpi=130, constrained_layout=True)
    axes = figure.add_subplot()
    for number, index in enumerate(shown):
        style = dict(color=f"C{number % 10}", ls=LINES[number // 10 % len(LINES)])
        axes.plot(thresholds, iou[:, index], lw=1.1, alpha=0.8, label=first.classes[index], **style)
    mean, best = 100 * curve.mean_iou(chosen), curve.best(chosen)
    axes.plot(thresholds, mean, color="black", lw=2.6, label=f"mean of {len(shown)}")
    axes.axvline(thresholds[best], color="black", lw=1, ls=":")
    axes.plot(thresholds[best], mean[best], "ko", ms=9, label=f"best: {mean[best]:.1f} % at {thresholds[best]:g}")
    if mark is not None:
        axes.axvline(mark, color="grey", lw=1, ls="--", label=f"threshold of the seeds, {mark:g}")
    axes.set(xlabel="CAM threshold", ylabel="IoU, per cent", xlim=(0, 1), ylim=(0, 100), title=title)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, ncol=columns)
    return FigureCanvasAgg(figure)


class SeedScore(NamedTuple):
    """Scores of the seed of one image, fractions.

    iou: mean over the classes that its truth or its seed shows, unassigned pixels left out; a class of which no pixel is
    right counts 0, one of the truth without a seed too. precision: share of the assigned pixels that are right (NaN if
    none is). assigned: share of all pixels.
    """

    iou: float
    precision: float
    assigned: float


def score_seed(truth, seed, classes, name="seed"):
    """The SeedScore of labels (H, W), 255 unassigned, against the truth (H, W), 255 not counted; errors give `name`."""
    scores = Scores(tuple(range(classes)), confusion_matrix(truth, seed, classes, seeds=True, name=name), 1)
    shown = (scores.truth > 0) | (scores.predicted > 0)
    if not shown.any():
        return SeedScore(0.0, float("nan"), 0.0)
    assigned = int(scores.predicted.sum())
    precision = float(scores.right.sum() / assigned) if assigned else float("nan")
    return SeedScore(float(np.nan_to_num(scores.iou[shown]).mean()), precision, assigned / int(scores.truth.sum()))


def score_seeds(seeds, truths, ids, classes, workers=None, progress=None):
    """{id: SeedScore} of SEEDS/ID.png against TRUTHS/ID.png; classes: how many. Errors name the file."""
    score = functools.partial(_score_file, Path(seeds), Path(truths), classes)
    return dict(zip(ids, map_parallel(score, ids, workers, progress)))


def worst(scores, count):
    """The `count` ids of the lowest IoU in {id: SeedScore}, the lowest first, equal ones by name."""
    return sorted(scores, key=lambda name: (scores[name].iou, name))[:count]


def _score_file(seeds, truths, classes, name):
    path = seeds / f"{name}.png"
    return score_seed(read_label(find_file(truths, name, LABEL_ENDINGS)), read_label(path), classes, path)


def _count_chunk(cams, truths, classes, levels, ids):
    total = np.zeros((classes, len(levels) + 1, classes), np.int64)
    for name in ids:
        path, mask = cam_path(cams, name), find_file(truths, name, LABEL_ENDINGS)
        class_ids, maps = load_cam(path)
        truth = read_label(mask)
        if class_ids.size and class_ids.max() >= classes:
            raise ValueError(f"{path}: expected class ids 1..{classes - 1}, found {class_ids.tolist()}")
        foreign = np.setdiff1d(truth, np.append(np.arange(classes), IGNORE))
        if foreign.size:
            raise ValueError(f"{mask}: expected values 0..{classes - 1} or {IGNORE}, found {foreign.tolist()}")
        total += count_levels(resize_maps(maps, truth.shape), class_ids, truth, classes, levels)
    return total

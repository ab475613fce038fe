"""Segmentation and seed scores from exact confusion matrices; average precision over image tags.

IoU of a class = right / (truth + predicted - right), in pixels over all images together, as in the VOC devkit.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

import joblib
import numpy as np

from cian.data.images import IGNORE, LABEL_ENDINGS, find_file, read_label

CHUNK = 8  # images a worker takes at a time: starting a task costs less than reading one image


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of predictions over a list of images; NaN where a class has nothing to divide by.

    classes: K names. confusion: int64 (K, K + 1), rows truth, columns prediction, the last column = unassigned (255),
    which only seeds have. images: how many were counted.
    """

    classes: Tuple[str, ...]
    confusion: np.ndarray
    images: int

    @property
    def right(self):
        """Pixels of each class predicted as that class: int64 (K,)."""
        return np.diagonal(self.confusion)

    @property
    def unassigned(self):
        """Pixels of each true class that were left unassigned: int64 (K,)."""
        return self.confusion[:, -1]

    @property
    def truth(self):
        """Pixels of each true class, unassigned ones included: int64 (K,)."""
        return self.confusion.sum(axis=1)

    @property
    def predicted(self):
        """Pixels predicted as each class: int64 (K,)."""
        return self.confusion[:, :-1].sum(axis=0)

    @property
    def iou(self):
        """Intersection over union, float64 (K,), over assigned pixels; NaN for a class in neither truth nor prediction."""
        return _divide(self.right, self.truth - self.unassigned + self.predicted - self.right)

    @property
    def iou_unassigned_wrong(self):
        """As `iou`, but an unassigned pixel counts as a miss of its true class: float64 (K,)."""
        return _divide(self.right, self.truth + self.predicted - self.right)

    @property
    def precision(self):
        """Share of the pixels predicted as a class that are right: float64 (K,)."""
        return _divide(self.right, self.predicted)

    @property
    def recall(self):
        """Share of a class's true pixels that are right, unassigned ones counted as misses: float64 (K,)."""
        return _divide(self.right, self.truth)

    @property
    def coverage(self):
        """Share of a class's true pixels that got any label: float64 (K,)."""
        return _divide(self.truth - self.unassigned, self.truth)

    def mean_iou(self, chosen=None, unassigned_wrong=False):
        """Mean IoU over the chosen class names (default all) that occur; NaN if none does.

        unassigned_wrong: mean of `iou_unassigned_wrong` instead of `iou`.
        """
        values = (self.iou_unassigned_wrong if unassigned_wrong else self.iou)[self.indices(chosen)]
        values = values[~np.isnan(values)]
        return float(values.mean()) if len(values) else float("nan")

    def absent(self, chosen=None):
        """Names of the chosen classes that occur in neither truth nor prediction and so are left out of the mean."""
        return [self.classes[i] for i in self.indices(chosen) if np.isnan(self.iou[i])]

    def indices(self, chosen=None):
        """Class indices, int (n,), of the chosen names (default all); ValueError lists the names there are."""
        unknown = [name for name in chosen or () if name not in self.classes]
        if unknown:
            raise ValueError(f"classes: no class named {', '.join(unknown)}; there are {', '.join(self.classes)}")
        return np.array([self.classes.index(name) for name in chosen or self.classes], int)

    def totals(self):
        """Precision, recall and coverage of background (class 0) and of all foreground pixels together: dict of dicts.

        A foreground pixel is right when it has the right class, not merely some foreground class.
        """
        parts = {}
        for name, part in (("background", slice(0, 1)), ("foreground", slice(1, None))):
            right, truth, predicted = self.right[part].sum(), self.truth[part].sum(), self.predicted[part].sum()
            parts[name] = {
                "precision": float(_divide(right, predicted)),
                "recall": float(_divide(right, truth)),
                "coverage": float(_divide(truth - self.unassigned[part].sum(), truth)),
            }
        return parts


def _divide(numerator, denominator):
    """Float64 quotient, NaN where the denominator is 0."""
    numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def confusion_matrix(truth, prediction, classes, seeds=False, name="prediction"):
    """Count pixels: int64 (classes, classes + 1), rows truth, columns prediction, last column unassigned.

    truth, prediction: integer (H, W); pixels whose truth is 255 do not count. seeds: allow 255 in the prediction and
    count it as unassigned; otherwise 255, like any value beyond the classes, is a ValueError that gives `name`.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape:
        raise ValueError(f"{name}: expected the truth's shape {truth.shape}, found {prediction.shape}")
    for what, array, ignore in (("truth of " + str(name), truth, True), (name, prediction, seeds)):
        wrong = (array < 0) | (array >= classes)
        if ignore:
            wrong &= array != IGNORE
        if wrong.any():
            raise ValueError(
                f"{what}: expected values 0..{classes - 1}{' or 255' if ignore else ''}, "
                f"found {np.unique(array[wrong])[:10].tolist()}"
            )
    counts = truth != IGNORE
    columns = np.where(prediction == IGNORE, classes, prediction) if seeds else prediction
    cells = truth[counts].astype(np.int64) * (classes + 1) + columns[counts]
    return np.bincount(cells, minlength=classes * (classes + 1)).astype(np.int64).reshape(classes, classes + 1)


def evaluate_folder(predictions, truths, ids, classes, workers=None, progress=None, seeds=False):
    """Compare PREDICTIONS/ID.png with TRUTHS/ID.png for every id, in parallel processes; returns `Scores`.

    classes: the K names. workers: processes (default: every processor this process may use; 1 = no other process).
    progress: called with the number of images just counted, for instance tqdm's `update`. seeds: see `confusion_matrix`.
    A file that is missing, unreadable, of another size or with illegal values is a FileNotFoundError or ValueError that
    names it; an empty list, or an id twice in it, is a ValueError.
    """
    ids = list(ids)
    if not ids:
        raise ValueError("ids: expected at least one image, found none")
    if len(set(ids)) != len(ids):
        raise ValueError(
            f"ids: expected each image once, found {sorted({i for i in ids if ids.count(i) > 1})[:5]} repeated"
        )
    chunks = [ids[i : i + CHUNK] for i in range(0, len(ids), CHUNK)]
    workers = min(workers or joblib.cpu_count(), len(chunks))
    parallel = joblib.Parallel(n_jobs=workers, return_as="generator")
    total = np.zeros((len(classes), len(classes) + 1), np.int64)
    work = (
        joblib.delayed(_count_chunk)(Path(predictions), Path(truths), chunk, len(classes), seeds) for chunk in chunks
    )
    for chunk, counts in zip(chunks, parallel(work)):
        total += counts
        if progress is not None:
            progress(len(chunk))
    return Scores(tuple(classes), total, len(ids))


def _count_chunk(predictions, truths, ids, classes, seeds):
    total = np.zeros((classes, classes + 1), np.int64)
    for name in ids:
        path = predictions / (name + ".png")
        truth = read_label(find_file(truths, name, LABEL_ENDINGS))
        total += confusion_matrix(truth, read_label(path), classes, seeds, name=path)
    return total


def average_precision(scores, tags):
    """Area under the precision envelope over recall (VOC 2010 and later); NaN without a positive image.

    scores: float (N,), higher = more likely. tags: bool (N,). Images of equal score enter together, so their order
    does not matter.
    """
    scores, tags = np.asarray(scores, np.float64), np.asarray(tags).astype(bool)
    if scores.ndim != 1 or scores.shape != tags.shape:
        raise ValueError(f"scores and tags: expected one shape (N,), found {scores.shape} and {tags.shape}")
    if np.isnan(scores).any():
        raise ValueError("scores: expected numbers, found NaN")
    if not tags.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # last image of each group of equal scores
    hits = np.cumsum(tags[order])[last]
    precision, recall = hits / (last + 1), hits / hits[-1]
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def mean_average_precision(scores, tags):
    """Mean over classes of `average_precision`, and the values per class, float64 (C,), NaN for classes without positives.

    scores: float (N, C). tags: bool (N, C).
    """
    scores, tags = np.asarray(scores), np.asarray(tags)
    if scores.ndim != 2 or scores.shape != tags.shape:
        raise ValueError(f"scores and tags: expected one shape (N, C), found {scores.shape} and {tags.shape}")
    values = np.array([average_precision(scores[:, c], tags[:, c]) for c in range(scores.shape[1])])
    return (float(np.nanmean(values)) if (~np.isnan(values)).any() else float("nan")), values


def percent(value):
    """A fraction as text: `12.3`, `-` for NaN."""
    return "-" if math.isnan(value) else f"{100 * value:.1f}"

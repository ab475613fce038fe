"""Do COMNet's co-occurrence masks find the common object? IoU, recall and the sign, measured on the ground truth."""

from typing import NamedTuple, Tuple

import cv2
import numpy as np

from cian.data.images import IGNORE
from cian.evaluation.metrics import percent


class MaskScore(NamedTuple):
    """How M finds the common classes of a group, fractions of labelled pixels over all its images.

    positive, negative: IoU of the common classes' pixels with the pixels where M > 0, and M < 0: the sign of M is right where
    the first is larger. recall: share of the common classes' pixels where M > 0; false: the same share of all other pixels.
    """

    positive: float
    negative: float
    recall: float
    false: float


def enlarge(values, size):
    """A map (h, w) as float32 (H, W), size = (H, W), bilinearly."""
    return cv2.resize(np.asarray(values, np.float32), tuple(size)[::-1], interpolation=cv2.INTER_LINEAR)


def score_masks(masks, labels, class_ids):
    """The MaskScore of the masks (h, w) of a group's images, whose true labels are (H, W); NaN where nothing is to count."""
    counts = np.zeros((3, 2), np.int64)  # M > 0, M < 0, neither; of another class, of a common one
    for mask, label in zip(masks, labels):
        large, counted = enlarge(mask, label.shape), label != IGNORE
        common = np.isin(label, class_ids)
        for row, side in enumerate((large > 0, large < 0, large == 0)):
            counts[row] += [np.count_nonzero(side & counted & ~common), np.count_nonzero(side & counted & common)]
    other, common = counts.sum(axis=0)
    with np.errstate(invalid="ignore"):
        ious = counts[:2, 1].astype(float) / (counts[:2, 0] + common)
        return MaskScore(ious[0], ious[1], np.float64(counts[0, 1]) / common, np.float64(counts[0, 0]) / other)


def common_classes(tags: Tuple[Tuple[int, ...], ...]):
    """Class indices that all images of a group have, or, where three or more share them only in pairs, that any has; sorted."""
    sets = [set(one) for one in tags]
    return sorted(set.intersection(*sets) or set.union(*sets))


def title_of(group, class_ids, score, classes):
    """Ids and common classes of a group, and how good its mask is (MaskScore, or None)."""
    text = f"{', '.join(group)}: {', '.join(classes[index] for index in class_ids)}"
    if score is None:
        return text
    return text + f"; M > 0 has IoU {percent(score.positive)}, M < 0 {percent(score.negative)}"


def masks_csv(scored, classes):
    """A line for each of {ids: (common classes, MaskScore)}; fractions, empty where undefined."""
    lines = ["group,classes,iou_positive,iou_negative,recall,false"]
    for group, (class_ids, score) in scored.items():
        values = ["" if np.isnan(value) else f"{value:.6f}" for value in score]
        lines.append(",".join([" ".join(group), " ".join(classes[index] for index in class_ids), *values]))
    return "\n".join(lines) + "\n"


def describe_masks(scores):
    """Means of MaskScores, and how often the sign of M is right, as text."""
    means = [percent(float(np.nanmean(values))) for values in zip(*scores)]
    right = sum(score.positive >= score.negative for score in scores)
    return (
        f"{len(scores)} groups, means in per cent: IoU of M > 0 with the common classes {means[0]}, of M < 0 {means[1]}; M > 0 "
        f"covers {means[2]} of their pixels and {means[3]} of all others; its sign is right in {right} groups"
    )

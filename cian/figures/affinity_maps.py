"""Does the affinity find the same class? Measures of what query pixels look at in a reference (CIAN paper, Eq. 1-4, Fig. 3).

The paper only shows pictures. The number behind them, measured here on the ground truth: how much of the affinity of the pixels
of a class falls on pixels of that class, beside the share of the reference that this class covers, which is what an affinity
that knows nothing would give; and beside what pixels of other classes send there, which an affinity that only prefers salient
places would give too.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cian.data.images import IGNORE
from cian.evaluation.metrics import confusion_matrix

PREDICTIONS = ("raw", "self", "cross")  # of x alone, of x + self residual, of x + cross residual
QUERY_STEP, KEY_STEP = 8, 16  # image pixels between neighbouring queries (features), and keys (pooled features)


@dataclass(frozen=True, eq=False)
class PairMaps:
    """What the affinity module does with one query and one reference, float32 arrays of an AffinityProbe.

    features, self_residual, cross_residual: (C, h, w). own, cross: affinity of each query pixel to the keys of its own image,
    (h, w, p, q), and of the reference, (h, w, p', q'); those of one query pixel sum to 1. Logits raw, self, cross: (K, h, w).
    """

    features: np.ndarray
    own: np.ndarray
    cross: np.ndarray
    self_residual: np.ndarray
    cross_residual: np.ndarray
    raw_logits: np.ndarray
    self_logits: np.ndarray
    cross_logits: np.ndarray

    def logits(self, kind):
        """Logits (K, h, w) of one of PREDICTIONS."""
        return {"raw": self.raw_logits, "self": self.self_logits, "cross": self.cross_logits}[kind]

    def probability(self, kind, class_id):
        """Probability of a class (h, w): softmax over the classes of the logits of one of PREDICTIONS."""
        logits = self.logits(kind).astype(np.float64)
        powers = np.exp(logits - logits.max(axis=0))
        return powers[class_id] / powers.sum(axis=0)


class Focus(NamedTuple):
    """Where the affinity of the query's pixels of one class goes, fractions; means over these pixels.

    pixels: how many. share: of the reference's keys that are of the class. mass: of the affinity that falls on them; others:
    the same for the query's pixels of other classes (NaN without any). hits: pixels whose strongest key is of the class.
    spread: exp(entropy) of the affinity over the number of keys, 1 = even, 1/keys = a single key. own_share, own_mass: share
    and mass where the query is its own reference. Unlabelled keys do not count.
    """

    class_id: int
    pixels: int
    share: float
    mass: float
    others: float
    hits: float
    spread: float
    own_share: float
    own_mass: float


def grid_label(label, step, sides):
    """The label (H, W) at every `step`-th pixel, uint8 of shape `sides`; 255 for points in the padding."""
    sampled = np.full(sides, IGNORE, np.uint8)
    points = np.asarray(label)[::step, ::step][: sides[0], : sides[1]]
    sampled[: points.shape[0], : points.shape[1]] = points
    return sampled


def measure_focus(maps, query_label, reference_label):
    """A Focus for each class that both labels (H, W), 255 unlabelled, show at the resolution of queries and keys."""
    queries = grid_label(query_label, QUERY_STEP, maps.cross.shape[:2]).ravel()
    keys = grid_label(reference_label, KEY_STEP, maps.cross.shape[2:]).ravel()
    own_keys = grid_label(query_label, KEY_STEP, maps.own.shape[2:]).ravel()
    cross, own = (w.reshape(len(queries), -1).astype(np.float64) for w in (maps.cross, maps.own))
    spread = np.exp(-(cross * np.log(np.maximum(cross, 1e-300))).sum(axis=1)) / cross.shape[1]
    found = []
    for class_id in sorted(set(queries.tolist()) & set(keys.tolist()) - {IGNORE}):
        same = queries == class_id
        share, mass, hits = _falls_on(cross, keys, class_id)
        own_share, own_mass, _ = _falls_on(own, own_keys, class_id)
        others = ~same & (queries != IGNORE)
        numbers = (share, mean_of(mass[same]), mean_of(mass[others]), mean_of(hits[same]), mean_of(spread[same]))
        found.append(Focus(class_id, int(same.sum()), *numbers, own_share, mean_of(own_mass[same])))
    return found


def _falls_on(weights, keys, class_id):
    """Share of the labelled keys that are of a class; for each query the mass on them and whether its strongest is one.

    weights (queries, keys), keys (keys,) class indices. NaN for a query that gives labelled keys nothing.
    """
    labelled = keys != IGNORE
    kept, hit = weights[:, labelled], keys[labelled] == class_id
    total = kept.sum(axis=1)
    mass = np.divide(kept[:, hit].sum(axis=1), total, out=np.full(len(total), np.nan), where=total > 0)
    strongest = hit[kept.argmax(axis=1)].astype(np.float64) if hit.size else np.full(len(total), np.nan)
    return float(hit.mean()) if hit.size else math.nan, mass, np.where(total > 0, strongest, np.nan)


def mean_of(values):
    """Mean of the numbers (n,) that are not NaN; NaN if none is."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else math.nan


def strengths(maps):
    """How strong the residuals are: mean over the query's pixels of norms over the channels, as {name: fraction}.

    residual: |cross residual| / |x|. difference: |cross residual - self residual| / |self residual|, NaN where that is 0.
    """

    def norm(values):
        return np.sqrt((values.astype(np.float64) ** 2).sum(axis=0))

    own, x = norm(maps.self_residual), norm(maps.features)
    apart = norm(maps.cross_residual - maps.self_residual)
    return {
        "residual": mean_of(_ratio(norm(maps.cross_residual), x)),
        "difference": mean_of(_ratio(apart, own)),
    }


def _ratio(numerator, denominator):
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def measure_pair(maps, query_label, reference_label, classes):
    """All measures of one query and its reference as plain JSON values, None for NaN: affinity_summary.py sums them up.

    classes: how many. "confusions" counts the query's pixels at stride 8 for each of PREDICTIONS.
    """
    truth = grid_label(query_label, QUERY_STEP, maps.cross.shape[:2])
    counts = {kind: confusion_matrix(truth, maps.logits(kind).argmax(axis=0), classes) for kind in PREDICTIONS}
    return {
        "focus": [without_nan(entry._asdict()) for entry in measure_focus(maps, query_label, reference_label)],
        "strengths": without_nan(strengths(maps)),
        "confusions": {kind: matrix.tolist() for kind, matrix in counts.items()},
    }


def without_nan(values):
    """A dictionary with None for NaN, which JSON does not have."""
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in values.items()}

"""How well saliency tells background from foreground: precision and coverage at each threshold, F measure of the foreground."""

import functools
import time
from typing import NamedTuple

import numpy as np

from cian.base.files import write_text
from cian.base.parallel import map_parallel
from cian.data.images import IGNORE, read_image, read_label
from cian.seeds.saliency import METHODS, read_saliency, saliency
from cian.seeds.seeds import SALIENCY_THRESHOLD

LEVELS = 256  # saliency is stored with 8 bits
BETA2 = 0.3  # weight of the F measure, as usual in work on saliency: precision counts more


class SaliencyScores(NamedTuple):
    """Scores at thresholds 0, 0.01 .. 1, float64 (101,) each, and the best F measure.

    precision: share of the pixels at or below the threshold that are background (NaN if there is none); coverage: share of
    the background's pixels at or below it. max_f, at: the largest F measure (beta^2 = 0.3) of "foreground above the
    threshold", over all 256 levels, and its threshold.
    """

    thresholds: np.ndarray
    precision: np.ndarray
    coverage: np.ndarray
    max_f: float
    at: float


def histogram(values, truth):
    """Count pixels, int64 (2, 256): rows background and foreground, columns saliency in 8 bits, as it is stored.

    values: float (H, W) in [0, 1]; truth: (H, W) class indices, 255 does not count.
    """
    levels = np.rint(255 * np.asarray(values, np.float64)).astype(np.int64)
    parts = (truth == 0, (truth != 0) & (truth != IGNORE))
    return np.stack([np.bincount(levels[part], minlength=LEVELS) for part in parts]).astype(np.int64)


def scores(counts):
    """The SaliencyScores of a histogram (2, 256)."""
    thresholds = np.arange(101) / 100
    stored = np.arange(LEVELS, dtype=np.float32) / 255
    claimed = np.searchsorted(stored, thresholds.astype(np.float32), side="right")  # how many levels are <= threshold
    background, foreground = np.concatenate([np.zeros((2, 1), np.int64), counts.cumsum(axis=1)], axis=1)  # (257,) each
    below = background[claimed]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = below / (below + foreground[claimed])
        coverage = below / background[-1]
        right = foreground[-1] - foreground[1:]  # above each level
        wrong = background[-1] - background[1:]
        f = (1 + BETA2) * right / (right + wrong + BETA2 * foreground[-1])
    best = int(np.argmax(np.nan_to_num(f)))
    return SaliencyScores(thresholds, precision, coverage, float(f[best]), float(stored[best]))


def write_scores(path, scored):
    """Write {name: SaliencyScores} as CSV: a line a threshold, per name the background's precision and coverage, fractions."""
    lines = [",".join(["threshold"] + [f"{name} {what}" for name in scored for what in ("precision", "coverage")])]
    columns = [column for found in scored.values() for column in (found.precision, found.coverage)]
    for threshold, values in zip(np.arange(101) / 100, np.stack(columns, axis=1)):
        lines.append(",".join([f"{threshold:g}"] + ["" if np.isnan(value) else f"{value:.6f}" for value in values]))
    write_text(path, "\n".join(lines) + "\n")


def measure(dataset, ids, methods, maps=None, workers=None, progress=None):
    """{name: (histogram int64 (2, 256) over all ids, processor seconds an image)} of embedded methods, and of maps.

    methods: names of cian.seeds.saliency.METHODS. maps: {id: path of a grey map}, measured under the name "maps".
    workers, progress: see `map_parallel`. FileNotFoundError or ValueError name a bad file.
    """
    names = list(methods) + (["maps"] if maps else [])
    totals = {name: np.zeros((2, LEVELS), np.int64) for name in names}
    seconds = dict.fromkeys(names, 0.0)
    items = [(image_id, maps[image_id] if maps else None) for image_id in ids]
    for found in map_parallel(functools.partial(_measure_image, dataset, tuple(methods)), items, workers, progress):
        for name, (counts, took) in found.items():
            totals[name] += counts
            seconds[name] += took / len(items)
    return {name: (totals[name], seconds[name]) for name in names}


def _measure_image(dataset, methods, item):
    image_id, map_path = item
    image, mask = read_image(dataset.image_path(image_id)), dataset.mask_path(image_id)
    truth = read_label(mask)
    if truth.shape != image.shape[:2]:
        raise ValueError(f"{mask}: expected the size of its image, {image.shape[:2]} (H, W), found {truth.shape}")
    readers = {name: functools.partial(saliency, image, name) for name in methods}
    if map_path is not None:
        readers["maps"] = functools.partial(read_saliency, map_path, image.shape[:2])
    found = {}
    for name, read in readers.items():
        began = time.process_time()
        found[name] = histogram(read(), truth), time.process_time() - began
    return found


def at_own_thresholds(measured):
    """What `measure` found, as plain JSON values, fractions and None for NaN: {name: {"threshold", "precision", "coverage",
    "max_f", "max_f_at", "seconds_per_image"}}, precision and coverage at the threshold of the method, or that for maps.
    """
    found = {}
    for name, (counts, seconds) in measured.items():
        scored = scores(counts)
        threshold = METHODS[name].background if name in METHODS else SALIENCY_THRESHOLD
        own = int(round(100 * threshold))
        values = {"threshold": threshold, "precision": scored.precision[own], "coverage": scored.coverage[own],
                  "max_f": scored.max_f, "max_f_at": scored.at, "seconds_per_image": seconds}  # fmt: skip
        found[name] = {key: None if np.isnan(value) else float(value) for key, value in values.items()}
    return found


def quality_table(result):
    """Markdown of {"images": number, "methods": at_own_thresholds}: each method at its own threshold, in per cent."""
    lines = ["| method | threshold | background precision | coverage | max F | at | s an image |", "|---|" + "---:|" * 6]
    for name, found in result["methods"].items():
        percent = ["" if found[key] is None else f"{100 * found[key]:.1f}" for key in ("precision", "coverage", "max_f")]
        ends = [f"{found['max_f_at'] or 0:.2f}", f"{found['seconds_per_image']:.2f}"]
        lines.append("| " + " | ".join([name, f"{found['threshold']:g}", *percent, *ends]) + " |")
    return f"{result['images']} images\n" + "\n".join(lines)

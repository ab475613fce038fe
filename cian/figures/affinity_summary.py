"""What many pairs of images say about the affinity: means of `affinity_maps.measure_pair`, as CSV, for JSON, as text."""

import math
from typing import Dict, List, NamedTuple

import numpy as np

from cian.evaluation.metrics import Scores, percent
from cian.figures.affinity_maps import PREDICTIONS, Focus, mean_of, without_nan

MEANS = ("share", "mass", "others", "hits", "spread", "own_share", "own_mass")  # fields of Focus


class Summary(NamedTuple):
    """Means over queries and references of one class, or of all foreground classes, fractions, NaN where undefined.

    pairs: how many Focus entries, each with the same weight; pixels: their query pixels. gain: mean mass / mean share. error:
    standard error of mass - share. own_gain: the gain of the self affinity. The others are means of the fields of Focus.
    """

    name: str
    pairs: int
    pixels: int
    share: float
    mass: float
    gain: float
    error: float
    others: float
    hits: float
    spread: float
    own_share: float
    own_mass: float
    own_gain: float


class Statistics(NamedTuple):
    """All that a list of measure_pair results says: Summaries, mean_strengths, and {prediction: mIoU at stride 8, fraction}."""

    summaries: List[Summary]
    strengths: Dict[str, float]
    miou: Dict[str, float]


def statistics(measured, classes, chosen=None):
    """Statistics of a list of measure_pair results. classes: all names; chosen: those that count, default all."""
    miou = {kind: one.mean_iou(chosen) for kind, one in scores_of(measured, classes).items()}
    return Statistics(summarise(measured, classes, chosen), mean_strengths(measured), miou)


def summarise(measured, classes, chosen=None):
    """Summaries of a list of measure_pair results: foreground first, then every class that occurs, in order.

    classes: all names; chosen: those that count, default all.
    """
    counted = {index for index, name in enumerate(classes) if chosen is None or name in chosen}
    entries = [entry for pair in measured for entry in pair["focus"] if entry["class_id"] in counted]
    parts = [("all foreground", [entry for entry in entries if entry["class_id"] > 0])]
    for index, name in enumerate(classes):
        parts.append((name, [entry for entry in entries if entry["class_id"] == index]))
    return [_summary(name, part) for name, part in parts if part]


def _summary(name, entries):
    columns = {key: _numbers(entry[key] for entry in entries) for key in Focus._fields}
    means = {key: mean_of(columns[key]) for key in MEANS}
    above = columns["mass"] - columns["share"]
    above = above[~np.isnan(above)]
    error = float(above.std(ddof=1) / math.sqrt(len(above))) if len(above) > 1 else math.nan
    gains = {"gain": _gain(means["mass"], means["share"]), "own_gain": _gain(means["own_mass"], means["own_share"])}
    return Summary(name, len(entries), int(columns["pixels"].sum()), error=error, **means, **gains)


def _numbers(values):
    return np.array([math.nan if value is None else value for value in values])


def _gain(mass, share):
    return mass / share if share > 0 else math.nan


def mean_strengths(measured):
    """{"residual", "difference": mean} of the strengths of a list of measure_pair results, NaN where undefined."""
    return {key: mean_of(_numbers(pair["strengths"][key] for pair in measured)) for key in measured[0]["strengths"]}


def scores_of(measured, classes):
    """{prediction: Scores} of a list of measure_pair results, at stride 8; classes: the names."""
    return {
        kind: Scores(tuple(classes), sum(np.array(pair["confusions"][kind], np.int64) for pair in measured), len(measured))
        for kind in PREDICTIONS
    }


def as_csv(summaries):
    """The summaries as CSV text, a line each, fractions, empty where undefined."""
    lines = [",".join(("class",) + Summary._fields[1:])]
    for summary in summaries:
        lines.append(",".join(_cell(value, "{:.6f}", "") for value in summary))
    return "\n".join(lines) + "\n"


def as_values(found):
    """Statistics as plain JSON values: fractions, None for NaN."""
    return {
        "classes": [without_nan(summary._asdict()) for summary in found.summaries],
        "strengths": without_nan(found.strengths),
        "miou_at_stride_8": without_nan(found.miou),
    }


def describe(found):
    """Statistics for people, lines of text: the table, and the other numbers in per cent."""
    lines = [
        as_table(found.summaries),
        "norm of the cross residual, per cent of that of x: " + percent(found.strengths["residual"]),
        "difference of cross and self residual, per cent of the self residual: " + percent(found.strengths["difference"]),
        "mIoU at stride 8: " + ", ".join(f"{kind} {percent(value)}" for kind, value in found.miou.items()),
    ]
    return "\n".join(lines)


def as_table(summaries):
    """The summaries for people: per cent, gains as factors, `-` where undefined."""
    heads = ("class", "pairs", "share", "mass", "+-", "gain", "others", "hits", "spread", "self: share", "mass", "gain")
    lines = [heads[0].ljust(16) + "".join(head.rjust(13 if ":" in head else 8) for head in heads[1:])]
    for one in summaries:
        cells = [str(one.pairs)] + [percent(value) for value in (one.share, one.mass, one.error)]
        cells += [_cell(one.gain, "{:.2f}", "-")]
        cells += [percent(one.others), percent(one.hits), _cell(100 * one.spread, "{:.2f}", "-")]
        cells += [percent(one.own_share), percent(one.own_mass)]
        cells += [_cell(one.own_gain, "{:.2f}", "-")]
        row = [cell.rjust(13 if ":" in head else 8) for head, cell in zip(heads[1:], cells)]
        lines.append(one.name.ljust(16) + "".join(row))
    return "\n".join(lines)


def _cell(value, style, missing):
    if not isinstance(value, float):
        return str(value)
    return missing if math.isnan(value) else style.format(value)

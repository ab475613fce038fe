"""The loss terms that a training wrote to log.jsonl, as curves over epochs."""

import json
from pathlib import Path

import numpy as np

OTHERS = ("epoch", "step", "lr", "loss", "seconds")  # keys that are no loss terms


def read_log(path):
    """(epochs, {term: values}), float64 (steps,) each, of a run's log.jsonl; epochs count from 0, with their fractions.

    Half a line at the end, of a training that is running or was killed, does not count. ValueError names file and line of
    anything else that is no step, or has other terms than the first.
    """
    lines, steps, terms = Path(path).read_text(encoding="utf-8").split("\n"), [], None
    for number, line in enumerate(lines, 1):
        if number == len(lines):
            continue  # what follows the last line break: nothing, or half a line
        try:
            values = json.loads(line)
            found = {name: float(value) for name, value in values.items() if name not in OTHERS}
            place = int(values["epoch"]), int(values["step"])
        except (ValueError, TypeError, KeyError, AttributeError):
            raise ValueError(
                f"{path}, line {number}: {line[:80]!r}, expected a JSON object with epoch, step and losses"
            ) from None
        terms = terms or list(found)
        if sorted(found) != sorted(terms):
            raise ValueError(f"{path}, line {number}: loss terms {list(found)}, expected {terms} as in the lines before")
        steps.append((*place, found))
    if not steps:
        raise ValueError(f"{path}: no step of a training there")
    count = 1 + max(step for _, step, _ in steps)
    epochs = np.array([epoch + (step + 1) / count for epoch, step, _ in steps])
    return epochs, {term: np.array([found[term] for _, _, found in steps]) for term in terms}


def smooth(values, share=0.1):
    """Mean of each value (steps,) and its neighbours in a window of `share` of all; of those there are, at the ends."""
    values = np.asarray(values, np.float64)
    half = int(len(values) * share / 2)
    total = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    first, last = np.maximum(places - half, 0), np.minimum(places + half + 1, len(values))
    return (total[last] - total[first]) / (last - first)

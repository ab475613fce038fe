"""The loss terms that a training wrote to log.jsonl, as curves over epochs, and those curves as data beside the measurements.

A log has a line a step and lies in the run folder, which is not kept for ever; FOLDER/curves.jsonl has a line a run with at
most POINTS points a term, so that a report can be made from committed files alone.
"""

import json
from pathlib import Path

import numpy as np

from cian.base.files import read_text, write_text
from cian.base.locks import locked

CURVES = "curves.jsonl"
POINTS = 100  # of a stored curve
OTHERS = ("epoch", "step", "lr", "loss", "seconds")  # keys of a step that are no loss terms
VALIDATION = "val_miou"  # of an epoch's line, a fraction


def read_log(path):
    """{term: (epochs, values)}, float64 (steps,) each, of a run's log.jsonl; epochs count from 0, with their fractions.

    Lines of an epoch with val_miou, where there are any, are a term of their own, in per cent, at the epoch's end. Half a line
    at the end, of a training that is running or was killed, does not count. ValueError names file and line of anything else
    that is no step, or has other terms than the first.
    """
    lines, steps, validated, terms = read_text(path).split("\n"), [], [], None
    for number, line in enumerate(lines, 1):
        if number == len(lines):
            continue  # what follows the last line break: nothing, or half a line
        try:
            values = json.loads(line)
            if "step" not in values and VALIDATION in values:
                validated.append((int(values["epoch"]) + 1, 100 * float(values[VALIDATION])))
                continue
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
    curves = {term: (epochs, np.array([found[term] for _, _, found in steps])) for term in terms}
    return {**curves, **({VALIDATION: tuple(np.array(validated, np.float64).T)} if validated else {})}


def read_validated(path):
    """{epoch: mean IoU, a fraction} of the lines of a log.jsonl that say it; {} where there is no log."""
    found = {}
    for line in Path(path).read_text(encoding="utf-8").splitlines() if Path(path).is_file() else ():
        values = json.loads(line) if VALIDATION in line else {}
        if "step" not in values and VALIDATION in values:
            found[int(values["epoch"])] = float(values[VALIDATION])
    return found


def smooth(values, share=0.1):
    """Mean of each value (steps,) and its neighbours in a window of `share` of all; of those there are, at the ends."""
    values = np.asarray(values, np.float64)
    half = int(len(values) * share / 2)
    total = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    first, last = np.maximum(places - half, 0), np.minimum(places + half + 1, len(values))
    return (total[last] - total[first]) / (last - first)


def thin(curves, points=POINTS):
    """The curves of read_log smoothed (but for val_miou) and with evenly spaced points, as rounded lists: what is stored."""
    found = {}
    for term, (epochs, values) in curves.items():
        values = np.asarray(values) if term == VALIDATION else smooth(values)
        chosen = np.unique(np.linspace(0, len(values) - 1, min(points, len(values))).round().astype(int))
        found[term] = [[round(float(epochs[i]), 4) for i in chosen], [float(f"{values[i]:.4g}") for i in chosen]]
    return found


def keep_curves(folder, names, runs):
    """Put the curves of those of some runs whose log lies under the folder `runs` into FOLDER/curves.jsonl."""
    logs = {name: Path(runs) / Path(name).name / "log.jsonl" for name in names}
    made = {name: thin(read_log(path)) for name, path in logs.items() if path.is_file()}
    with locked(Path(folder), lambda: None):
        before = read_curves(folder)
        after = {**before, **made}
        if after != before:
            lines = (json.dumps({"run": name, "curves": after[name]}) for name in sorted(after))
            write_text(Path(folder) / CURVES, "".join(line + "\n" for line in lines))


def read_curves(folder):
    """{run: {term: [epochs, values]}} of FOLDER/curves.jsonl, {} without it; ValueError names file and line of a fault."""
    path, found = Path(folder) / CURVES, {}
    if not path.is_file():
        return found
    for number, line in enumerate(read_text(path).splitlines(), 1):
        try:
            values = json.loads(line)
            for epochs, points in values["curves"].values():
                if len(epochs) != len(points) or not epochs or not np.isfinite(np.array([epochs, points], np.float64)).all():
                    raise ValueError("not finite, or not as many")
            found[values["run"]] = values["curves"]
        except (ValueError, TypeError, KeyError, AttributeError):
            text = f"{path}, line {number}: {line[:80]!r}, expected run and curves of as many epochs as values"
            raise ValueError(text) from None
    return found

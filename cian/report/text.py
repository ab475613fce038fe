"""How a report writes numbers, and the numbering of their sources."""

import json

from cian.report.blocks import Source
from cian.report.numbers import seed_text

DIGITS = {"%": 2, "M": 3, "G": 2, "s": 3}  # after the point, of what was measured
PAPER_DIGITS = {"%": 1, "M": 1, "G": 1, "s": 2}
CLASS_DIGITS = 1  # of the table of classes, which is wide enough
RELATIVE = ("M", "G", "s")  # units whose differences are also given in per cent of the paper's number


def rounded(value, digits):
    """A number with so many digits after the point and a real minus sign; empty for None; never -0."""
    if value is None:
        return ""
    text = f"{value:.{digits}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def signed(value, digits):
    """As `rounded`, with + before what is above 0."""
    text = rounded(value, digits)
    return f"+{text}" if text and not text.startswith("−") and float(text) else text


def paper_text(value, unit):
    """A published number, with the digits it was published with."""
    return rounded(value, PAPER_DIGITS.get(unit, 2))


def spread_text(spread, unit, digits=None, sign=False):
    """`mean ± standard deviation`, without the latter for one value; empty for None."""
    if spread is None:
        return ""
    digits = DIGITS.get(unit, 3) if digits is None else digits
    mean = (signed if sign else rounded)(spread.mean, digits)
    return mean if spread.sd is None else f"{mean} ± {rounded(spread.sd, digits)}"


def difference_text(measured, paper, unit):
    """measured - paper with its sign, for some units also in per cent of the paper's; empty where one is None."""
    if measured is None or paper is None:
        return ""
    text = signed(measured - paper, DIGITS.get(unit, 3))
    return f"{text} ({signed(100 * (measured - paper) / paper, 2)} %)" if unit in RELATIVE and paper else text


def count_text(sample):
    """Number of seeds of a sample; a dash where nothing is random."""
    seeds = sum(len(found.seeds) for found in sample.measurements)
    return str(seeds) if seeds else "–"


def tip_text(sample):
    """What stands behind a number: each seed with its value and run."""
    return "; ".join(f"{seed_text(m.seeds)}: {m.value:.6g} {m.unit}, run {m.run}" for m in sample.measurements)


class SourceList:
    """Numbers the sources of measurements in the order in which they are first asked for."""

    def __init__(self):
        self._found, self._counted = {}, {}

    def of(self, *samples):
        """The ascending numbers, from 1, of the sources of some samples."""
        numbers = set()
        for sample in samples:
            for found in sample.measurements:
                settings = json.dumps(found.settings, sort_keys=True)
                key = found.run, found.seeds, found.commit, found.fingerprint, settings
                numbers.add(self._found.setdefault(key, len(self._found) + 1))
                self._counted.setdefault(key, set()).add(found.cell)
        return tuple(sorted(numbers))

    def entries(self):
        """The Sources asked for so far, in order."""
        return tuple(
            Source(run, seeds, commit, fingerprint, json.loads(settings), len(self._counted[key]))
            for key in self._found
            for run, seeds, commit, fingerprint, settings in [key]
        )

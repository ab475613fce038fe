"""How a report writes numbers, and the numbering of their sources."""

from cian.base.results import canonical
from cian.report.blocks import Source

DIGITS = {"%": 1, "M": 3, "G": 2, "s": 2}  # after the point, of what was measured
DIFFERENCE_DIGITS = {**DIGITS, "%": 2}
PAPER_DIGITS = {"%": 1, "M": 1, "G": 1, "s": 2}
ENOUGH = 3  # values from which on a standard deviation says something
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


def spread_text(spread, unit, sign=False):
    """`mean ± standard deviation` of three values or more; fewer are all shown, `39.8, 40.1`; empty for None.

    sign: the values are differences, with a sign and their digits.
    """
    if spread is None:
        return ""
    digits, write = (DIFFERENCE_DIGITS if sign else DIGITS).get(unit, 3), signed if sign else rounded
    if spread.n < ENOUGH:
        return ", ".join(write(value, digits) for value in spread.values)
    return f"{write(spread.mean, digits)} ± {rounded(spread.sd, digits)}"


def interval_text(spread, unit):
    """`−3.31 to +5.59`, the interval of the mean of differences; empty where there is none."""
    if spread is None or spread.interval is None:
        return ""
    return " to ".join(signed(end, DIFFERENCE_DIGITS.get(unit, 3)) for end in spread.interval)


def difference_text(measured, paper, unit):
    """measured - paper with its sign, for some units also in per cent of the paper's; empty where one is None."""
    if measured is None or paper is None:
        return ""
    text = signed(measured - paper, DIFFERENCE_DIGITS.get(unit, 3))
    return f"{text} ({signed(100 * (measured - paper) / paper, 2)} %)" if unit in RELATIVE and paper else text


def runs_text(sample):
    """Each run's number by its seed, `0: 36.97, 1: 34.76`; only the numbers where nothing is random."""
    texts = []
    for found in sample.measurements:
        seeds = "+".join(map(str, found.seeds))
        texts.append(f"{seeds}: {found.value:.5g}" if seeds else f"{found.value:.5g}")
    return ", ".join(texts)


def short_commit(commit):
    """Ten digits of a commit, with `-dirty` where the code was changed; empty for None."""
    if commit is None:
        return ""
    digits, _, changed = commit.partition("-")
    return digits[:10] + (f"-{changed}" if changed else "")


class SourceList:
    """Numbers the runs that measurements come from in the order in which they are first asked for; each run has one number."""

    def __init__(self):
        self._found = {}  # (run, seeds, commit, fingerprint) -> [measurements]

    def of(self, *samples):
        """The ascending numbers, from 1, of the sources of some samples."""
        keys = list(self._found)
        numbers = set()
        for found in (found for sample in samples for found in sample.measurements):
            key = found.run, found.seeds, found.commit, found.fingerprint
            if key not in self._found:
                keys.append(key)
            self._found.setdefault(key, []).append(found)
            numbers.add(keys.index(key) + 1)
        return tuple(sorted(numbers))

    def entries(self):
        """The Sources asked for so far, in order; a setting in which a run's numbers differ is shown with all its values."""
        return tuple(
            Source(*key, found[0].date, found[0].machine, common_settings(found), len({m.cell for m in found}))
            for key, found in self._found.items()
        )


def common_settings(measurements):
    """The settings of some measurements; {"differ": [values]} where they are not the same."""
    settings = {}
    for name in sorted({name for found in measurements for name in found.settings}):
        values = {canonical(found.settings.get(name)): found.settings.get(name) for found in measurements}
        several = {"differ": [values[key] for key in sorted(values)]}
        settings[name] = next(iter(values.values())) if len(values) == 1 else several
    return settings

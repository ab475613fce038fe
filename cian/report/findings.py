"""What the papers claim and whether it is measured here: differences between rows, over pairs of runs with the same seed.

The claims are differences: what the cross-image terms add, common against random groups. They can be compared across data sets
where levels cannot. A pair of runs is two rows with the same seed; the interval is Student's t over the pairs.
"""

from typing import NamedTuple, Optional, Tuple

from cian.report.numbers import (
    BACKBONE_COLUMN,
    NOT_IN_PAPER,
    PAPER_BACKBONE,
    WITHOUT_CRF,
    WITHOUT_CRF_IN_TABLE_4,
    Sample,
    Spread,
)

LARGER, SMALLER, UNCLEAR, SINGLE = "larger", "smaller", "not distinguishable", "one pair, no interval"
UNPAIRED = "no seed in common"


def steps(column, suffix=""):
    """The comparisons of Table 2 in one of its columns."""
    claims = (
        ("a loss on the cross-image prediction helps", "+ CE", "Baseline"),
        ("completing the labels helps more", "+ CP", "+ CE"),
        ("both together help", "+ CP", "Baseline"),
        ("a second round helps more", "+ RT", "+ CP"),
        ("the whole method helps", "+ RT", "Baseline"),
    )
    return [(text, f"{one} − {other}{suffix}", (one, column), (other, column)) for text, one, other in claims]


#: rows of COMNet's Table II that are not in the paper
GROUPED, AT_TEST, IN_TRAINING = (
    f"Baseline, {what}"
    for what in ("groups with a common class", "inter-matching at test only", "inter-matching in training only")
)
COMMON = "images with a common class help more than random ones"
PAIRS = {  # table -> (claim, label, (row, column), (row, column) that is taken away), in the order of the report
    "CIAN 2": steps("mIoU", ", CRF") + steps("mIoU" + WITHOUT_CRF, WITHOUT_CRF),
    "CIAN 3": [
        (COMMON, f"{row}: common − random{suffix or ', CRF'}", (row, "Common-class" + suffix), (row, "Random-class" + suffix))
        for suffix in ("", WITHOUT_CRF)
        for row in ("+ CE", "+ CP")
    ],
    "CIAN 4": [],  # see pairs_of
    "COMNet II": [
        ("inter-matching helps", "inter-matching − baseline", ("Baseline + inter-matching", "mIoU"), ("Baseline", "mIoU")),
        ("intra-matching helps", "intra-matching − baseline", ("Baseline + intra-matching", "mIoU"), ("Baseline", "mIoU")),
        ("both together help", "both − baseline", ("Baseline + inter-matching + intra-matching", "mIoU"), ("Baseline", "mIoU")),
        ("batches with a common class help", "common-class batches − baseline", (GROUPED, "mIoU"), ("Baseline", "mIoU")),
        ("matching at test helps", "matching at test only − baseline", (AT_TEST, "mIoU"), ("Baseline", "mIoU")),
        ("matching in training helps", "in training only − common-class batches", (IN_TRAINING, "mIoU"), (GROUPED, "mIoU")),
        ("both times it helps", "both times − common-class batches", ("Baseline + inter-matching", "mIoU"), (GROUPED, "mIoU")),
    ],
    "COMNet I": [
        ("more images in a group change little" if n > 2 else "inter-matching helps", f"N = {n} − baseline",
         (f"N = {n}", "mIoU"), ("baseline", "mIoU"))
        for n in (2, 3, 4, 5)
    ],  # fmt: skip
    "COMNet V": [
        ("the maps are better", "ours − IRN, CAM", ("Ours", "CAM"), ("IRN", "CAM")),
        ("they stay better after the random walk", "ours − IRN, CAM + RW", ("Ours", "CAM + RW"), ("IRN", "CAM + RW")),
    ],
}


class Finding(NamedTuple):
    """One row against another. table, data: where both stand. claim: what the paper says.

    paper, measured: differences (of the means), None where a side is missing. paired: first - second of each seed that both
    have, None without one; seeds: those. samples: of both sides where there are any.
    """

    table: str
    data: Optional[str]
    claim: str
    label: str
    unit: str
    paper: Optional[float]
    measured: Optional[float]
    paired: Optional[Spread]
    seeds: Tuple[int, ...]
    samples: Tuple[Sample, ...]

    @property
    def word(self):
        """What the interval says of the difference; empty where nothing was measured."""
        if self.measured is None:
            return ""
        if self.paired is None:
            return UNPAIRED
        if self.paired.interval is None:
            return SINGLE
        low, high = self.paired.interval
        return LARGER if low > 0 else SMALLER if high < 0 else UNCLEAR

    @property
    def clear(self):
        """Does the interval lie on one side of 0?"""
        return self.word in (LARGER, SMALLER)

    @property
    def caution(self):
        """What to add to a clear difference of two pairs only."""
        return " (two pairs)" if self.clear and self.paired.n == 2 else ""

    @property
    def agrees(self):
        """Has a clear difference the sign of the paper's? None where it is not clear, or the paper has none."""
        if not self.clear or self.paper is None or abs(self.paper) < 0.05:
            return None
        return (self.word == LARGER) == (self.paper > 0)


def pairs_of(table, cells, paper):
    """(claim, label, first, second) of a table; for Table 4 of each CRF, ratio and backbone, the measured backbones first."""
    if table != "CIAN 4":
        return PAIRS.get(table, [])
    rows = dict.fromkeys(row for name, row, _ in paper if name == table)
    columns = [column for _, column in cells] + [column for name, _, column in paper if name == table]
    backbones = dict.fromkeys(match.group(1) for match in map(BACKBONE_COLUMN.match, columns) if match)
    measured = {match.group(1) for match in map(BACKBONE_COLUMN.match, (column for _, column in cells)) if match}
    names = {backbone: "" if measured == {backbone} else f", {backbone}" for backbone in backbones}
    return [
        ("it helps beside true masks too" if row.split()[-1] != "0" else "both together help",
         f"ours − baseline, {row}{names[backbone]}", (row, f"{backbone} ours"), (row, f"{backbone} baseline"))
        for backbone in backbones for row in rows
    ]  # fmt: skip


def published_of(table, cell, paper):
    """(value, unit, backbone that stands in or "") of a cell in the paper, None and % for a value that it does not have.

    Table 4 has no other backbones than the paper's, whose first stands in. Table 2's rows without CRF stand in Table 4.
    """
    row, column = cell
    if (table, row, column) in paper:
        return (*paper[table, row, column], "")
    match = BACKBONE_COLUMN.match(column)
    if table == "CIAN 4" and match and (table, row, f"{PAPER_BACKBONE} {match.group(2)}") in paper:
        return (*paper[table, row, f"{PAPER_BACKBONE} {match.group(2)}"], PAPER_BACKBONE)
    if cell in SAME_IN_TABLE_4:
        return (*paper["CIAN 4", SAME_IN_TABLE_4[cell][0], f"{PAPER_BACKBONE} {SAME_IN_TABLE_4[cell][1]}"], "")
    return None, "%", ""


#: cells of Table 2 -> row and column of Table 4, behind its backbone, with the same network
SAME_IN_TABLE_4 = {
    (row, "mIoU" + WITHOUT_CRF): ("no CRF, ratio 0", kind) for row, kind in WITHOUT_CRF_IN_TABLE_4.items()
}


def findings_of(results, paper):
    """The Findings of a table on one data set, measured or not."""
    found = []
    for claim, label, first, second in pairs_of(results.table, results.cells, paper):
        (one, unit, _), (other, _, _) = (published_of(results.table, cell, paper) for cell in (first, second))
        published = one - other if one is not None and other is not None else None
        own = {sample.measurements[0].cell[1:]: sample for sample, why in results.further if why == NOT_IN_PAPER}
        samples = [results.cells.get(cell, own.get(cell)) for cell in (first, second)]
        measured, paired, seeds = None, None, ()
        if all(samples):
            measured = samples[0].spread.mean - samples[1].spread.mean
            ours, theirs = (sample.by_seed for sample in samples)
            shared = [key for key in ours if len(key) == 1 and key in theirs]
            seeds = tuple(key[0] for key in shared)
            paired = Spread(tuple(ours[key] - theirs[key] for key in shared)) if shared else None
        present = tuple(sample for sample in samples if sample)
        where = results.table, results.data, claim, label, unit
        found.append(Finding(*where, published, measured, paired, seeds, present))
    return found


def all_findings(tables, paper):
    """The measured Findings of some TableResults in the order of PAIRS; the same runs with the same numbers count once."""
    order, seen, found = list(PAIRS), set(), []
    for results in sorted((r for r in tables if r.table in order), key=lambda r: order.index(r.table)):
        for entry in findings_of(results, paper):
            runs = tuple(tuple((m.run, m.value) for m in sample.measurements) for sample in entry.samples)
            if entry.measured is not None and (results.data, runs) not in seen:
                seen.add((results.data, runs))
                found.append(entry)
    return found

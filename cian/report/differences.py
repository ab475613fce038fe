"""Differences between the rows of a table, the papers' and the measured ones, with paired seeds.

The papers' claims are differences: what the cross-image terms add, common against random groups. They can be compared across
data sets where levels cannot.
"""

from typing import NamedTuple, Optional, Tuple

from cian.report.numbers import BACKBONE_COLUMN, PAPER_BACKBONE, Sample, Spread

PAIRS = {  # table -> (label, (row, column), (row, column) that is taken away)
    "CIAN 2": [
        ("+ CE − Baseline", ("+ CE", "mIoU"), ("Baseline", "mIoU")),
        ("+ CP − + CE", ("+ CP", "mIoU"), ("+ CE", "mIoU")),
        ("+ CP − Baseline", ("+ CP", "mIoU"), ("Baseline", "mIoU")),
        ("+ RT − + CP", ("+ RT", "mIoU"), ("+ CP", "mIoU")),
        ("+ RT − Baseline", ("+ RT", "mIoU"), ("Baseline", "mIoU")),
    ],
    "CIAN 3": [(f"{row}: common − random class", (row, "Common-class"), (row, "Random-class")) for row in ("+ CE", "+ CP")],
    "COMNet I": [(f"N = {n} − baseline", (f"N = {n}", "mIoU"), ("baseline", "mIoU")) for n in (2, 3, 4, 5)],
    "COMNet II": [
        (f"{row} − Baseline", (row, "mIoU"), ("Baseline", "mIoU"))
        for row in (
            "Baseline + inter-matching",
            "Baseline + intra-matching",
            "Baseline + inter-matching + intra-matching",
        )
    ],
    "COMNet V": [(f"{column}: ours − IRN", ("Ours", column), ("IRN", column)) for column in ("CAM", "CAM + RW")],
}


class Difference(NamedTuple):
    """One row against another. paper, measured: differences (of the means), None where a side is missing.

    source: "" or the backbone whose published difference stands in. paired: first - second of each seed that both have,
    seeds: those. samples: of both sides where there are any.
    """

    label: str
    unit: str
    paper: Optional[float]
    source: str
    measured: Optional[float]
    paired: Optional[Spread]
    seeds: Tuple[int, ...]
    samples: Tuple[Sample, ...]


def pairs_of(table, cells, paper):
    """(label, first, second) of a table; for Table 4 of each ratio, CRF and backbone, the measured backbones first."""
    if table != "CIAN 4":
        return PAIRS.get(table, [])
    rows = dict.fromkeys(row for name, row, _ in paper if name == table)
    columns = [column for _, column in cells] + [column for name, _, column in paper if name == table]
    matches = filter(None, map(BACKBONE_COLUMN.match, columns))
    backbones = dict.fromkeys(match.group(1) for match in matches)
    return [(f"{b}, {row}: ours − baseline", (row, f"{b} ours"), (row, f"{b} baseline")) for b in backbones for row in rows]


def differences(results, paper):
    """The Differences between the rows of a table, the paper's and the measured ones."""
    found = []
    for label, first, second in pairs_of(results.table, results.cells, paper):
        keys, source = [(results.table, *cell) for cell in (first, second)], ""
        if keys[0] not in paper and results.table == "CIAN 4":
            keys = [(t, row, f"{PAPER_BACKBONE} {column.rsplit(' ', 1)[1]}") for t, row, column in keys]
            source = PAPER_BACKBONE
        published = paper[keys[0]][0] - paper[keys[1]][0] if all(key in paper for key in keys) else None
        samples = [results.cells.get(cell) for cell in (first, second)]
        measured, paired, seeds = None, None, ()
        if all(samples):
            measured = samples[0].spread.mean - samples[1].spread.mean
            ours, theirs = (sample.by_seed for sample in samples)
            shared = [key for key in ours if len(key) == 1 and key in theirs]
            seeds = tuple(key[0] for key in shared)
            paired = Spread(tuple(ours[key] - theirs[key] for key in shared)) if shared else None
        unit = paper[keys[0]][1] if keys[0] in paper else "%"
        present = tuple(sample for sample in samples if sample)
        found.append(Difference(label, unit, published, source, measured, paired, seeds, present))
    return found

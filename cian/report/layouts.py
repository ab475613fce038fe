"""The papers' tables in the papers' own shape, what was measured beside each number; and every run behind them.

A grid has lines and columns; each of its cells holds the published number and what was measured here. What was only published
is left to a table of its own, which is folded away.
"""

import itertools
import re
from typing import Dict, NamedTuple, Optional, Tuple

from cian.base.results import natural
from cian.report.blocks import Cell, Table
from cian.report.findings import findings_of, published_of
from cian.report.numbers import BACKBONE_COLUMN, CLASS_TABLE, NOT_IN_PAPER, PAPER_BACKBONE, WITHOUT_CRF, Spread
from cian.report.text import difference_text, paper_text, runs_text, signed, spread_text

PAPER, HERE, DIFFERENCE = "paper", "here", "here − paper"
ACROSS = {"COMNet III": "alpha", "COMNet IV": "k"}  # tables whose rows stand side by side
VARIANTS = ("CIAN 1", "COMNet I")  # "# Params, resnet50, 321x321" is another row of the column "# Params"
OWN = re.compile(r"^(CIAN \(|COMNet \(ours\))")  # rows of the papers' own methods among others
TITLES = {
    "CIAN 2": {"mIoU": "mIoU with CRF", "mIoU" + WITHOUT_CRF: "mIoU without CRF"},
    "CIAN 3": {f"{kind}{old}": f"{kind.lower()}{new}" for kind in ("Common-class", "Random-class")
               for old, new in (("", ", CRF"), (WITHOUT_CRF, WITHOUT_CRF))},
}  # fmt: skip


class Entry(NamedTuple):
    """published: the paper's number or None; spread: what was measured or None; sign: is it a difference?"""

    published: Optional[float]
    unit: str
    spread: Optional[Spread] = None
    sign: bool = False


class Grid(NamedTuple):
    """lines, columns: titles in order; entries: {(line, column): Entry}."""

    lines: Tuple[str, ...]
    columns: Tuple[str, ...]
    entries: Dict[Tuple[str, str], Entry]

    def some(self, line=None, column=None, measured=True):
        """Is there a measured (or a published) number in a line, a column, or both?"""
        lines, columns = self.lines if line is None else (line,), self.columns if column is None else (column,)
        found = [self.entries[place] for place in itertools.product(lines, columns) if place in self.entries]
        return any((entry.spread if measured else entry.published) is not None for entry in found)

    def part(self, lines, columns=None):
        """The grid with only some lines, and columns."""
        return Grid(tuple(lines), self.columns if columns is None else tuple(columns), self.entries)


def is_class(table, column):
    """Is this a column for a class, which has a table of its own?"""
    return table == CLASS_TABLE and not column.startswith("mIoU")


def order_of(cells):
    """Sorting key of (row, column) by which rows stand as they do in some cells, and others behind, in natural order."""
    rows = list(dict.fromkeys(row for row, _ in cells))
    return lambda cell: (rows.index(cell[0]) if cell[0] in rows else len(rows), *map(natural, cell))


def place_of(table, cell):
    """Line and column of a cell: its row and column, but for what other networks or sizes measured of the paper's columns."""
    row, column = cell
    if table in VARIANTS and ", " in column:
        column, variant = column.split(", ", 1)
        return f"{row}, {variant}", column
    return row, column


def grid_of(results, paper, classes=False):
    """The Grid of a table, of Table 2 either the classes or the rest: lines and columns in the paper's order, others behind."""
    table = results.table
    samples = {**{s.measurements[0].cell[1:]: s for s, why in results.further if why == NOT_IN_PAPER}, **results.cells}
    cells = [(row, column) for name, row, column in paper if name == table]
    cells += sorted((cell for cell in samples if cell not in cells), key=order_of(cells))
    entries = {}
    for cell in (cell for cell in cells if is_class(table, cell[1]) == classes):
        value, unit, stands_in = published_of(table, cell, paper)
        sample = samples.get(cell)
        unit = sample.measurements[0].unit if sample else unit
        place = place_of(table, cell)
        spread = sample.spread if sample else None
        entries[place] = Entry(None if stands_in else value, unit, spread, cell[1].endswith(" Delta"))
    for found in (found for found in findings_of(results, paper) if found.paired and table == "CIAN 4"):
        _, row, column = found.samples[0].measurements[0].cell
        place = row, f"{BACKBONE_COLUMN.match(column).group(1)} Delta"
        published = entries[place].published if place in entries else None
        entries[place] = Entry(published, found.unit, found.paired, True)
    lines, columns = (tuple(dict.fromkeys(place[axis] for place in entries)) for axis in (0, 1))
    return Grid(lines, columns, entries)


def shown(table, grid):
    """The part of a grid that stands open: measured lines and columns, and the paper's own to compare them with."""
    lines = [line for line in grid.lines if grid.some(line) or (OWN.match(line) and grid.some(line, measured=False))]
    columns = [c for c in grid.columns if grid.some(column=c) or (table == "CIAN 4" and c.startswith(PAPER_BACKBONE))]
    return grid.part(lines, columns)


def left_out(grid, part):
    """(the part of a grid that stands open nowhere: published numbers, of how many lines and columns) or None."""
    lines = [line for line in grid.lines if line not in part.lines]
    columns = [column for column in grid.columns if column not in part.columns]
    rest = {
        place: found
        for place, found in grid.entries.items()
        if found.published is not None and (place[0] in lines or place[1] in columns)
    }
    if not rest:
        return None
    kept = [tuple(dict.fromkeys(name for name in names if any(place[axis] == name for place in rest)))
            for axis, names in enumerate((grid.lines, grid.columns))]  # fmt: skip
    return Grid(*kept, rest)


def grid_table(table, grid, comparable, corner=""):
    """A Grid as Table: below each column's title what was published, measured, and on the paper's data their difference."""
    if table in ACROSS:
        return across_table(table, grid)
    columns, groups, kinds = [corner], [""], []
    for column in grid.columns:
        found = [grid.entries[line, column] for line in grid.lines if (line, column) in grid.entries]
        units = sorted({entry.unit for entry in found})
        unit = f" ({units[0]})" if len(units) == 1 and units[0] not in corner else ""
        title = TITLES.get(table, {}).get(column, column) + unit
        published, measured = grid.some(column=column, measured=False), grid.some(column=column)
        both = published and measured and comparable
        for kind, wanted in ((PAPER, published), (HERE, measured), (DIFFERENCE, both)):
            if wanted:
                columns.append(kind)
                groups.append(title)
                kinds.append((column, kind))
    rows = [
        (Cell(line), *(Cell(text_of(grid.entries.get((line, column)), kind)) for column, kind in kinds)) for line in grid.lines
    ]
    return Table(tuple(columns), tuple(rows), groups=tuple(groups))


def across_table(table, grid):
    """A Grid turned: its lines, such as `k = 8`, side by side, below each other what was published and measured."""
    rows = []
    for column in grid.columns:
        for kind, measured in ((PAPER, False), (HERE, True)):
            if grid.some(column=column, measured=measured):
                texts = [text_of(grid.entries.get((line, column)), kind) for line in grid.lines]
                rows.append((Cell(f"{column} (%), {kind}"), *map(Cell, texts)))
    heads = tuple(line.split(" = ", 1)[-1] for line in grid.lines)
    return Table((ACROSS[table], *heads), tuple(rows))


def text_of(entry, kind):
    """What a cell of the table says; empty where there is nothing."""
    if entry is None:
        return ""
    if kind == PAPER and entry.published is not None:
        return signed(entry.published, 1) if entry.sign else paper_text(entry.published, entry.unit)
    if kind == PAPER or entry.spread is None:
        return ""
    if kind == HERE:
        return spread_text(entry.spread, entry.unit, entry.sign)
    return difference_text(entry.spread.mean, entry.published, entry.unit)


def class_grid(results, paper):
    """The classes of Table 2 turned: a line a class, a column a row of the table."""
    grid = grid_of(results, paper, classes=True)
    return Grid(grid.columns, grid.lines, {(column, line): found for (line, column), found in grid.entries.items()})


def runs_table(results, paper, sources):
    """Every number behind a table, by seed, with its sources; and why one does not stand in it."""
    lines = []
    samples = [(*cell, sample, "") for cell, sample in results.cells.items()]
    for sample, reason in results.further:
        samples.append((*sample.measurements[0].cell[1:], sample, "" if reason == NOT_IN_PAPER else reason))
    reasons = any(reason for *_, reason in samples)
    order = order_of([(row, column) for table, row, column in paper if table == results.table])
    for row, column, sample, reason in sorted(samples, key=lambda entry: order(entry[:2])):
        unit = sample.measurements[0].unit
        line = (Cell(row), Cell(column), Cell(runs_text(sample)), Cell(unit), Cell("", sources.of(sample)))
        lines.append(line + ((Cell(reason),) if reasons else ()))
    heads = ("row", "column", "seed: number", "unit", "sources") + (("why not above",) if reasons else ())
    return Table(heads, tuple(lines), labels=3)

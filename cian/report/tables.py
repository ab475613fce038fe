"""The tables of a report, as blocks: levels, classes, differences, and what has no cell in the paper."""

from cian.report.blocks import Cell, Table
from cian.report.numbers import CLASS_TABLE
from cian.report.text import (
    CLASS_DIGITS,
    DIGITS,
    count_text,
    difference_text,
    paper_text,
    signed,
    spread_text,
    tip_text,
)


def is_class(table, column):
    """Is this a column for a class, which has a table of its own?"""
    return table == CLASS_TABLE and column != "mIoU"


def cells_of(results, paper):
    """(row, column) of the paper's table and of what was measured besides, each beside its row; without the classes.

    The paper's column of differences stands among the differences, unless somebody measured it.
    """
    published = [(row, column) for table, row, column in paper if table == results.table]
    wanted = [cell for cell in published if not cell[1].endswith(" Delta") or cell in results.cells]
    for cell in (cell for cell in results.cells if cell not in wanted):
        rows = [row for row, _ in wanted]
        wanted.insert(len(rows) - rows[::-1].index(cell[0]) if cell[0] in rows else len(rows), cell)
    return [cell for cell in wanted if not is_class(results.table, cell[1])]


def level_table(results, paper, sources, published_on, summary=""):
    """Paper | measured | seeds | difference; the last only on the paper's data set (published_on: its name)."""
    cells, rows, faint = cells_of(results, paper), [], set()
    published = [paper.get((results.table, *cell), (None, None)) for cell in cells]
    units = {unit for _, unit in published if unit} or {"%"}
    shared = f" ({min(units)})" if len(units) == 1 else ""
    for number, (cell, (value, unit)) in enumerate(zip(cells, published)):
        sample = results.cells.get(cell)
        unit = unit or (sample.measurements[0].unit if sample else "%")
        suffix = "" if shared else f" {unit}"
        line = [Cell(cell[0]), Cell(cell[1]), Cell(paper_text(value, unit) + suffix if value is not None else "")]
        if sample is None:
            faint.add(number)
            line += [Cell("")] * (4 if results.comparable else 3)
        else:
            line += [Cell(spread_text(sample.spread, unit) + suffix, tip=tip_text(sample)), Cell(count_text(sample))]
            if results.comparable:
                line.append(Cell(difference_text(sample.spread.mean, value, unit)))
            line.append(Cell("", sources.of(sample)))
        rows.append(tuple(line))
    if results.comparable:
        columns = ("row", "column", f"paper{shared}", f"measured{shared}", "seeds", "difference", "sources")
    else:
        heads = f"paper, {published_on}{shared}", f"measured, {results.data}{shared}"
        columns = ("row", "column", *heads, "seeds", "sources")
    return Table(columns, tuple(rows), labels=2, faint=frozenset(faint), summary=summary)


def class_names(results, paper):
    """The classes of Table 2 in the paper's order, then those measured besides."""
    columns = [column for table, _, column in paper if table == CLASS_TABLE] + [column for _, column in results.cells]
    return [column for column in dict.fromkeys(columns) if column != "mIoU"]


def class_table(results, paper, sources, summary=""):
    """A line a class: paper and measured of every row of Table 2, in per cent; the last line holds the sources."""
    rows_of_table = list(dict.fromkeys(row for table, row, _ in paper if table == CLASS_TABLE))
    lines, faint = [], set()
    for number, name in enumerate([*class_names(results, paper), "mIoU"]):
        line = [Cell(name)]
        for row in rows_of_table:
            value, sample = paper.get((CLASS_TABLE, row, name), (None,))[0], results.cells.get((row, name))
            line.append(Cell(paper_text(value, "%")))
            found = Cell(spread_text(sample.spread, "%", CLASS_DIGITS), tip=tip_text(sample)) if sample else Cell("")
            line.append(found)
        if not any(cell.text for cell in line[2::2]):
            faint.add(number)
        lines.append(tuple(line))
    if results.cells:
        line = [Cell("sources")]
        for row in rows_of_table:
            line += [Cell(""), Cell("", sources.of(*(s for (found, _), s in results.cells.items() if found == row)))]
        lines.append(tuple(line))
    columns = ("class", *(f"{row}, {kind}" for row in rows_of_table for kind in ("paper", "measured")))
    return Table(columns, tuple(lines), faint=frozenset(faint), summary=summary)


def difference_table(found, sources, summary=""):
    """Differences between rows: the paper's, that of the measured means, and seed by seed (mean, deviation, number)."""
    columns = ("rows", "paper", "measured", "paired by seed", "pairs", "each seed", "measured − paper", "sources")
    lines, faint = [], set()
    for number, entry in enumerate(found):
        digits = DIGITS.get(entry.unit, 3)
        note = f" ({entry.source})" if entry.source else ""
        values = zip(entry.seeds, entry.paired.values) if entry.paired else ()
        if entry.measured is None:
            faint.add(number)
        lines.append(
            (
                Cell(entry.label),
                Cell("" if entry.paper is None else signed(entry.paper, 1) + note),
                Cell(signed(entry.measured, digits), tip=" | ".join(map(tip_text, entry.samples)) if entry.measured else ""),
                Cell(spread_text(entry.paired, entry.unit, sign=True)),
                Cell(str(entry.paired.n) if entry.paired else ""),
                Cell(", ".join(f"{seed}: {signed(value, digits)}" for seed, value in values)),
                Cell(difference_text(entry.measured, entry.paper, "%")),
                Cell("", sources.of(*entry.samples) if entry.measured is not None else ()),
            )
        )
    return Table(columns, tuple(lines), faint=frozenset(faint), summary=summary)


def further_table(further, sources, with_table=False):
    """Measurements that stand beside the paper's table, with the reason."""
    columns = ("row", "column", "why here", "measured", "unit", "seeds", "sources")
    lines = []
    for sample, reason in further:
        first = sample.measurements[0]
        measured = Cell(spread_text(sample.spread, first.unit), tip=tip_text(sample))
        line = (Cell(first.row), Cell(first.column), Cell(reason), measured, Cell(first.unit), Cell(count_text(sample)))
        lines.append(((Cell(first.table),) if with_table else ()) + line + (Cell("", sources.of(sample)),))
    heads = ("table", *columns) if with_table else columns
    return Table(heads, tuple(lines), labels=4 if with_table else 3)

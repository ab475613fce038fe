"""The part of a report about one table on one data set: what was run, the table, classes, curves, and every run behind it."""

from cian.report.blocks import Fold, Heading, Paragraph, Picture
from cian.report.layouts import Grid, class_grid, grid_of, grid_table, left_out, order_of, runs_table, shown
from cian.report.numbers import CLASS_TABLE
from cian.report.plots import class_bars, training_curves
from cian.report.text import short_commit
from cian.report.training_log import VALIDATION

SUBJECTS = {
    "CIAN 1": "parameters and multiply-adds",
    "CIAN 2": "what the parts of the method add",
    "CIAN 3": "groups with a common class against random groups",
    "CIAN 4": "seeds with a share of ground truth, with and without CRF",
    "CIAN 5": "comparison with other methods",
    "COMNet I": "number of images in a group",
    "COMNet II": "inter-matching and intra-matching",
    "COMNet III": "alpha of the inter-matching",
    "COMNet IV": "neighbours k of the intra-matching",
    "COMNet V": "class activation and random walk",
    "COMNet VI": "comparison with other methods on VOC 2012",
    "COMNet VII": "comparison with other methods on COCO",
}
THRESHOLDS = "Without a threshold named, mIoU is that of the best threshold between object and background."
CURVES = ("CIAN 2", "CIAN 3")  # tables whose rows are trainings
TERMS = {
    "ce_self": "cross entropy of the image's own prediction against the seeds (Eq. 6)",
    "ce_cross": "the same of the prediction with the other images of the group",
    "cp_self": "completion: cross entropy of the own prediction against the labels completed online (Eq. 7 and 8)",
    "cp_cross": "the same of the prediction with the other images",
    VALIDATION: "mIoU of the validation list at the end of an epoch, per cent",
}


def name_of(table):
    """`CIAN 2` -> `CIAN, Table 2: what the parts of the method add`."""
    paper, number = table.rsplit(" ", 1)
    return f"{paper}, Table {number}" + (f": {SUBJECTS[table]}" if table in SUBJECTS else "")


def anchor_of(table, data=None):
    text = table if data is None else f"{table} {data}"
    return "".join(letter if letter.isalnum() else "-" for letter in text.lower())


def section(results, paper, sources, curves, several=False):
    """The blocks of one table; its published numbers, folded, if there are no results.

    curves: of runs (`read_curves`). several: are there results of several data sets, or with and without one, so that the
    heading names this one's?
    """
    table, measured = results.table, bool(results.measurements)
    on = f" – on {results.data}" if several and results.data is not None else ""
    title = name_of(table) + (on if measured else " – not run")
    blocks = [Heading(title, anchor=anchor_of(table, results.data), short=table + on)]
    blocks += [Paragraph(facts(results))] if measured else []
    if any(" at threshold " in found.column for found in results.measurements):
        blocks.append(Paragraph(THRESHOLDS))
    blocks += [Paragraph(text, "warning") for text in results.warnings]
    blocks += grid_blocks(results, grid_of(results, paper))
    if table == CLASS_TABLE:
        blocks += classes(results, paper)
    if table in CURVES and measured:
        blocks += curves_of(results, paper, curves)
    if measured:
        blocks.append(Fold("Each run behind this table, by its seed", (runs_table(results, paper, sources),)))
    return blocks


def grid_blocks(results, grid, corner=""):
    """The table of a Grid, and folded what of it was only published."""
    part, blocks = shown(results.table, grid), []
    if not any(grid.some(line) for line in grid.lines):
        part = Grid((), (), {})
    else:
        blocks.append(grid_table(results.table, part, results.comparable, corner))
    rest = left_out(grid, part)
    if rest is not None:
        names = [line for line in rest.lines if line not in part.lines]
        names += [column for column in rest.columns if column not in part.columns] if part.lines else []
        listed = ", ".join(names) if len(names) < 5 else f"{len(names)} rows"
        text = f"Only published: {listed}" if part.lines else "The paper's numbers" + (f": {corner}" if corner else "")
        blocks.append(Fold(text, (grid_table(results.table, rest, False, corner),)))
    return blocks


def facts(results):
    """What the numbers of a table have in common: runs, seeds, settings, data and code."""
    found = results.measurements
    parts = [f"{len(found)} measurements of {len({m.run for m in found})} runs"]
    seeds = sorted({seed for m in found for seed in m.seeds})
    parts += [f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"] if seeds else []
    for key, text in (("backbone", "{}"), ("images", "{} images")):
        values = sorted({str(m.settings[key]) for m in found if key in m.settings})
        parts += [text.format(", ".join(values))] if values else []
    prints = sorted({m.fingerprint[:12] for m in found if m.fingerprint})
    parts += [f"data {', '.join(prints)}"] if prints else []
    return "; ".join([*parts, commits_text(found)]) + "."


def commits_text(measurements):
    """`commit 96497d1c7e`, and what -dirty means if one is."""
    commits = sorted({short_commit(m.commit) or "unknown" for m in measurements})
    changed = any((m.commit or "").endswith("-dirty") for m in measurements)
    note = " (-dirty: the code was changed and not committed)" if changed else ""
    return f"commit{'s' if len(commits) > 1 else ''} {', '.join(commits)}{note}"


def classes(results, paper):
    """The classes of Table 2 as table and bars."""
    grid = class_grid(results, paper)
    blocks = grid_blocks(results, grid, "IoU of the classes (%)")
    part = shown(results.table, grid)
    if not part.lines:
        return blocks
    rows = {column: {line: part.entries[line, column] for line in part.lines if (line, column) in part.entries}
            for column in part.columns}  # fmt: skip
    bars = {row: {name: found.spread for name, found in entries.items() if found.spread} for row, entries in rows.items()}
    lines = {row: {name: e.published for name, e in found.items() if e.published is not None} for row, found in rows.items()}
    caption = f"IoU of the classes on {results.data}: mean over seeds, whiskers: 95 % interval of three seeds or more"
    caption += "; black lines: the paper." if results.comparable else "."
    name = f"{anchor_of(results.table, results.data)}-classes.png"
    picture = Picture(name, class_bars(part.lines, bars, lines if results.comparable else None), caption)
    return [Heading("Classes", 3), *blocks, picture]


def curves_of(results, paper, curves):
    """Curves of the trainings behind a table's rows with CRF; a sentence where they were not kept."""
    rows, runs = {}, set()
    for row, column in sorted(results.cells, key=order_of([cell[1:] for cell in paper if cell[0] == results.table])):
        sample = results.cells[row, column]
        if column in ("mIoU", "Common-class", "Random-class"):
            label = row if results.table == CLASS_TABLE else f"{row}, {column.lower()}"
            names = list(dict.fromkeys(m.run for m in sample.measurements))
            runs.update(names)
            rows.setdefault(label, []).extend(curves[name] for name in names if name in curves)
    rows, missing = {label: logs for label, logs in rows.items() if logs}, len(runs - set(curves))
    blocks = []
    if rows:
        blocks.append(Heading("Training curves", 3))
        terms = {term for logs in rows.values() for found in logs for term in found}
        terms = [term for term in TERMS if term in terms] + sorted(terms - set(TERMS))
        caption = "A line a seed, each point the mean of a tenth of the training around it. "
        caption += "; ".join(f"{term}: {TERMS.get(term, 'see the log')}" for term in terms) + "."
        blocks.append(Picture(f"{anchor_of(results.table, results.data)}-curves.png", training_curves(rows, terms), caption))
    if missing:
        which = f"{missing} of these {len(runs)} runs" if rows else f"these {missing} runs"
        text = f"Training curves of {which} are not kept here"
        blocks.append(Paragraph(f"{text}; cian report --runs keeps those of the runs it finds."))
    return blocks

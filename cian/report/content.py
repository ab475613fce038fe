"""The report of the papers' tables: published beside measured, differences beside differences, and where each number is from.

Everything shown comes from files: experiments/paper.csv, the measurements (`cian.base.results`), the logs of the runs and drawn
pictures. The document is made of blocks (`cian.report.blocks`), which HTML and Markdown are written from.
"""

from pathlib import Path

from cian.report.blocks import Cell, Document, Heading, Paragraph, Picture, Sources, Table
from cian.report.differences import differences
from cian.report.markdown import short_commit
from cian.report.numbers import CLASS_TABLE, TableResults, collect
from cian.report.plots import class_bars, difference_points, loss_curves
from cian.report.tables import cells_of, class_names, class_table, difference_table, further_table, level_table
from cian.report.text import SourceList
from cian.report.training_log import read_log

TITLE = "CIAN and COMNet: the papers' tables, measured"
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
ALWAYS = tuple(f"CIAN {number}" for number in range(1, 6))  # shown even where nothing was run
PUBLISHED_ON = {"COMNet VII": "COCO"}  # the others: VOC 2012
CURVES = ("CIAN 2", "CIAN 3")  # tables whose rows are trainings
FIGURES = {
    "fig3": "Figure 3: query pixel, its affinity on the reference, and the activation of the raw representation, of the "
    "cross-affinity residual and of the augmented representation",
    "fig4": "Figure 4: image, truth, baseline, ours",
}
INTRODUCTION = (
    "Measured numbers are means over seeds ± sample standard deviation (none for a single seed), with the number of seeds; "
    "a difference is measured − paper; blank means not run. Every number names its sources, listed at the end with run, "
    "seed, commit, fingerprint of the data and settings; numbers.csv holds all of them unrounded."
)


def build_report(measurements, paper, title=TITLE, runs=None, pictures=None, left_out=0):
    """(Document, the list of TableResults) of measurements beside the paper's numbers (`read_paper`).

    runs: folder of the run folders, for the training curves. pictures: {file name: PNG bytes} named fig3_* and fig4_*.
    left_out: how many pictures there are that are not to be shown.
    """
    tables, sources = collect(measurements, paper), SourceList()
    published = dict.fromkeys(table for table, _, _ in paper)
    sections, points, not_run = [], [], []
    for table in published:
        found = [results for results in tables if results.table == table]
        if not found and table not in ALWAYS:
            not_run.append(Paragraph(f"{name_of(table)}: not run."))
        for results in found or ([TableResults(table, None)] if table in ALWAYS else []):
            blocks, compared = section(results, paper, sources, runs)
            sections += blocks
            points += [(results, entry) for entry in compared if entry.measured is not None and entry.unit == "%"]
    sections += [Heading("Not run", anchor="not-run"), *not_run] if not_run else []
    sections += figures(pictures or {}, left_out)
    others = [results for results in tables if results.table not in published]
    if others:
        sections.append(Heading("Further measurements", anchor="further"))
        sections += [Paragraph(text, "warning") for results in others for text in results.warnings]
        rows = [entry for results in others for entry in results.further]
        sections.append(further_table(rows, sources, with_table=True))
    blocks = [Paragraph(INTRODUCTION), *overview(tables, paper), *overview_plot(points), *sections]
    blocks += [Heading("Sources", anchor="sources"), Sources(sources.entries())]
    return Document(title, blocks), tables


def name_of(table):
    """`CIAN 2` -> `CIAN, Table 2: what the parts of the method add`."""
    paper, number = table.rsplit(" ", 1)
    return f"{paper}, Table {number}" + (f": {SUBJECTS[table]}" if table in SUBJECTS else "")


def anchor_of(table, data=None):
    text = table if data is None else f"{table} {data}"
    return "".join(letter if letter.isalnum() else "-" for letter in text.lower())


def overview(tables, paper):
    """What was run: a line a table and data set, and how many warnings there are."""
    lines, faint = [], set()
    for table in dict.fromkeys([table for table, _, _ in paper] + [results.table for results in tables]):
        found = [results for results in tables if results.table == table]
        if not found:
            faint.add(len(lines))
        texts = [overview_texts(results, paper) for results in found] or [("not run", "", "", "")]
        lines += [tuple(map(Cell, (table, SUBJECTS.get(table, ""), *text))) for text in texts]
    columns = ("table", "about", "measured on", "seeds", "cells measured", "warnings")
    blocks = [Heading("What was run", anchor="overview"), Table(columns, tuple(lines), labels=4, faint=frozenset(faint))]
    count = sum(len(results.warnings) for results in tables)
    if count:
        text = (
            "1 warning stands beside its table below." if count == 1 else f"{count} warnings stand beside their tables below."
        )
        blocks.insert(1, Paragraph(text, "warning"))
    return blocks


def overview_texts(results, paper):
    """Data, seeds, how many of the paper's cells were measured and how many besides, and warnings, as text."""
    seeds = sorted({seed for found in results.measurements for seed in found.seeds})
    cells = sum(table == results.table for table, _, _ in paper)
    inside = sum((results.table, *cell) in paper for cell in results.cells)
    besides = len(results.cells) - inside + len(results.further)
    counts = ([f"{inside} of {cells}"] if cells else []) + ([f"{besides} besides"] if besides else [])
    warned = str(len(results.warnings)) if results.warnings else ""
    return results.data or "no data needed", ", ".join(map(str, seeds)) or "–", ", ".join(counts), warned


def overview_plot(points):
    """All measured differences between rows in one plot; nothing where there is none."""
    if not points:
        return []
    several = len({results.data for results, _ in points}) > 1
    entries = []
    for results, entry in points:
        place = results.table + (f", {results.data}" if several else "")
        values = entry.paired.values if entry.paired else ()
        entries.append((f"{entry.label} ({place})", entry.paper, entry.measured, values))
    data = " and ".join(dict.fromkeys(results.data or "" for results, _ in points))
    caption = f"Differences between rows, measured on {data}: mean over seeds, and each seed that both rows have."
    caption += " The paper's are of VOC 2012."
    return [Picture("differences.png", difference_points(entries), caption)]


def section(results, paper, sources, runs):
    """(blocks, Differences) of one table on one data set; its numbers without any run if there are no results."""
    table, measured = results.table, bool(results.measurements)
    title = name_of(table) + ("" if measured else " – not run")
    if measured and not results.comparable:
        title += f" – on {results.data}, not the paper's data set"
    elif measured and results.data is not None:
        title += f" – on {results.data}"
    short = table if results.comparable else f"{table} on {results.data}"
    blocks = [Heading(title, anchor=anchor_of(table, results.data), short=short)]
    published_on = PUBLISHED_ON.get(table, "VOC 2012")
    compared = differences(results, paper)
    if measured and not results.comparable:
        text = f"Measured on {results.data}, published on {published_on}: the levels are not compared."
        blocks.append(Paragraph(text + (" What is compared are the differences between rows." if compared else ""), "note"))
    if measured:
        blocks.append(Paragraph(facts(results)))
    blocks += [Paragraph(text, "warning") for text in results.warnings]
    folded = "" if measured else "the paper's numbers"
    blocks.append(level_table(results, paper, sources, published_on, folded))
    if compared:
        blocks += [Heading("Differences between rows", 3)] if measured else []
        blocks.append(difference_table(compared, sources, "" if measured else "the paper's differences between rows"))
    if table == CLASS_TABLE:
        blocks += classes(results, paper, sources)
    if table in CURVES and measured:
        blocks += curves(results, paper, runs)
    if results.further:
        blocks += [Heading("Further measurements", 3), further_table(results.further, sources)]
    return blocks, compared


def facts(results):
    """What the numbers of a table have in common: settings, data and code."""
    found = results.measurements
    parts = [f"{len(found)} measurements of {len({m.run for m in found})} runs"]
    for key, text in (("preset", "preset {}"), ("backbone", "backbone {}"), ("images", "{} images"), ("val_list", "list {}")):
        values = sorted({str(m.settings[key]) for m in found if key in m.settings})
        parts += [text.format(", ".join(values))] if values else []
    prints = sorted({m.fingerprint[:12] for m in found if m.fingerprint})
    parts += [f"data {', '.join(prints)}"] if prints else []
    commits = sorted({short_commit(m.commit) or "unknown" for m in found})
    parts.append(f"commit{'s' if len(commits) > 1 else ''} {', '.join(commits)}")
    changed = any((m.commit or "").endswith("-dirty") for m in found)
    return "; ".join(parts) + ("; -dirty: the code was changed and not committed" if changed else "") + "."


def classes(results, paper, sources):
    """The classes of Table 2 as table and bars."""
    table = class_table(results, paper, sources, "" if results.cells else "the paper's IoU of the classes")
    names = [name for name in class_names(results, paper) if any(column == name for _, column in results.cells)]
    blocks = ([Heading("Classes, IoU (%)", 3)] if results.cells else []) + [table]
    if not names:
        return blocks
    rows = {}
    for (row, name), sample in results.cells.items():
        if name in names:
            rows.setdefault(row, {})[name] = sample.spread
    rows = {row: rows[row] for row in dict.fromkeys(row for table, row, _ in paper if table == CLASS_TABLE) if row in rows}
    lines = {
        row: {name: paper[CLASS_TABLE, row, name][0] for name in names if (CLASS_TABLE, row, name) in paper} for row in rows
    }
    caption = f"IoU of the classes on {results.data or 'no data'}: mean over seeds, whiskers: standard deviation"
    caption += "; black lines: the paper." if results.comparable else "."
    name = f"{anchor_of(results.table, results.data)}-classes.png"
    return [*blocks, Picture(name, class_bars(names, rows, lines if results.comparable else None), caption)]


def curves(results, paper, runs):
    """Loss terms of the trainings behind a table's rows; a sentence where their logs are not there."""
    rows, missing = {}, []
    for row, column in cells_of(results, paper):
        if (row, column) not in results.cells:
            continue
        sample = results.cells[row, column]
        label = row if results.table == CLASS_TABLE else f"{row}, {column}"
        for run in dict.fromkeys(m.run for m in sample.measurements):
            path = Path(runs or ".") / Path(run).name / "log.jsonl"
            if runs is not None and path.is_file():
                rows.setdefault(label, []).append(read_log(path))
            else:
                missing.append(run)
    blocks = [Heading("Training curves", 3)]
    if rows:
        caption = "Loss terms, each value the mean of a tenth of the training around it; one line a seed."
        blocks.append(Picture(f"{anchor_of(results.table, results.data)}-curves.png", loss_curves(rows), caption))
    if missing:
        blocks.append(Paragraph(f"No log of {', '.join(dict.fromkeys(missing))}: the run folders are not there."))
    return blocks


def figures(pictures, left_out):
    """The paper's Figures 3 and 4, redrawn, or why they are not there."""
    blocks = [Heading("CIAN, Figures 3 and 4", anchor="figures", short="Figures")]
    for kind, text in FIGURES.items():
        chosen = sorted(name for name in pictures if name.startswith(kind + "_"))
        blocks += [Paragraph(f"{text}.")] if chosen else []
        blocks += [Picture(name, pictures[name], f"{kind}: {Path(name).stem[len(kind) + 1 :]}") for name in chosen]
    if left_out:
        blocks.append(
            Paragraph(f"{left_out} pictures were drawn; they are left out because they show photographs (--photographs).")
        )
    elif not pictures:
        blocks.append(Paragraph("Not drawn."))
    return blocks

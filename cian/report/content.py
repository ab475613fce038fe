"""The report: what the papers claim and what was measured, then each of the papers' tables, and where each number is from.

Everything shown comes from files: experiments/paper.csv, the measurements and curves of experiments/results/NAME, and drawn
pictures. The document is made of blocks (`cian.report.blocks`), which HTML and Markdown are written from.
"""

from pathlib import Path

from cian.report.blocks import Cell, Document, Fold, Heading, Paragraph, Picture, Sources, Table
from cian.report.findings import LARGER, SINGLE, SMALLER, UNCLEAR, UNPAIRED, all_findings
from cian.report.layouts import runs_table
from cian.report.numbers import TableResults, collect
from cian.report.plots import difference_points
from cian.report.sections import anchor_of, commits_text, name_of, section
from cian.report.text import DIFFERENCE_DIGITS, SourceList, interval_text, signed

ALWAYS = tuple(f"CIAN {number}" for number in range(1, 6))  # shown even where nothing was run
FIGURES = {
    "fig3": "Figure 3: query pixel, its affinity on the reference, and the activation of the raw representation, of the "
    "cross-affinity residual and of the augmented representation",
    "fig4": "Figure 4: image, truth, baseline, ours",
}
READING = (
    "How to read it: a difference is the mean over pairs of runs with the same seed, in points of mIoU; the interval is "
    "Student's t over the pairs, 95 %, each for itself, so that one of twenty misses by chance. Larger and smaller: the "
    "interval lies above or below 0; else the difference cannot be told from none. Two pairs make an interval, but one to be "
    "careful with. CIAN's differences in the paper are of ResNet-101, COMNet's of ResNet-50. In the tables below, three "
    "numbers or more are mean ± sample standard deviation over seeds; fewer are all shown."
)
MARKS = {LARGER: "larger", SMALLER: "smaller", UNCLEAR: "unclear"}


def build_report(measurements, paper, title=None, curves=None, pictures=None, left_out=0, command=""):
    """(Document, the list of TableResults) of measurements beside the paper's numbers (`read_paper`).

    curves: of trainings, by run (`read_curves`). pictures: {file name: PNG bytes} named fig3_* and fig4_*. left_out: how many
    pictures there are that are not to be shown. command: what makes the report again.
    """
    tables, sources = collect(measurements, paper), SourceList()
    data = list(dict.fromkeys(results.data for results in tables if results.data is not None))
    published = dict.fromkeys(table for table, _, _ in paper)
    sections, not_run = [], []
    for table in published:
        found = [results for results in tables if results.table == table]
        if not found and table not in ALWAYS:
            not_run.append(Paragraph(f"{name_of(table)}: not run."))
        for results in found or ([TableResults(table, None)] if table in ALWAYS else []):
            sections += section(results, paper, sources, curves or {}, several=len(data) > 1 or len(found) > 1)
    sections += [Heading("Not run", anchor="not-run"), *not_run] if not_run else []
    sections += figures(pictures or {}, left_out)
    for results in (results for results in tables if results.table not in published):
        sections += [Heading(f"Besides: {results.table}", anchor=anchor_of(results.table, results.data), short=results.table)]
        sections += [Paragraph(text, "warning") for text in results.warnings] + [runs_table(results, paper, sources)]
    blocks = [*head(tables, data), *findings(tables, paper), *sections, *made_by(command)]
    entries = sources.entries()
    blocks += [Heading("Sources", anchor="sources"), Fold(f"{len(entries)} runs", (Sources(entries),))] if entries else []
    title = title or "CIAN and COMNet" + (f" on {' and '.join(data)}" if data else "") + ": paper and measured"
    return Document(title, blocks), tables


def head(tables, data):
    """What the report is about: data, networks, how much was measured, when, with which code, on which machine."""
    found = [m for results in tables for m in results.measurements]
    if not found:
        return [Paragraph("Nothing was measured yet; these are the papers' numbers.")]
    blocks = []
    if not all(results.comparable for results in tables):
        text = f"Measured on {' and '.join(data)}; the papers' numbers are of VOC 2012 with larger networks."
        blocks.append(Paragraph(f"{text} Levels cannot be compared, differences between rows can."))
    backbones = sorted({m.settings["backbone"] for m in found if m.seeds and "backbone" in m.settings})
    parts = [f"{len(found)} measurements of {len({m.run for m in found})} runs"]
    parts += [f"network {', '.join(backbones)}"] if backbones else []
    dates, machines = sorted({m.date for m in found if m.date}), sorted({m.machine for m in found if m.machine})
    parts += [f"newest run {dates[-1]}"] if dates else []
    parts += [commits_text(found)] + ([f"machine {' and '.join(machines)}"] if machines else [])
    warned = [results.table for results in tables if results.warnings]
    parts += [f"warnings at {', '.join(dict.fromkeys(warned))}"] if warned else []
    return [*blocks, Paragraph("; ".join(parts) + ".")]


def findings(tables, paper):
    """The answers: what each paper claims, what was measured, and what can be said of it."""
    found, counts = all_findings(tables, paper), counted(tables, paper)
    if not found and not counts:
        return []
    blocks = [Heading("Findings", anchor="findings")] + ([Paragraph(counts)] if counts else [])
    groups = dict.fromkeys((entry.table.split()[0], entry.data) for entry in found)
    for name, data in groups:
        entries = [entry for entry in found if (entry.table.split()[0], entry.data) == (name, data)]
        on = f" on {data}" if len({data for _, data in groups}) > 1 else ""
        reading = [] if any(isinstance(block, Table) for block in blocks) else [Paragraph(READING, "note")]
        blocks += [Paragraph(f"{name}{on}: {answer(entries)}"), findings_table(entries), *reading]
        caption = f"{name}'s differences{on or f' on {data}'}: pairs of runs with the same seed, their mean and its 95 % "
        caption += "interval (an arrow where it goes on), blue above 0, orange below; diamonds: the paper, on VOC 2012."
        blocks.append(Picture(f"{anchor_of(name, data)}-differences.png", difference_points(entries), caption))
    return blocks


def counted(tables, paper):
    """How near Table 1's counts, in which nothing is random, come to the paper's; empty without them."""
    for results in tables:
        if results.table == "CIAN 1" and results.cells:
            apart = [abs(s.spread.mean / paper[("CIAN 1", *cell)][0] - 1) for cell, s in results.cells.items()]
            text = f"{len(apart)} counts of parameters and multiply-adds, {100 * max(apart):.1f} % from the paper's at most"
            return f"CIAN, Table 1: {text}."
    return ""


def answer(entries):
    """In words: which differences are as the paper says, which are not, and how many tell nothing."""
    named = {
        "as the paper says": [f"{e.label}{e.caution}" for e in entries if e.agrees],
        "against the paper": [f"{e.label}{e.caution}" for e in entries if e.agrees is False],
        "where the paper has none": [f"{e.label}, {e.word}{e.caution}" for e in entries if e.clear and e.agrees is None],
    }
    numbers = {word: sum(e.word == word for e in entries) for word in (UNCLEAR, SINGLE, UNPAIRED)}
    parts = [f"{text}: {'; '.join(labels)}" for text, labels in named.items() if labels]
    parts += [f"{word}: {count}" for word, count in numbers.items() if count]
    text = f"{len(entries)} differences. " + ". ".join(part[0].upper() + part[1:] for part in parts)
    return f"{text}."


def findings_table(entries):
    """Findings, one a line."""
    columns = ("what is compared", "measured", "difference", "95 % interval", "in the paper", "each pair, by seed")
    rows = []
    for e in entries:
        digits = DIFFERENCE_DIGITS.get(e.unit, 3)
        values = zip(e.seeds, e.paired.values) if e.paired else ()
        rows.append((
            Cell(f"{e.claim}: {e.label}".replace("+ ", "+\N{NO-BREAK SPACE}"), anchor=anchor_of(e.table, e.data)),
            Cell(e.word + e.caution, mark=MARKS.get(e.word, "unclear")),
            Cell(signed(e.paired.mean if e.paired else e.measured, digits)),
            Cell(interval_text(e.paired, e.unit)),
            Cell("" if e.paper is None else signed(e.paper, 1)),
            Cell(", ".join(f"{seed}: {signed(value, digits)}" for seed, value in values)),
        ))  # fmt: skip
    return Table(columns, tuple(rows), labels=2, stacked=True)


def figures(pictures, left_out):
    """The paper's Figures 3 and 4, redrawn, or why they are not there."""
    blocks = []
    for kind, text in FIGURES.items():
        chosen = sorted(name for name in pictures if Path(name).name.startswith(kind + "_"))
        blocks += [Paragraph(f"{text}.")] if chosen else []
        blocks += [Picture(name, pictures[name], f"Figure {kind[3:]}: {Path(name).stem[len(kind) + 1 :]}") for name in chosen]
    if left_out:
        blocks.append(
            Paragraph(f"{left_out} pictures were drawn; they are left out because they show photographs (--photographs).")
        )
    return [Heading("CIAN, Figures 3 and 4", anchor="figures", short="Figures"), *blocks] if blocks else []


def made_by(command):
    """The command that makes the report again."""
    return [Heading("Made by", anchor="made-by"), Paragraph(command, "code")] if command else []

"""The tables of what was measured in README.md and experiments/results/README.md, made from the committed results.

    .venv/bin/python experiments/glance.py            # write them anew, after results have changed
    .venv/bin/python experiments/glance.py --check    # only say whether they are those of the results; exit status 1 if not
"""

import sys
from pathlib import Path

from cian.base.cli import run_tool
from cian.base.files import read_json, read_text, write_text
from cian.base.parser import Parser
from cian.base.results import read_paper, read_results
from cian.report.content import answer
from cian.report.findings import all_findings
from cian.report.numbers import collect
from cian.report.text import signed

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "experiments" / "results"
BEGIN, END = "<!-- measured: written by experiments/glance.py -->", "<!-- measured: end -->"
#: folder of results -> what README calls its data
COLUMNS = {"animals": "animals of VOC", "scenes": "generated scenes"}
#: label of a finding -> what README calls it
ROWS = {
    "+ CP − Baseline, no CRF": "learning across images (+ CP), no CRF",
    "+ CP − Baseline, CRF": "the same, with CRF",
    "+ CP: common − random, CRF": "references of a common class, not random",
    "+ RT − + CP, CRF": "a second round (+ RT)",
    "inter-matching − baseline": "COMNet: matching between images",
    "ours − IRN, CAM + RW": "COMNet: both matchings, random walk",
}


def parse_args(argv):
    parser = Parser("experiments/glance.py", __doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 if a table is not up to date")
    return parser.parse_args(argv)


def findings_in(folder, paper):
    """The findings of a folder of results; ValueError where its measurements are of several data sets."""
    found = all_findings(collect(read_results(folder), paper), paper)
    data = sorted({entry.data for entry in found})
    if len(data) > 1:
        raise ValueError(f"{folder}: expected measurements of one data set, found {', '.join(data)}")
    return found


def cell(entry):
    """`+3.8 (+2.1 to +5.4)`, bold where the interval leaves 0 out; an empty text for None."""
    if entry is None:
        return "-"
    if entry.paired is None or entry.paired.interval is None:
        return f"{signed(entry.measured, 1)}, one pair"
    low, high = (signed(end, 1) for end in entry.paired.interval)
    mean = signed(entry.paired.mean, 1)
    pairs = f", {entry.paired.n} pairs" if entry.paired.n == 2 else ""
    return f"{f'**{mean}**' if entry.clear else mean} ({low} to {high}{pairs})"


def glance(paper, results=RESULTS):
    """README's table: six differences in the paper and on our data, as Markdown."""
    found = {name: {entry.label: entry for entry in findings_in(results / name, paper)} for name in COLUMNS}
    lines = [f"| difference in mIoU | paper | {' | '.join(COLUMNS.values())} |", "|---|---:|---:|---:|"]
    for label, text in ROWS.items():
        entries = [found[name].get(label) for name in COLUMNS]
        published = next((entry.paper for entry in entries if entry is not None), None)
        lines.append(f"| {text} | {signed(published, 1)} | {' | '.join(map(cell, entries))} |")
    return "\n".join(lines)


def conclusions(paper, results=RESULTS):
    """The table of experiments/results/README.md: a line a paper and report, main job and seeds, as Markdown."""
    lines = ["| report | in a line |", "|---|---|"]
    for name in COLUMNS:
        found = findings_in(results / name, paper)
        for method in dict.fromkeys(entry.table.split()[0] for entry in found):
            line = answer([entry for entry in found if entry.table.split()[0] == method])
            lines.append(f"| [{name}]({name}/REPORT.md#findings), {method} | {line} |")
    jobs = {name: job(results / name) for name in ("quickstart_scenes", "quickstart_animals")}
    lines += [f"| [{name}]({name}/summary.md) | The main job, one seed: {line} |" for name, line in jobs.items()]
    lines.append(f"| [seeds_animals](seeds_animals) | Seeds of the training list: {seeds(results / 'seeds_animals')} |")
    return "\n".join(lines)


def job(folder):
    """A main job in a line: mIoU of both rounds, of true masks where they were trained on, and which classes lose."""
    first, second = (read_json(folder / f"round{number}_val_crf.json") for number in (1, 2))
    both = [(name, value, second["iou"][name]) for name, value in first["iou"].items()]
    lower = [name for name, one, two in both if None not in (one, two) and two < one]
    text = f"with CRF round one {100 * first['miou']:.1f}, round two {100 * second['miou']:.1f}"
    if (folder / "truth_val_crf.json").is_file():
        text += f", trained on true masks {100 * read_json(folder / 'truth_val_crf.json')['miou']:.1f}"
    return f"{text}. {'Lower in round two: ' + ', '.join(lower) if lower else 'No class is lower in round two'}."


def seeds(folder):
    """How good seeds are, in a line."""
    total = read_json(folder / "train_quality.json")["totals"]["foreground"]
    right, found = (round(100 * total[name]) for name in ("precision", "recall"))
    return f"{right} % of their foreground is right; they find {found} % of all foreground."


PAGES = {"README.md": glance, "experiments/results/README.md": conclusions}


def replaced(text, table, page):
    """The text with another table between the two marks; ValueError where they are not there once."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{page}: expected one line {BEGIN!r} and one {END!r}")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"


def main(argv=None):
    args, paper, old = parse_args(argv), read_paper(ROOT / "experiments" / "paper.csv"), []
    for page, make in PAGES.items():
        text = read_text(ROOT / page)
        new = replaced(text, make(paper), page)
        if new != text:
            old.append(page)
            if not args.check:
                write_text(ROOT / page, new)
    for page in old:
        print(f"{page}: {'not what the results say' if args.check else 'written'}")
    return int(bool(old) and args.check)


if __name__ == "__main__":
    sys.exit(run_tool(main, sys.argv[1:], "glance"))

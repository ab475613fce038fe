"""CIAN's Table 1: parameters and multiply-adds of the three networks, as complexity.py counts them, beside the paper's."""

from cian.base.results import Measurement, run_name, write_results
from cian.evaluation.complexity import TABLE1_SIZE, table1

TABLE = "CIAN 1"
COUNTS = {"# Params": ("weights", "M", 1e6), "# FLOPs": ("multiply_adds", "G", 1e9)}  # column -> field, unit, divisor
PAPER = ("resnet101", TABLE1_SIZE)  # Table 1 names neither backbone nor size; "By default, ResNet101 is adopted"


def count_networks(backbones, size, paper):
    """Count the networks of Table 1 from their traced graphs, for images of size (height, width).

    Returns one dict a network and backbone: row, backbone, size, and per column the measured value, and the paper's (None
    unless it is for this backbone and size), in millions and thousand millions.
    paper: see cian.base.results.read_paper. ValueError as in cian.evaluation.complexity.table1.
    """
    found = []
    for name in backbones:
        published = (name, tuple(size)) == PAPER
        for row, counted in table1(name, size).items():
            columns = {}
            for column, (key, _, divisor) in COUNTS.items():
                value = paper[TABLE, row, column][0] if published else None
                columns[column] = {"paper": value, "measured": getattr(counted, key) / divisor}
            found.append({"row": row, "backbone": name, "size": list(size), **columns})
    return found


def write_counts(folder, counted, commit):
    """Write each number of count_networks; another backbone or size than the paper's is named in the column."""
    found = []
    for entry in counted:
        size = "x".join(map(str, entry["size"]))
        settings = {"backbone": entry["backbone"], "size": entry["size"], "without": ["fc1"]}
        run = run_name("complexity", entry["backbone"], size, settings=settings)
        other = (entry["backbone"], tuple(entry["size"])) != PAPER
        for column, (_, unit, _) in COUNTS.items():
            name = f"{column}, {entry['backbone']}, {size}" if other else column
            value = entry[column]["measured"]
            found.append(Measurement(TABLE, entry["row"], name, value, unit, run, commit, settings=settings))
    write_results(folder, found)


def count_table(counted):
    """Markdown: paper, measured, and their difference in per cent of the paper's."""
    cells = [f"{column} {kind}" for column in COUNTS for kind in ("paper", "measured", "difference")]
    lines = ["| network | backbone | input | " + " | ".join(cells) + " |", "|---|---|---|" + "---:|" * len(cells)]
    for entry in counted:
        line = [entry["row"], entry["backbone"], "x".join(map(str, entry["size"]))]
        for column, (_, unit, _) in COUNTS.items():
            paper, measured = entry[column]["paper"], entry[column]["measured"]
            known = paper is not None
            line.append(f"{paper:.1f} {unit}" if known else "")
            line.append(f"{measured:.{3 if unit == 'M' else 2}f} {unit}")
            line.append(f"{100 * (measured / paper - 1):+.2f} %" if known else "")
        lines.append("| " + " | ".join(line) + " |")
    return "\n".join(lines)

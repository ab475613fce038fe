"""Plots of a report, as PNG bytes: classes as bars, differences as points with intervals, loss terms as curves."""

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#666666")  # told apart by the colour-blind too
LINES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (2.5, 2.5)), (0, (9, 2)))  # and without colours
DPI = 130
VERDICTS = {"larger": COLOURS[0], "smaller": COLOURS[1]}  # all others grey


def class_bars(classes, rows, paper=None):
    """A bar for every class and row. rows: {row: {class: Spread}}; paper: {row: {class: value}}, drawn as lines on the bars.

    Bars stand for means, whiskers for the 95 % interval of three values or more; a class that was not measured has none.
    """
    figure = Figure(figsize=(max(7.2, 0.55 * len(classes) + 2.2), 4.2), dpi=DPI, constrained_layout=True)
    axes = figure.add_subplot()
    width = 0.82 / len(rows)
    for number, (row, found) in enumerate(rows.items()):
        shift, colour = (number - (len(rows) - 1) / 2) * width, COLOURS[number % len(COLOURS)]
        present = [(place + shift, found[name]) for place, name in enumerate(classes) if name in found]
        places, spreads = [place for place, _ in present], [spread for _, spread in present]
        halves = [spread.interval[1] - spread.mean if spread.n > 2 else 0 for spread in spreads]
        means = [spread.mean for spread in spreads]
        ends = [[min(half, mean), min(half, 100 - mean)] for half, mean in zip(halves, means)]  # an IoU lies in 0..100
        whiskers = list(zip(*ends)) if any(halves) else None
        axes.bar(places, means, 0.92 * width, color=colour, label=row, yerr=whiskers, error_kw=dict(lw=0.9, capsize=2))
        published = (paper or {}).get(row, {})
        for place, name in enumerate(classes):
            if name in published:
                ends = place + shift - width / 2, place + shift + width / 2
                axes.hlines(published[name], *ends, colors="black", lw=1.3, label="paper")
    axes.set_xticks(range(len(classes)))
    axes.set_xticklabels(classes, rotation=40 if len(classes) > 5 else 0, ha="right" if len(classes) > 5 else "center")
    axes.set(ylabel="IoU, per cent", xlim=(-0.6, len(classes) - 0.4), ylim=(0, None))
    axes.grid(axis="y", alpha=0.25)
    legend(axes, ncol=len(rows) + 1, loc="upper center", bbox_to_anchor=(0.5, -0.22))
    return to_png(figure)


def difference_points(entries):
    """Differences one under the other. entries: Findings (`cian.report.findings`) of one paper.

    An interval that would make the others unreadable ends at the edge, with an arrow.
    """
    figure = Figure(figsize=(8.4, 0.3 * len(entries) + 1.2), dpi=DPI, constrained_layout=True)
    axes = figure.add_subplot()
    axes.axvline(0, color="black", lw=0.9)
    numbers = [0.0] + [entry.paper for entry in entries if entry.paper is not None] + [entry.measured for entry in entries]
    numbers += [value for entry in entries if entry.paired for value in entry.paired.values]
    room = 0.3 * (max(numbers) - min(numbers) or 1)
    left, right = min(numbers) - room, max(numbers) + room
    for place, entry in enumerate(entries):
        colour, values = VERDICTS.get(entry.word, COLOURS[5]), entry.paired.values if entry.paired else ()
        interval, mean = (entry.paired.interval, entry.paired.mean) if entry.paired else (None, entry.measured)
        if interval is not None:
            ends = [min(max(end, left), right) for end in interval]
            axes.plot(ends, [place, place], "-", color=colour, lw=1.8, label="95 % interval")
            for end, beyond, mark in ((left, interval[0] < left, "<"), (right, interval[1] > right, ">")):
                if beyond:
                    axes.plot(end, place, mark, color=colour, ms=7, clip_on=False)
        if len(values) > 1:
            axes.plot(values, [place] * len(values), "|", color=colour, ms=10, mew=1.3, label="one pair")
        axes.plot(mean, place, "o", color=colour, ms=7, label="here")
        if entry.paper is not None:
            axes.plot(entry.paper, place, "D", color="black", mfc="white", ms=6.5, label="paper")
    axes.set_yticks(range(len(entries)))
    axes.set_yticklabels([f"{entry.label} (Table {entry.table.split()[-1]})" for entry in entries], fontsize=8.5)
    axes.set(ylim=(len(entries) - 0.5, -0.5), xlim=(left, right), xlabel="difference of mIoU, points")
    axes.grid(axis="x", alpha=0.25)
    legend(axes, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return to_png(figure)


def training_curves(rows, terms):
    """A panel for each of the terms, in it every row. rows: {row: [{term: [epochs, values]} of a seed, ...]}.

    Each row has its colour and its kind of line; the first lies on top, where lines cover each other.
    """
    across = min(2, len(terms))
    down = (len(terms) + across - 1) // across
    figure = Figure(figsize=(9.4 if across > 1 else 7.2, 2.7 * down + 0.7), dpi=DPI, constrained_layout=True)
    panels = figure.subplots(down, across, squeeze=False, sharex=True).ravel()
    for axes, term in zip(panels, terms):
        for number, (row, logs) in enumerate(rows.items()):
            look = dict(color=COLOURS[number % len(COLOURS)], ls=LINES[number % len(LINES)], zorder=3 - number / len(rows))
            for curves in logs:
                if term in curves:
                    axes.plot(*curves[term], lw=1.5, label=row, marker="." if len(curves[term][0]) < 30 else "", **look)
        axes.set_title(term, fontsize=10)
        axes.grid(alpha=0.25)
        legend(axes, handlelength=3.2)
        axes.set_xlabel("epochs")
        axes.tick_params(labelbottom=True)
        axes.set_ylim(bottom=0)
    for axes in panels[len(terms) :]:
        axes.set_visible(False)
    return to_png(figure)


def legend(axes, **place):
    """A legend with every label once, however many things have it."""
    handles = {label: handle for handle, label in zip(*axes.get_legend_handles_labels())}
    axes.legend(handles.values(), handles.keys(), fontsize=8, frameon=False, **place)


def to_png(figure):
    """A figure as PNG bytes, the same for the same figure."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()

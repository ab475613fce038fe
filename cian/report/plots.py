"""Plots of a report, as PNG bytes: classes as bars, differences as points, loss terms as curves."""

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cian.report.training_log import smooth

COLOURS = ("#999999", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")  # told apart by the colour-blind too
DPI = 130


def class_bars(classes, rows, paper=None):
    """A bar for every class and row. rows: {row: {class: Spread}}; paper: {row: {class: value}}, drawn as lines on the bars.

    Bars stand for means, whiskers for the standard deviation where there is one; a class that was not measured has none.
    """
    figure = Figure(figsize=(max(7.2, 0.55 * len(classes) + 2.2), 4.2), dpi=DPI, constrained_layout=True)
    axes = figure.add_subplot()
    width = 0.82 / len(rows)
    for number, (row, found) in enumerate(rows.items()):
        shift, colour = (number - (len(rows) - 1) / 2) * width, COLOURS[number % len(COLOURS)]
        present = [(place + shift, found[name]) for place, name in enumerate(classes) if name in found]
        places, spreads = [place for place, _ in present], [spread for _, spread in present]
        whiskers = [spread.sd or 0 for spread in spreads] if any(spread.n > 1 for spread in spreads) else None
        means = [spread.mean for spread in spreads]
        axes.bar(places, means, 0.92 * width, color=colour, label=row, yerr=whiskers, error_kw=dict(lw=0.9, capsize=2))
        published = (paper or {}).get(row, {})
        for place, name in enumerate(classes):
            if name in published:
                ends = place + shift - width / 2, place + shift + width / 2
                axes.hlines(published[name], *ends, colors="black", lw=1.3, label="paper")
    axes.set_xticks(range(len(classes)))
    axes.set_xticklabels(classes, rotation=40 if len(classes) > 5 else 0, ha="right" if len(classes) > 5 else "center")
    axes.set(ylabel="IoU, per cent", xlim=(-0.6, len(classes) - 0.4))
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", alpha=0.25)
    legend(axes, ncol=len(rows) + 1, loc="upper center", bbox_to_anchor=(0.5, -0.22))
    return to_png(figure)


def difference_points(entries):
    """Differences one under the other. entries: (label, paper's value or None, measured mean, values of the single seeds)."""
    figure = Figure(figsize=(8.4, 0.27 * len(entries) + 1.3), dpi=DPI, constrained_layout=True)
    axes = figure.add_subplot()
    axes.axvline(0, color="black", lw=0.9)
    for place, (_, paper, measured, values) in enumerate(entries):
        if paper is not None:
            axes.plot(paper, place, "D", color=COLOURS[2], mfc="white", ms=7, label="paper")
        axes.plot(measured, place, "o", color=COLOURS[1], ms=8, label="measured")
        if len(values) > 1:
            axes.plot(values, [place] * len(values), "|", color=COLOURS[1], ms=12, mew=1.5, label="one seed")
    axes.set_yticks(range(len(entries)))
    axes.set_yticklabels([label for label, *_ in entries], fontsize=8.5)
    axes.set(ylim=(len(entries) - 0.5, -0.5), xlabel="difference of mIoU, points")
    axes.grid(axis="x", alpha=0.25)
    legend(axes, loc="center left", bbox_to_anchor=(1.01, 0.5))
    return to_png(figure)


def loss_curves(rows):
    """A panel for every loss term, in it every row. rows: {row: [(epochs, {term: values}) of a seed, ...]}; smoothed."""
    terms = list(dict.fromkeys(term for logs in rows.values() for _, losses in logs for term in losses))
    across = min(2, len(terms))
    down = (len(terms) + across - 1) // across
    figure = Figure(figsize=(9.4 if across > 1 else 7.2, 2.7 * down + 0.7), dpi=DPI, constrained_layout=True)
    panels = figure.subplots(down, across, squeeze=False, sharex=True).ravel()
    for axes, term in zip(panels, terms):
        for number, (row, logs) in enumerate(rows.items()):
            for epochs, losses in logs:
                if term in losses:
                    axes.plot(epochs, smooth(losses[term]), color=COLOURS[number % len(COLOURS)], lw=1.3, alpha=0.85, label=row)
        axes.set_title(term, fontsize=10)
        axes.grid(alpha=0.25)
        legend(axes)
        axes.set_xlabel("epochs")
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

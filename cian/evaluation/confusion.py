"""Which class is taken for which: the confusion matrix of a list of images, as CSV and as a picture."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cian.base.files import replacing, write_text

UNASSIGNED = "unassigned"
NUMBERS_UP_TO = 25  # classes whose cells hold their number


def row_shares(confusion):
    """Counts (K, n) -> float64 (K, n), each row divided by its sum: of a true class the share taken for each; NaN where 0."""
    totals = np.asarray(confusion, np.float64).sum(axis=1, keepdims=True)
    return np.divide(confusion, totals, out=np.full(np.shape(confusion), np.nan), where=totals > 0)


def write_confusion(stem, scores, title=""):
    """Write STEM.csv and STEM.png of Scores: rows truth, columns prediction, shares of each row; the CSV has its pixels too.

    The CSV has all classes and is empty where a class is not in the truth; the picture has those that occur, in per cent.
    The last column, unassigned, is there if any pixel is (seeds).
    """
    columns = list(scores.classes) + ([UNASSIGNED] if scores.unassigned.any() else [])
    shares = row_shares(scores.confusion)[:, : len(columns)]
    lines = [",".join(["truth", "pixels", *columns])]
    for name, pixels, row in zip(scores.classes, scores.truth, shares):
        lines.append(",".join([name, str(pixels), *("" if np.isnan(value) else f"{value:.6f}" for value in row)]))
    write_text(f"{stem}.csv", "\n".join(lines) + "\n")
    rows = np.flatnonzero(scores.truth)
    shown = np.flatnonzero(scores.confusion.sum(axis=0)[: len(columns)] + np.isin(np.arange(len(columns)), rows))
    picture = _draw(100 * shares[np.ix_(rows, shown)], [scores.classes[i] for i in rows], [columns[i] for i in shown], title)
    with replacing(f"{stem}.png") as temporary:
        picture.print_png(str(temporary))


def _draw(percents, rows, columns, title):
    """The matrix (rows, columns), per cent, as a canvas: the darker the more; the diagonal is what is right."""
    size = 0.34 if len(columns) > NUMBERS_UP_TO else 0.5
    figure = Figure(figsize=(2.6 + size * len(columns), 1.8 + size * len(rows)), dpi=110, constrained_layout=True)
    axes = figure.add_subplot()
    axes.imshow(percents, cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlabel="prediction", ylabel="truth", title=title)
    axes.tick_params(length=0)
    for (row, column), value in np.ndenumerate(percents):
        if len(columns) <= NUMBERS_UP_TO and value >= 0.5:
            ink = "white" if value > 60 else "black"
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=8, color=ink)
    return FigureCanvasAgg(figure)

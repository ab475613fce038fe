"""A report's files: REPORT.html, REPORT.md with its pictures beside it, and numbers.csv."""

import csv
import io
from pathlib import Path

from PIL import Image

from cian.base.files import write_bytes, write_text
from cian.report.blocks import Picture
from cian.report.html import to_html
from cian.report.markdown import to_markdown

FIGURES = "figures"  # folder of the pictures, beside the report and among the results
STARTS = {".png": b"\x89PNG\r\n\x1a\n", ".jpg": b"\xff\xd8\xff"}  # of the files of pictures
KINDS = ("fig3_", "fig4_")
LARGEST = 300_000  # bytes of a picture that is kept
COLUMNS = ("table", "row", "column", "data", "unit", "paper", "mean", "sd", "n", "seeds", "values", "runs", "note")


def write_report(folder, document, tables, paper):
    """Write a Document and the numbers behind it (list of TableResults, `read_paper`) into a folder; the paths written."""
    folder = Path(folder)
    pictures = document.every(Picture)
    for picture in pictures:
        write_bytes(folder / picture.name, picture.data)
    write_text(folder / "REPORT.html", to_html(document))
    write_text(folder / "REPORT.md", to_markdown(document))
    write_text(folder / "numbers.csv", numbers_csv(tables, paper))
    return [folder / name for name in ("REPORT.html", "REPORT.md", "numbers.csv", *(picture.name for picture in pictures))]


def read_pictures(folder):
    """{figures/NAME: bytes} of a folder's fig3_* and fig4_*, .png or .jpg; errors name a missing folder or a bad file."""
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"{folder}: no such folder of figures")
    found = {}
    for path in sorted(path for path in Path(folder).iterdir() if path.name.startswith(KINDS) and path.suffix in STARTS):
        name = f"{FIGURES}/{path.name}"
        found[name] = path.read_bytes()
        if not found[name].startswith(STARTS[path.suffix]):
            raise ValueError(f"{path}: not a {path.suffix[1:].upper()} file")
    return found


def keep_pictures(folder, pictures):
    """Put pictures (`read_pictures`) into FOLDER/figures as JPEGs of at most LARGEST bytes, in the place of those there."""
    kept = {Path(name).with_suffix(".jpg").name: as_jpeg(data) for name, data in pictures.items()}
    for name, data in kept.items():
        write_bytes(Path(folder) / FIGURES / name, data)
    for name in read_pictures(Path(folder) / FIGURES):
        if Path(name).name not in kept:
            (Path(folder) / name).unlink()


def as_jpeg(picture):
    """A picture's bytes as a JPEG: the best quality with which it has at most LARGEST bytes, else that of 40."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    for quality in (80, 70, 60, 50, 40):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= LARGEST:
            break
    return buffer.getvalue()


def numbers_csv(tables, paper):
    """CSV of every cell of the papers and every measurement, unrounded: a line a cell and data set, blank where not run.

    seeds, values and runs are in the same order, separated by `;`.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for (table, row, column), (value, unit) in paper.items():
        found = [
            (results.data, results.cells[row, column])
            for results in tables
            if results.table == table and (row, column) in results.cells
        ]
        for data, sample in found or [(None, None)]:
            writer.writerow([table, row, column, data, unit, value, *measured(sample), ""])
    for results in tables:
        others = [(cell, sample, "") for cell, sample in results.cells.items() if (results.table, *cell) not in paper]
        others += [(sample.measurements[0].cell[1:], sample, note) for sample, note in results.further]
        for cell, sample, note in others:
            unit, (value, wanted) = sample.measurements[0].unit, paper.get((results.table, *cell), ("", ""))
            row = [results.table, *cell, results.data, unit, value if unit == wanted else "", *measured(sample)]
            writer.writerow([*row, note or "beside the paper's cells"])
    return file.getvalue()


def measured(sample):
    """mean, sd, n, seeds, values and runs of a Sample; empty for None. The last digits of sd differ between Pythons."""
    if sample is None:
        return [""] * 6
    found, spread = sample.measurements, sample.spread
    lists = (" ".join(map(str, m.seeds)) for m in found), (repr(m.value) for m in found), (m.run for m in found)
    return [spread.mean, "" if spread.sd is None else f"{spread.sd:.9g}", spread.n, *map(";".join, lists)]

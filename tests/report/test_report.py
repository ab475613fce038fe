"""The report as written: values in the right places, HTML and Markdown with the same numbers, nothing from outside."""

import base64
import csv
import io
import re

import pytest
from PIL import Image
from report_pages import ROOT, Page, markdown_tables, measured, png, results

from cian.base.results import read_paper, read_results
from cian.report.blocks import Cell, Document, Heading, Paragraph, Picture, Table
from cian.report.content import build_report
from cian.report.files import numbers_csv
from cian.report.html import to_html
from cian.report.markdown import to_markdown
from cian.scenes.generate import CLASSES as SCENE_CLASSES

ROWS = ("Baseline", "+ CE", "+ CP", "+ RT")


@pytest.fixture(scope="module")
def paper():
    return read_paper(ROOT / "experiments" / "paper.csv")


def table_with(page, *heads):
    """The first table whose header begins with these titles: its rows, the header first."""
    for rows in page.tables:
        if rows[0][: len(heads)] == list(heads):
            return rows
    raise AssertionError(f"no table of {heads} among {[rows[0] for rows in page.tables]}")


def test_levels_and_differences_on_other_data(paper):
    document, _ = build_report(results(), paper)
    page = Page(to_html(document))
    text = " ".join(page.text)
    assert "what the parts of the method add – on animals, not the paper's data set" in text
    assert "Measured on animals, published on VOC 2012: the levels are not compared." in text
    rows = table_with(page, "row", "column", "paper, VOC 2012 (%)", "measured, animals (%)", "seeds", "sources")
    assert rows[1:] == [
        ["Baseline", "mIoU", "58.3", "39.17 ± 1.26", "3", "1,2,3"],
        ["+ CE", "mIoU", "59.1", "38.50", "1", "4"],
        ["+ CP", "mIoU", "62.5", "41.33 ± 2.31", "3", "5,6,7"],
        ["+ RT", "mIoU", "64.3", "", "", ""],
    ]
    rows = table_with(page, "rows", "paper", "measured", "paired by seed", "pairs", "each seed")
    assert rows[1:] == [
        ["+ CE − Baseline", "+0.8", "−0.67", "+0.50", "1", "0: +0.50", "−1.47", "1,2,3,4"],  # 38.5 - 39.1667; - 0.8
        ["+ CP − + CE", "+3.4", "+2.83", "+1.50", "1", "0: +1.50", "−0.57", "4,5,6,7"],
        ["+ CP − Baseline", "+4.2", "+2.17", "+2.17 ± 1.26", "3", "0: +2.00, 1: +1.00, 2: +3.50", "−2.03", "1,2,3,5,6,7"],
        ["+ RT − + CP", "+1.8", "", "", "", "", "", ""],
        ["+ RT − Baseline", "+6.0", "", "", "", "", "", ""],
    ]
    classes = {row[0]: row for row in table_with(page, "class", "Baseline, paper", "Baseline, measured")}
    assert classes["cat"] == ["cat", "65.9", "36.9 ± 1.3", "68.7", "36.2", "77.5", "39.1 ± 2.3", "81.7", ""]
    assert classes["chair"] == ["chair", "22.7", "", "21.1", "", "27.2", "", "27.6", ""]
    assert classes["sources"] == ["sources", "", "1,2,3", "", "4", "", "5,6,7", "", ""]
    assert len(classes) == 21 + 3  # header, mIoU, sources


def test_levels_on_the_papers_data(paper):
    document, _ = build_report(results("voc12", backbone="resnet101"), paper)
    page = Page(to_html(document))
    rows = table_with(page, "row", "column", "paper (%)", "measured (%)", "seeds", "difference", "sources")
    assert rows[1][:6] == ["Baseline", "mIoU", "58.3", "39.17 ± 1.26", "3", "−19.13"]
    assert rows[4] == ["+ RT", "mIoU", "64.3", "", "", "", ""]
    assert "not the paper's data set" not in " ".join(page.text) and "Warning." not in page.text


def test_every_paper_cell_is_shown_even_without_any_run(paper):
    document, tables = build_report([], paper)
    page = Page(to_html(document))
    levels = [row[:3] for rows in page.tables if rows[0][:2] == ["row", "column"] for row in rows[1:]]
    cian = {cell: found for cell, found in paper.items() if cell[0].startswith("CIAN")}
    assert levels == [
        [row, column, f"{value:.1f}" + (f" {unit}" if table == "CIAN 1" else "")]
        for (table, row, column), (value, unit) in cian.items()
        if not column.endswith("Delta") and (table != "CIAN 2" or column == "mIoU")
    ]
    classes = table_with(page, "class")[1:]
    assert len(classes) == 22 and classes[0] == ["background", "85.0", "", "84.9", "", "87.1", "", "88.2", ""]
    shown = {name: values for name, *values in classes}
    for (table, row, column), (value, _) in cian.items():
        if table == "CIAN 2":
            assert shown[column][2 * list(ROWS).index(row)] == f"{value:.1f}"
    published = [rows for rows in page.tables if rows[0][:2] == ["rows", "paper"]][-1][1:]
    deltas = [f"+{value:.1f}" for (_, _, column), (value, _) in cian.items() if column.endswith("Delta")]
    assert sorted(row[1] for row in published) == sorted(deltas) and len(deltas) == 12
    text = " ".join(page.text)
    assert all(f"COMNet, Table {number}: " in text for number in ("I", "II", "III", "IV", "V", "VI", "VII"))
    assert "COMNet, Table VII: comparison with other methods on COCO: not run." in text and "Not drawn." in text
    assert tables == [] and not any(isinstance(block, Picture) for block in document.blocks)


def test_html_and_markdown_show_the_same_tables(paper):
    document, _ = build_report(results(), paper)
    page, tables = Page(to_html(document)), markdown_tables(to_markdown(document))
    without_spaces = [[[cell.replace(", ", ",") for cell in row] for row in rows] for rows in tables[:-1]]  # the last: sources
    assert without_spaces == [[[cell.replace(", ", ",") for cell in row] for row in rows] for rows in page.tables]
    assert len(tables[-1]) == 1 + 7 and tables[-1][1][1:5] == ["cian_animals_Baseline-0", "0", "c0ffeec0ff", "data-of-anim"]


def test_the_page_needs_nothing_else(paper):
    pictures = {"fig3_a.png": png(5), "fig4_worst.png": png(9)}
    document, _ = build_report(results(), paper, pictures=pictures)
    html = to_html(document)
    page = Page(html)
    assert not page.names & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert not re.search(r"https?:|url\(|@import", html)
    targets = [found for found in page.references if not found.startswith("data:image/png;base64,")]
    assert targets and all(found.startswith("#") and found[1:] in page.anchors for found in targets)
    assert len(page.anchors) == len(set(page.anchors))
    images = [base64.b64decode(found.split(",")[1]) for found in page.references if found.startswith("data:")]
    assert images[-2:] == list(pictures.values()) and len(images) == 2 + 2  # differences, bars
    for image in images:
        Image.open(io.BytesIO(image)).verify()


def test_text_is_escaped():
    evil = 'a<b> & "c" | *d* _e_ [f](g)'
    picture = Picture("x.png", png(1), evil)
    blocks = [Heading(evil, anchor="h"), Paragraph(evil, "warning"), Table((evil,), ((Cell(evil, tip=evil),),), summary=evil)]
    document = Document(evil, [*blocks, picture])
    page = Page(to_html(document))
    assert page.tables == [[[evil], [evil]]] and "b" not in page.names
    assert markdown_tables(to_markdown(document)) == [[[evil], [evil]]]
    with pytest.raises(ValueError, match=r"rows\[0\]: 1 cells, expected 2"):
        Table(("a", "b"), ((Cell("1"),),))


def test_warnings_are_visible_in_both(paper):
    found = [measured("CIAN 2", "Baseline", "mIoU", 0.38, unit="fraction"), measured("Seeds", "a", "b", 1.5)]
    document, _ = build_report(found, paper)
    for text in (" ".join(Page(to_html(document)).text), to_markdown(document)):
        assert "Baseline, mIoU: unit fraction, in the paper %" in text and "1 warning stands beside its table below." in text
        assert "0.380" in text and "1.50" in text  # both shown under the further measurements


def test_classes_of_the_scenes_are_drawn(paper):
    found = [measured("CIAN 2", "+ CP", name, 50.0, 0, "scenes") for name in (*SCENE_CLASSES, "mIoU")]
    document, (table,) = build_report(found, paper)
    assert not table.further and sum(isinstance(block, Picture) for block in document.blocks) == 1
    rows = table_with(Page(to_html(document)), "class")
    assert rows[22:-2] == [[name, "", "", "", "", "", "50.0", "", ""] for name in SCENE_CLASSES[1:]]


def test_numbers_csv(paper):
    found = results() + [measured("CIAN 2", "Baseline", "mIoU", 0.38, unit="fraction")]
    _, tables = build_report(found, paper)
    rows = list(csv.DictReader(io.StringIO(numbers_csv(tables, paper))))
    assert len(rows) == len(paper) + 1
    by_cell = {(row["table"], row["row"], row["column"], row["unit"]): row for row in rows}
    row = by_cell["CIAN 2", "Baseline", "mIoU", "%"]
    assert float(row["mean"]) == 117.5 / 3 and float(row["sd"]) == pytest.approx(1.2583057) and row["n"] == "3"
    assert (row["paper"], row["data"], row["seeds"], row["values"]) == ("58.3", "animals", "0;1;2", "38.0;39.0;40.5")
    single, blank = by_cell["CIAN 2", "+ CE", "mIoU", "%"], by_cell["CIAN 2", "+ RT", "mIoU", "%"]
    assert (single["mean"], single["sd"], single["n"]) == ("38.5", "", "1")
    assert (blank["paper"], blank["mean"], blank["sd"], blank["n"], blank["data"]) == ("64.3", "", "", "", "")
    wrong = by_cell["CIAN 2", "Baseline", "mIoU", "fraction"]
    assert (wrong["mean"], wrong["paper"], wrong["note"]) == ("0.38", "", "unit fraction, in the paper %")


def test_the_committed_counts_of_table_1(paper):
    counts = [m for m in read_results(ROOT / "experiments" / "results" / "scenes") if m.table == "CIAN 1"]
    document, (table,) = build_report(counts, paper)
    rows = table_with(Page(to_html(document)), "row", "column", "paper", "measured", "seeds", "difference")
    assert rows[1] == ["Vanilla Deeplab", "# Params", "42.4 M", "42.395 M", "–", "−0.005 (−0.01 %)", "1"]
    assert rows[6] == ["Ours", "# FLOPs", "89.7 G", "89.83 G", "–", "+0.13 (+0.15 %)", "1"]
    assert len(rows) == 7 and not table.warnings
    assert len(table.further) == len(counts) - 6 > 0  # other networks and sizes, which the paper does not have

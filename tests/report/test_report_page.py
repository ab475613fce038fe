"""The report as a page: nothing from outside, text escaped, right on a telephone and on paper."""

import base64
import io
import re

import pytest
from PIL import Image
from report_pages import Page, markdown_tables, png, results

from cian.report.blocks import Cell, Document, Fold, Heading, Paragraph, Picture, Table
from cian.report.content import build_report
from cian.report.html import to_html
from cian.report.markdown import to_markdown


def test_the_page_needs_nothing_else(paper):
    pictures = {"figures/fig3_a.png": png(5), "figures/fig4_worst.png": png(9)}
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
    table = Table((evil,), ((Cell(evil, anchor=evil),),), groups=(evil,), stacked=True)
    blocks = [Heading(evil, anchor="h"), Paragraph(evil, "warning"), Paragraph(evil, "code"), Fold(evil, (table,))]
    document = Document(evil, [*blocks, picture])
    page = Page(to_html(document))
    assert page.tables == [[[evil], [evil], [evil]]] and "b" not in page.names
    assert markdown_tables(to_markdown(document)) == [[[f"{evil}: {evil}"], [evil]]]
    with pytest.raises(ValueError, match=r"rows\[0\]: 1 cells, expected 2"):
        Table(("a", "b"), ((Cell("1"),),))
    with pytest.raises(ValueError, match="groups: 1 titles, expected 2"):
        Table(("a", "b"), (), groups=("c",))


def test_the_page_fits_a_telephone_and_paper(paper, browser, tmp_path):
    document, _ = build_report(results(), paper, pictures={"figures/fig3_a.png": png(5, (1360, 800))})
    (tmp_path / "page.html").write_text(to_html(document), encoding="utf-8")
    browser.screen(390, 844, phone=True)
    browser.open(tmp_path / "page.html")
    assert browser.run("document.documentElement.scrollWidth") == 390
    assert browser.run("Array.from(document.querySelectorAll('.stacked td')).every((cell) => cell.offsetWidth <= 390)")
    assert browser.run("document.querySelectorAll('[title]').length") == 0  # no tips that need a mouse
    browser.pdf(tmp_path / "page.pdf")
    pages = (tmp_path / "page.pdf").read_bytes().count(b"/Type /Page\n")
    assert 3 <= pages <= 12

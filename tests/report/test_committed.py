"""The committed reports: made from the committed results alone, they are what the command in them gives."""

import pytest
from report_pages import ROOT, Page
from scripts import module_of

from cian.base.results import read_paper, read_results
from cian.report.content import build_report
from cian.report.html import to_html

RESULTS = ROOT / "experiments" / "results"


def test_the_counts_of_table_1():
    paper = read_paper(ROOT / "experiments" / "paper.csv")
    counts = [m for m in read_results(RESULTS / "scenes") if m.table == "CIAN 1"]
    document, (table,) = build_report(counts, paper)
    rows = Page(to_html(document)).tables[0]
    assert rows[2] == ["Vanilla Deeplab", "42.4", "42.395", "−0.005 (−0.01 %)", "72.5", "72.69", "+0.19 (+0.27 %)"]
    assert rows[4] == ["Ours", "50.8", "50.783", "−0.017 (−0.03 %)", "89.7", "89.83", "+0.13 (+0.15 %)"]
    assert rows[5] == ["Vanilla Deeplab, resnet10, 129x129", "", "0.496", "", "", "0.18", ""]
    assert len(rows) == 2 + len(counts) / 2 and not table.warnings  # other networks and sizes, which the paper does not have


@pytest.mark.parametrize("name", ["animals", "scenes"])
def test_the_committed_report_is_what_the_command_gives(name, tmp_path):
    folder = RESULTS / name
    command = f"```\ncian report --results experiments/results/{name} --output FOLDER\n```"
    assert command in (folder / "REPORT.md").read_text(encoding="utf-8")
    module_of("report").main(["--results", str(folder), "--output", str(tmp_path)])
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} - {"REPORT.html"}
    for name in ("REPORT.md", "numbers.csv"):
        assert (tmp_path / name).read_text(encoding="utf-8") == (folder / name).read_text(encoding="utf-8")
    assert made == {path.name for path in folder.glob("*.*") if path.suffix in (".png", ".md", ".csv")} | {
        path.relative_to(folder).as_posix() for path in folder.glob("figures/*")}  # fmt: skip

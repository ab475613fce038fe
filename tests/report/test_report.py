"""The report as written: values in the right places, HTML and Markdown with the same numbers."""

import csv
import dataclasses
import io

import pytest
from report_pages import Page, markdown_tables, measured, results

from cian.report.blocks import Heading, Picture
from cian.report.content import build_report
from cian.report.files import numbers_csv
from cian.report.html import to_html
from cian.report.markdown import to_markdown
from cian.scenes.generate import CLASSES as SCENE_CLASSES


def table_with(page, *heads):
    """The first table with a line of titles that begins with these: its rows from that line on."""
    for rows in page.tables:
        for number, row in enumerate(rows[:2]):
            if row[: len(heads)] == list(heads):
                return rows[number:]
    raise AssertionError(f"no table of {heads} among {[rows[:2] for rows in page.tables]}")


def section_tables(page, anchor):
    """The tables between an anchor and the next heading."""
    return [rows for rows, found in zip(page.tables, page.sections) if found == anchor]


def test_findings_come_first(paper):
    document, _ = build_report(results(), paper)
    page = Page(to_html(document))
    assert page.sections[0] == "findings" and [h.anchor for h in document.every(Heading)][:2] == ["findings", "cian-1"]
    rows = table_with(page, "what is compared")
    assert [row[:6] for row in rows[1:]] == [
        ["a loss on the cross-image prediction helps: +\xa0CE − Baseline, CRF", "one pair, no interval", "+0.50", "", "+0.8",
         "0: +0.50"],
        ["completing the labels helps more: +\xa0CP − +\xa0CE, CRF", "one pair, no interval", "+1.50", "", "+3.4", "0: +1.50"],
        # 2, 1, 3.5: mean 2.1667, deviation 1.2583; t(2) = 4.3027 -> 3.1259 on either side
        ["both together help: +\xa0CP − Baseline, CRF", "not distinguishable", "+2.17", "−0.96 to +5.29", "+4.2",
         "0: +2.00, 1: +1.00, 2: +3.50"],
        ["images with a common class help more than random ones: +\xa0CP: common − random, CRF", "one pair, no interval",
         "+1.50", "", "+2.8", "0: +1.50"],
    ]  # fmt: skip
    text = " ".join(page.text)
    assert "CIAN: 4 differences. Not distinguishable: 1. One pair, no interval: 3." in text
    assert "Levels cannot be compared, differences between rows can." in text


def test_clear_differences_are_named(paper):
    found = [measured("CIAN 2", row, "mIoU", value + shift, seed) for row, shift in (("Baseline", 0), ("+ CP", 3), ("+ RT", -4))
             for seed, value in enumerate((38.0, 39.0, 40.5))]  # fmt: skip
    page = Page(to_html(build_report(found, paper)[0]))
    assert (
        "CIAN: 3 differences. As the paper says: + CP − Baseline, CRF. Against the paper: + RT − + CP, CRF; "
        "+ RT − Baseline, CRF." in " ".join(page.text)
    )
    words = [row[1] for row in table_with(page, "what is compared")[1:]]
    assert words == ["larger", "smaller", "smaller"]
    two = [one for one in found if one.seeds != (2,)]
    page = Page(to_html(build_report(two, paper)[0]))
    assert table_with(page, "what is compared")[1][1] == "larger (two pairs)"


def test_the_head_says_when_where_and_by_which_code(paper):
    found = [dataclasses.replace(one, date=f"2026-10-{10 + n % 20}", machine="8 x M") for n, one in enumerate(results())]
    text = " ".join(Page(to_html(build_report(found, paper, command="cian report --results R")[0])).text)
    first = "23 measurements of 7 runs; network squeezenet1.1; newest run 2026-10-29; commit c0ffeec0ff; machine 8 x M."
    assert first in text and "cian report --results R" in text
    text = " ".join(Page(to_html(build_report(results(), paper)[0])).text)
    assert "23 measurements of 7 runs; network squeezenet1.1; commit c0ffeec0ff." in text


def test_tables_on_other_data(paper):
    document, _ = build_report(results(), paper)
    page = Page(to_html(document))
    level, left, *_ = section_tables(page, "cian-2-animals")
    assert level == [
        ["", "mIoU with CRF (%)"], ["", "paper", "here"],
        ["Baseline", "58.3", "39.2 ± 1.3"], ["+ CE", "59.1", "38.5"], ["+ CP", "62.5", "41.3 ± 2.3"]]  # fmt: skip
    assert left == [["", "mIoU with CRF (%)"], ["", "paper"], ["+ RT", "64.3"]]
    classes = table_with(page, "IoU of the classes (%)")
    assert [row[0] for row in classes] == ["IoU of the classes (%)", "background", "cat"]
    assert classes[2] == ["cat", "65.9", "36.9 ± 1.3", "68.7", "36.2", "77.5", "39.1 ± 2.3"]
    runs = {tuple(row[:2]): row[2:] for row in table_with(page, "row", "column", "seed: number")}
    assert runs["Baseline", "mIoU"] == ["0: 38, 1: 39, 2: 40.5", "%", "1,2,3"]
    assert runs["+ CE", "cat"] == ["0: 36.25", "%", "4"] and runs["+ CP", "background"][2] == "5,6,7"
    assert section_tables(page, "cian-3-animals")[0][:3] == [
        ["", "common-class, CRF (%)", "random-class, CRF (%)"], ["", "paper", "here", "paper", "here"],
        ["+ CP", "62.5", "40.0", "59.7", "38.5"]]  # fmt: skip


def test_tables_on_the_papers_data(paper):
    document, _ = build_report(results("voc12", backbone="resnet101"), paper)
    page = Page(to_html(document))
    level = section_tables(page, "cian-2-voc12")[0]
    assert level[1:3] == [["", "paper", "here", "here − paper"], ["Baseline", "58.3", "39.2 ± 1.3", "−19.13"]]
    assert "cannot be compared" not in " ".join(page.text) and "Warning." not in page.text


def test_fewer_than_three_runs_are_all_shown(paper):
    page = Page(to_html(build_report([measured("CIAN 2", "+ CP", "mIoU", 40.0 + seed, seed) for seed in (0, 1)], paper)[0]))
    assert section_tables(page, "cian-2-animals")[0][2] == ["+ CP", "62.5", "40.0, 41.0"]


def test_numbers_without_crf(paper):
    found = [measured("CIAN 4", f"{crf}, ratio 0", f"SqueezeNet1.1 {kind}", value, seed, run=f"{kind}{seed}")
             for crf, more in (("CRF", 3.0), ("no CRF", 0.0)) for kind, start in (("baseline", 30.0), ("ours", 33.0))
             for seed, value in enumerate((start + more, start + 2 * more + 0.5))]  # fmt: skip
    found += [measured("CIAN 2", row, "mIoU", value, 0, run=f"{kind}0") for row, kind, value in
              (("Baseline", "baseline", 33.0), ("+ CP", "ours", 36.0))]  # fmt: skip
    page = Page(to_html(build_report(found, paper)[0]))
    assert section_tables(page, "cian-2-animals")[0][0] == ["", "mIoU with CRF (%)"]  # other runs: seed 1 is not in Table 2
    found.append(measured("CIAN 2", "Baseline", "mIoU", 36.5, 1, run="baseline1"))
    page = Page(to_html(build_report(found, paper)[0]))
    assert section_tables(page, "cian-2-animals")[0][:3] == [
        ["", "mIoU with CRF (%)", "mIoU without CRF (%)"], ["", "paper", "here", "paper", "here"],
        ["Baseline", "58.3", "33.0, 36.5", "53.8", "30.0, 30.5"]]  # fmt: skip
    own = [measured("CIAN 3", "+ CE", column, value) for column, value in (("Common-class, no CRF", 31.0),
                                                                           ("Random-class, no CRF", 30.0))]  # fmt: skip
    document, (table,) = build_report(own, paper)
    assert not table.further and ["+ CE", "31.0", "30.0"] in section_tables(Page(to_html(document)), "cian-3-animals")[0]


def test_table_4_stands_beside_the_papers_first_network(paper):
    row = "no CRF, ratio 0.05"
    found = [measured("CIAN 4", row, f"SqueezeNet1.1 {kind}", value) for kind, value in (("baseline", 20.0), ("ours", 21.5))]
    level, rest, _ = section_tables(Page(to_html(build_report(found, paper)[0])), "cian-4-animals")
    kinds = ("baseline", "ours", "Delta")
    assert level[0][1:] == [f"{name} {kind} (%)" for name in ("ResNet101", "SqueezeNet1.1") for kind in kinds]
    assert level[1:] == [["", *["paper"] * 3, *["here"] * 3], [row, "57.7", "61.2", "+3.5", "20.0", "21.5", "+1.50"]]
    assert ["CRF, ratio 0", "58.3", "62.5", "+4.2", "57.5", "60.4", "+2.9"] in rest  # not measured


def test_rows_that_lie_across_are_in_natural_order(paper):
    found = [measured("COMNet IV", f"k = {k}", column, 40 + k, seed=0) for k in (32, 10, 6, 8, 64)
             for column in ("mIoU", "mIoU at threshold 0.15")]  # fmt: skip
    page = Page(to_html(build_report(found, paper)[0]))
    level, rest, runs = section_tables(page, "comnet-iv-animals")
    assert level == [
        ["k", "6", "8", "10", "32", "64"], ["mIoU (%), paper", "49.3", "49.6", "49.2", "49.2", ""],
        ["mIoU (%), here", "46.0", "48.0", "50.0", "72.0", "104.0"],
        ["mIoU at threshold 0.15 (%), here", "46.0", "48.0", "50.0", "72.0", "104.0"]]  # fmt: skip
    assert rest == [["k", "12", "16"], ["mIoU (%), paper", "49.0", "49.4"]]
    assert [row[0] for row in runs[1::2]] == ["k = 6", "k = 8", "k = 10", "k = 32", "k = 64"]
    assert "that of the best threshold" in " ".join(page.text)


def test_every_paper_cell_is_shown_even_without_any_run(paper):
    document, tables = build_report([], paper)
    page = Page(to_html(document))
    shown = []
    for number in range(1, 6):
        (*grids,) = section_tables(page, f"cian-{number}")
        shown += [text for rows in grids for row in rows[2:] for text in row[1:] if text]
    cian = {cell: found for cell, found in paper.items() if cell[0].startswith("CIAN")}
    wanted = [f"+{value:.1f}" if cell[2].endswith("Delta") else f"{value:.1f}" for cell, (value, _) in cian.items()]
    assert sorted(shown) == sorted(wanted)
    classes = table_with(page, "IoU of the classes (%)")
    assert classes[1] == ["background", "85.0", "84.9", "87.1", "88.2"] and len(classes) == 22
    text = " ".join(page.text)
    assert all(f"COMNet, Table {number}: " in text for number in ("I", "II", "III", "IV", "V", "VI", "VII"))
    assert "COMNet, Table VII: comparison with other methods on COCO: not run." in text
    assert tables == [] and not document.every(Picture)


def plain(tables):
    """Tables without the spaces in which HTML and Markdown may differ."""
    return [[[cell.replace(", ", ",").replace("\xa0", " ") for cell in row] for row in rows] for rows in tables]


def test_html_and_markdown_show_the_same_tables(paper):
    document, _ = build_report(results(), paper)
    page, tables = Page(to_html(document)), markdown_tables(to_markdown(document))
    bodies = [rows[2:] if rows[1][-1] in ("here", "paper") else rows[1:] for rows in page.tables]
    assert plain([rows[1:] for rows in tables[:-1]]) == plain(bodies)  # the last: sources
    assert tables[2][0] == ["", "mIoU with CRF (%): paper", "mIoU with CRF (%): here"]
    assert len(tables[-1]) == 1 + 7 and tables[-1][1][1:5] == ["cian_animals_Baseline-0", "0", "c0ffeec0ff", ""]


def test_warnings_are_visible_in_both(paper):
    found = [measured("CIAN 2", "Baseline", "mIoU", 0.38, unit="fraction"), measured("Seeds", "a", "b", 1.5)]
    document, _ = build_report(found, paper)
    for text in (" ".join(Page(to_html(document)).text), to_markdown(document)):
        assert "Baseline, mIoU: unit fraction, in the paper %" in text and "warnings at CIAN 2" in text
        assert "0: 0.38" in text and "0: 1.5" in text and "Besides: Seeds" in text


def test_classes_of_the_scenes_are_drawn(paper):
    found = [measured("CIAN 2", "+ CP", name, 50.0, 0, "scenes") for name in (*SCENE_CLASSES, "mIoU")]
    document, (table,) = build_report(found, paper)
    assert not table.further and len(document.every(Picture)) == 1
    rows = table_with(Page(to_html(document)), "IoU of the classes (%)")
    assert rows[1:] == [[name, "87.1" if name == "background" else "", "50.0"] for name in SCENE_CLASSES]


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

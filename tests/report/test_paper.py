"""experiments/paper.csv: all numbers of the papers' tables are there, and what the papers compute from them.

The papers' own arithmetic holds: every mIoU of CIAN's Table 2 is the mean of its row, and every delta of Table 4 the difference
of its two numbers, to the last printed digit. COMNet has no table per class. What does not fit is between the papers, and has
tests at the end.
"""

import collections
import re
from pathlib import Path

import pytest

from cian.data.voc import VOC_CLASSES

PATH = Path(__file__).resolve().parents[2] / "experiments" / "paper.csv"
COUNTS = {
    "CIAN 1": 3 * 2,
    "CIAN 2": 4 * 22,
    "CIAN 3": 2 * 2,
    "CIAN 4": 6 * 6,
    "CIAN 5": 20 * 2 - 2,  # FCN without val, ScribbleSup without test
    "COMNet I": 4 * 2 + 1,  # the baseline without time
    "COMNet II": 4,
    "COMNet III": 4,
    "COMNet IV": 6,
    "COMNet V": 2 * 2,
    "COMNet VI": 12 * 2,
    "COMNet VII": 7,
}
#: table -> (file, text before its first number, text behind its last)
SEGMENTS = {
    "CIAN 1": ("cian", "# Params |", "Reproducibility."),
    "CIAN 2": ("cian", "\nmIoU |", "\nMethod | Common-class"),
    "CIAN 3": ("cian", "\nMethod | Common-class", "\nRatio |"),
    "CIAN 4": ("cian", "\nRatio |", "\nAblation Studies"),
    "CIAN 5": ("cian", "\nMethods | Sup.", "\nQualitative Results"),
    "COMNet I": ("comnet", "\nGroup images N\t", "\nTABLE I:"),
    "COMNet II": ("comnet", "\nBaseline\tInter", "\nTABLE II:"),
    "COMNet III": ("comnet", "\nα\t", "\nTABLE III:"),
    "COMNet IV": ("comnet", "\nk\t", "\nTABLE IV:"),
    "COMNet V": ("comnet", "\nMethod\tCAM", "\nTABLE V:"),
    "COMNet VI": ("comnet", "\nMethods\tBackbone\tSaliency", "\nTABLE VI:"),
    "COMNet VII": ("comnet", "\nMethods\tBackbone\tval\n", "\nTABLE VII:"),
}
DECIMAL = r"\d+\.\d+"


def of(paper, table, row, column):
    return paper[table, row, column][0]


def test_every_table_has_all_its_numbers(paper):
    assert dict(collections.Counter(table for table, _, _ in paper)) == COUNTS
    assert sum(COUNTS.values()) == len(paper) == 230


@pytest.mark.parametrize("table", SEGMENTS)
def test_the_numbers_are_those_of_the_text(paper, shared, table):
    name, start, end = SEGMENTS[table]
    text = (shared / "papers" / f"{name}.txt").read_text(encoding="utf-8")
    begin = text.index(start)
    printed = collections.Counter(re.findall(DECIMAL, text[begin : text.index(end, begin)]))
    lines = [line.split(",") for line in PATH.read_text(encoding="utf-8").splitlines() if line.startswith(table + ",")]
    wanted = collections.Counter(line[-2] for line in lines)
    for row in {row for found, row, _ in paper if found == table}:  # printed labels, such as ratios: once a row
        wanted.update(re.findall(DECIMAL, row))
    assert printed == wanted


def test_units_and_ranges(paper):
    for (table, _, column), (value, unit) in paper.items():
        wanted = {"# Params": "M", "# FLOPs": "G", "inter-matching time": "s"}.get(column, "%")
        low, high = {"M": (40, 55), "G": (70, 90), "s": (0.1, 3), "%": (2, 90)}[unit]
        assert unit == wanted and low <= value <= high
        assert (unit == "%" and value < 10) == column.endswith("Delta"), (table, column)


def test_per_class_rows_average_to_their_miou(paper):
    rows = [row for table, row, column in paper if table == "CIAN 2" and column == "mIoU"]
    assert rows == ["Baseline", "+ CE", "+ CP", "+ RT"]
    for row in rows:
        columns = [column for table, found, column in paper if (table, found) == ("CIAN 2", row)]
        assert columns == [*VOC_CLASSES, "mIoU"]
        mean = sum(of(paper, "CIAN 2", row, name) for name in VOC_CLASSES) / 21
        stated = of(paper, "CIAN 2", row, "mIoU")
        assert round(mean, 1) == stated, f"{row}: mean of the classes {mean:.3f}, stated {stated}"


def test_deltas_of_table_4_are_the_differences(paper):
    rows = [f"{crf}, ratio {ratio}" for crf in ("CRF", "no CRF") for ratio in ("0", "0.05", "0.10")]
    for row in rows:
        for net in ("ResNet101", "ResNet50"):
            baseline, ours, delta = (of(paper, "CIAN 4", row, f"{net} {kind}") for kind in ("baseline", "ours", "Delta"))
            assert round(ours - baseline, 1) == delta, f"{row}, {net}: {ours} - {baseline}, stated {delta}"


def test_tables_of_cian_agree_with_each_other_and_with_the_text(paper):
    steps = [of(paper, "CIAN 2", row, "mIoU") for row in ("Baseline", "+ CE", "+ CP", "+ RT")]
    assert [round(b - a, 1) for a, b in zip(steps, steps[1:])] == [0.8, 3.4, 1.8]  # "The Effect of The CIAN Module"
    assert [of(paper, "CIAN 3", row, "Common-class") for row in ("+ CE", "+ CP")] == steps[1:3]
    assert round(of(paper, "CIAN 3", "+ CP", "Random-class") - steps[0], 1) == 1.4  # "The Query-Reference Pairs"
    assert of(paper, "CIAN 4", "CRF, ratio 0", "ResNet101 baseline") == steps[0]
    assert of(paper, "CIAN 4", "CRF, ratio 0", "ResNet101 ours") == steps[2]
    assert of(paper, "CIAN 5", "CIAN (res101), L.", "val") == steps[3]


def test_tables_of_comnet_agree_with_each_other(paper):
    baseline = [("I", "baseline", "mIoU"), ("II", "Baseline", "mIoU"), ("V", "IRN", "CAM")]
    inter = [("I", "N = 2", "mIoU"), ("II", "Baseline + inter-matching", "mIoU"), ("III", "alpha = 1.5", "mIoU")]
    intra = [("II", "Baseline + intra-matching", "mIoU"), ("IV", "k = 8", "mIoU")]
    both = [("II", "Baseline + inter-matching + intra-matching", "mIoU"), ("V", "Ours", "CAM")]
    for cells, value in ((baseline, 48.3), (inter, 49.5), (intra, 49.6), (both, 50.8)):
        assert [of(paper, f"COMNet {table}", row, column) for table, row, column in cells] == [value] * len(cells)


def test_what_both_papers_quote_is_the_same(paper):
    pairs = [
        ("AE-PSL†, L.", "AdvEra, VGG16, saliency"),
        ("MCOF, L.", "MCOF, ResNet101, saliency"),
        ("DSRG, L.", "DSRG, ResNet101, saliency"),
        ("CIAN (res101), L.", "CIAN, ResNet101"),
    ]
    for first, second in pairs:
        for column in ("val", "test"):
            assert of(paper, "CIAN 5", first, column) == of(paper, "COMNet VI", second, column)


def test_where_the_papers_do_not_agree(paper):
    """AffinityNet: CIAN quotes 58.4 / 60.5 (†), COMNet 61.7 / 63.7 (ResNet-38). CIAN itself takes its background seeds from
    a saliency model ("CIAN Module", threshold 0.06), yet COMNet's Table VI lists it without saliency. COMNet's IRN is a
    ResNet50 in Table VI and a ResNet38 in Table VII.
    """
    affinity_net = [of(paper, "CIAN 5", "AFFNet†, L.", c) for c in ("val", "test")]
    assert affinity_net == [58.4, 60.5]
    assert [of(paper, "COMNet VI", "AffinityNet, ResNet-38", c) for c in ("val", "test")] == [61.7, 63.7]
    rows = {(table, row) for table, row, _ in paper}
    assert ("COMNet VI", "CIAN, ResNet101") in rows and ("COMNet VI", "CIAN, ResNet101, saliency") not in rows
    assert {("COMNet VI", "IRNet, ResNet50"), ("COMNet VII", "IRNet*, ResNet38")} <= rows

"""Differences between rows: over pairs of the same seed, by hand; which are shown, and what is said of them."""

import dataclasses

import pytest
from report_pages import measured, table2

from cian.report.findings import AT_TEST, GROUPED, IN_TRAINING, all_findings, findings_of
from cian.report.numbers import collect


def test_paired_differences_by_hand(paper):
    found = table2("Baseline", {0: 38.0, 1: 39.0, 2: 40.5}) + table2("+ CP", {0: 40.0, 1: 40.0, 3: 44.0})
    by_label = {entry.label[: -len(", CRF")]: entry for entry in findings_of(collect(found, paper)[0], paper)[:5]}
    entry = by_label["+ CP − Baseline"]
    assert entry.paper == pytest.approx(4.2) and entry.word == "not distinguishable" and entry.agrees is None
    assert entry.measured == pytest.approx(124 / 3 - 117.5 / 3)  # of the means, over all seeds
    assert entry.seeds == (0, 1) and entry.paired.values == (2.0, 1.0)  # 40 - 38, 40 - 39; seeds 2 and 3 stand alone
    assert entry.paired.mean == 1.5 and entry.paired.sd == pytest.approx(0.5**0.5)
    missing = by_label["+ CP − + CE"]
    assert missing.paper == pytest.approx(3.4) and missing.measured is missing.paired is None and missing.word == ""
    assert [round(by_label[label].paper, 1) for label in ("+ CE − Baseline", "+ RT − + CP", "+ RT − Baseline")] == [
        0.8,
        1.8,
        6.0,
    ]


def test_differences_of_unpaired_seeds(paper):
    found = table2("Baseline", {0: 38.0}) + table2("+ CE", {1: 39.0})
    entry = findings_of(collect(found, paper)[0], paper)[0]
    assert entry.word == "no seed in common" and entry.label == "+ CE − Baseline, CRF"
    assert entry.measured == 1.0 and entry.paired is None and entry.seeds == ()


def test_differences_of_groups_and_of_ratios(paper):
    found = [measured("CIAN 3", "+ CP", column, v) for column, v in (("Common-class", 40.0), ("Random-class", 38.5))]
    row = "no CRF, ratio 0.05"
    for backbone, values in (("ResNet50", (30.0, 33.5)), ("SqueezeNet1.1", (20.0, 21.0))):
        for kind, value in zip(("baseline", "ours"), values):
            found.append(measured("CIAN 4", row, f"{backbone} {kind}", value, backbone=backbone.lower()))
    third, fourth = collect(found, paper)
    assert [(e.label, round(e.paper, 1), e.measured) for e in findings_of(third, paper)[:2]] == [
        ("+ CE: common − random, CRF", 0.6, None), ("+ CP: common − random, CRF", 2.8, 1.5)]  # fmt: skip
    entries = findings_of(fourth, paper)
    assert len(entries) == 3 * 6 and fourth.further == fourth.warnings == []
    deltas = {(row, c): v for (t, row, c), (v, _) in paper.items() if t == "CIAN 4" and c.endswith("Delta")}
    backbones = [e.label.split(", ")[-1] for e in entries[::6]]
    assert backbones == ["ResNet50", "SqueezeNet1.1", "ResNet101"]  # measured ones first
    for entry in (e for e in entries if "SqueezeNet" not in e.label):  # the paper's own column of differences
        _, rest, backbone = entry.label.split(" − baseline, ")[0], *entry.label.split(" − baseline, ")[1].rsplit(", ", 1)
        assert entry.paper == pytest.approx(deltas[rest, f"{backbone} Delta"])
    shown = {e.label: (round(e.paper, 1), e.measured) for e in entries if e.measured is not None}
    assert shown == {
        f"ours − baseline, {row}, ResNet50": (3.0, 3.5),
        f"ours − baseline, {row}, SqueezeNet1.1": (3.5, 1.0),  # ResNet101's stands in
    }


def test_the_same_runs_are_compared_once(paper):
    rows = (("Baseline", "baseline", "baseline", "IRN"), ("Baseline + inter-matching", "N = 2", "alpha = 1.5", "Ours"))
    found = []
    for level, names in enumerate(rows):
        for table, row, column in zip(("II", "I", "III", "V"), names, ("mIoU", "mIoU", "mIoU", "CAM")):
            for seed in (0, 1):
                found.append(measured(f"COMNet {table}", row, column, 40 + level + seed, seed, run=f"{level}-{seed}"))
    entries = all_findings(collect(found, paper), paper)
    assert [(e.label, e.table, e.paired.values) for e in entries] == [
        ("inter-matching − baseline", "COMNet II", (1.0, 1.0))]  # fmt: skip
    (place,) = (n for n, one in enumerate(found) if one.cell[:2] == ("COMNet I", "N = 2") and one.seeds == (1,))
    found[place] = dataclasses.replace(found[place], value=44.0)  # not the same number
    assert len(all_findings(collect(found, paper), paper)) == 2


@pytest.mark.parametrize("values, row, word, agrees", [
    ((1.0, 1.1, 1.2), "N = 3", "larger", True), ((-1.0, -1.1, -1.2), "N = 3", "smaller", False),
    ((-1.0, -1.1, -1.2), "N = 4", "smaller", True), ((1.0, 1.1, 1.2), "N = 5", "larger", None),  # the paper: 0.0
    ((1.0, -1.1, 1.2), "N = 3", "not distinguishable", None)])  # fmt: skip
def test_agreement_with_the_paper(values, row, word, agrees, paper):
    found = [measured("COMNet I", name, "mIoU", 40 + more, seed) for seed, value in enumerate(values)
             for name, more in (("baseline", 0), (row, value))]  # fmt: skip
    (entry,) = all_findings(collect(found, paper), paper)
    assert (entry.word, entry.agrees) == (word, agrees)


def test_rows_of_ours_are_compared_with_the_papers(paper):
    levels = {"Baseline": 40.0, GROUPED: 41.0, AT_TEST: 43.0, IN_TRAINING: 36.0, "Baseline + inter-matching": 37.0}
    found = [measured("COMNet II", row, "mIoU", level + seed, seed) for row, level in levels.items() for seed in (0, 1)]
    entries = {e.label: (e.paired.mean, e.paper is None) for e in all_findings(collect(found, paper), paper)}
    assert entries == {
        "inter-matching − baseline": (-3.0, False),
        "common-class batches − baseline": (1.0, True),
        "matching at test only − baseline": (3.0, True),
        "in training only − common-class batches": (-5.0, True),
        "both times − common-class batches": (-4.0, True),
    }

"""Numbers of the report: pooled over seeds, rounded, by hand; and what does not fit is kept apart and told."""

import dataclasses

import pytest
from report_pages import measured, table2

from cian.report.numbers import NOT_IN_PAPER, Spread, collect, data_name
from cian.report.text import SourceList, difference_text, interval_text, paper_text, rounded, signed, spread_text

BASE, CE, CP = ("Baseline", "mIoU"), ("+ CE", "mIoU"), ("+ CP", "mIoU")


def test_mean_and_sample_deviation_by_hand():
    spread = Spread((38.0, 39.0, 40.5))  # mean 117.5 / 3; squares (1.3611 + 0.0278 + 1.7778) / 2
    assert spread.mean == pytest.approx(39.1666667) and spread.sd == pytest.approx(1.2583057) and spread.n == 3
    assert Spread((2.0,)).sd is None and Spread((2.0, 2.0)).sd == 0
    assert spread_text(spread, "%") == "39.2 ± 1.3" and spread_text(spread, "%", sign=True) == "+39.17 ± 1.26"
    assert spread_text(Spread((39.125,)), "M") == "39.125" and spread_text(None, "%") == ""
    assert spread_text(Spread((39.12, 40.0)), "%") == "39.1, 40.0"  # no deviation of two


def test_the_interval_is_students():
    # t(0.975; 2) = 4.302653 and t(0.975; 1) = 12.706205, from a printed table
    low, high = Spread((2.0, 1.0, 3.5)).interval
    assert (low, high) == pytest.approx((13 / 6 - 4.302653 * 1.2583057 / 3**0.5, 13 / 6 + 4.302653 * 1.2583057 / 3**0.5))
    assert Spread((1.0, 3.0)).interval == pytest.approx((2 - 12.706205, 2 + 12.706205))
    assert Spread((1.0,)).interval is None and Spread((1.0, 1.0)).interval == (1.0, 1.0)
    assert interval_text(Spread((2.0, 1.0, 3.5)), "%") == "−0.96 to +5.29" and interval_text(Spread((1.0,)), "%") == ""


@pytest.mark.parametrize("value, digits, plain, with_sign", [
    (1.006, 2, "1.01", "+1.01"), (-1.006, 2, "−1.01", "−1.01"), (-0.004, 2, "0.00", "0.00"), (0.0, 1, "0.0", "0.0"),
    (42.39, 1, "42.4", "+42.4"), (99.96, 1, "100.0", "+100.0"), (None, 2, "", "")])  # fmt: skip
def test_rounding(value, digits, plain, with_sign):
    assert rounded(value, digits) == plain and signed(value, digits) == with_sign


def test_differences_are_made_before_rounding():
    assert difference_text(62.46, 62.5, "%") == "−0.04"
    assert (
        difference_text(42.394816, 42.4, "M") == "−0.005 (−0.01 %)" and difference_text(72.693, 72.5, "G") == "+0.19 (+0.27 %)"
    )
    assert difference_text(None, 1, "%") == difference_text(1, None, "%") == ""
    assert paper_text(62, "%") == "62.0" and paper_text(0.13, "s") == "0.13"


def test_seeds_are_pooled_per_cell_and_data_set(paper):
    found = table2("+ CP", {2: 40.5, 0: 38.0, 1: 39.0}) + table2("+ CP", {0: 60.0}, data="voc12", backbone="resnet101")
    found += [measured("CIAN 1", "Ours", "# Params", 50.8, None, unit="M", fingerprint=None)]
    found[-1] = dataclasses.replace(found[-1], settings={"backbone": "resnet101"})
    counted, animals, voc = collect(found, paper)
    assert [(r.table, r.data, r.comparable) for r in (counted, animals, voc)] == [
        ("CIAN 1", None, True), ("CIAN 2", "animals", False), ("CIAN 2", "voc12", True)]  # fmt: skip
    assert animals.cells[CP].by_seed == {(0,): 38.0, (1,): 39.0, (2,): 40.5} and list(animals.cells) == [CP]
    assert voc.cells[CP].spread.mean == 60 and counted.cells["Ours", "# Params"].by_seed == {(): 50.8}
    assert all(not r.warnings and not r.further for r in (counted, animals, voc))


@pytest.mark.parametrize("settings, fingerprint, name", [
    ({"dataset": "voc12", "preset": "voc12"}, "f", "voc12"), ({"dataset": "voc12"}, "f", "voc12"),
    ({"preset": "scenes"}, "f", "scenes"), ({"dataset": "animals", "preset": "animals"}, "f", "animals"),
    ({"dataset": "voc12", "preset": "animals"}, "f", "voc12 (preset animals)"),
    ({"dataset": "pets", "preset": "voc12"}, "f", "pets"),
    ({}, "f", "a data set without a name"), ({}, None, None)])  # fmt: skip
def test_names_of_data_sets(settings, fingerprint, name, paper):
    found = measured("CIAN 5", "CIAN (res101), L.", "val", 60.0, fingerprint=fingerprint)
    found = dataclasses.replace(found, settings=settings)
    assert data_name(found) == name
    assert collect([found], paper)[0].comparable == (name in (None, "voc12"))


@pytest.mark.parametrize("data, preset, images, published", [
    ("voc12", "voc12", 1449, True), ("my-copy", "voc12", 1449, True), ("my-copy", "voc12", 1456, True),
    ("voc12", "voc12", 300, False), ("my-copy", "voc12", None, False), ("my-copy", "animals", 1449, False)])  # fmt: skip
def test_the_papers_data_are_told_by_their_number_of_images(data, preset, images, published, paper):
    found = measured("CIAN 5", "CIAN (res101), L.", "val", 60.0)
    settings = {"dataset": data, "preset": preset, **({} if images is None else {"images": images})}
    assert collect([dataclasses.replace(found, settings=settings)], paper)[0].comparable == published


@pytest.mark.parametrize("table, row, column", [
    ("COMNet I", "N = 2", "mIoU"), ("COMNet II", "Baseline", "mIoU"), ("COMNet III", "alpha = 1.5", "mIoU"),
    ("COMNet IV", "k = 8", "mIoU"), ("COMNet V", "IRN", "CAM + RW")])  # fmt: skip
@pytest.mark.parametrize("images, published", [(1464, True), (10582, False), (1449, False)])
def test_class_activation_and_walk_are_published_on_1464_images(table, row, column, images, published, paper):
    found = measured(table, row, column, 48.0)
    settings = {"dataset": "VOC2012", "preset": "voc12", "images": images, "backbone": "resnet50v1b"}
    results = collect([dataclasses.replace(found, settings=settings)], paper)[0]
    assert results.comparable == published and list(results.cells) == [(row, column)]


def test_what_has_no_cell_is_kept_apart(paper):
    found = [
        measured("CIAN 2", "Baseline", "mIoU", 0.38, unit="fraction"),
        measured("CIAN 2", "+ CP", "mIoU, 10 iterations", 38.0, 0),
        measured("CIAN 2", "+ CP", "mIoU, 10 iterations", 39.0, 1),
        dataclasses.replace(measured("CIAN 2", "+ CE", "mIoU", 40.0), seeds=(0, 1, 2)),
        measured("CIAN 2", "+ RT", "butterfly", 50.0),  # a class of the scenes has its place among the classes
        measured("CIAN 5", "CIAN (squeezenet1.1), L.", "val", 39.0),  # and another backbone among our rows
    ]
    results, fifth = collect(found, paper)
    assert fifth.cells and not fifth.further
    assert list(results.cells) == [("+ RT", "butterfly")]
    assert [(sample.spread.values, reason) for sample, reason in results.further] == [
        ((0.38,), "unit fraction, in the paper %"),
        ((38.0, 39.0), NOT_IN_PAPER),
        ((40.0,), "one number for 3 seeds, expected one number a seed"),
    ]
    assert len(results.warnings) == 2 and "Baseline, mIoU: unit fraction" in results.warnings[0]
    (unknown,) = collect([measured("Seeds", "a", "b", 1.0)], paper)
    assert unknown.further[0][1] == NOT_IN_PAPER and not unknown.warnings


def test_two_numbers_for_one_seed(paper):
    same, rival = measured("CIAN 2", "+ CP", "mIoU", 40.0), measured("CIAN 2", "+ CP", "mIoU", 41.0, run="other-run")
    other = measured("CIAN 2", "+ CP", "mIoU", 42.0, 1)
    (results,) = collect([same, same, other], paper)
    assert results.cells[CP].spread.values == (40.0, 42.0) and not results.further
    assert results.warnings == ["+ CP, mIoU, seed 0: 2 folders hold the same number of run cian_animals_+ CP-0; counted once."]
    for second in (rival, dataclasses.replace(same, value=41.0), dataclasses.replace(same, run="other-run")):
        (results,) = collect([same, second, other], paper)
        assert results.cells[CP].by_seed == {(1,): 42.0}
        assert [sample.spread.values for sample, _ in results.further] == [(40.0,), (second.value,)]
        assert len(results.warnings) == 1 and "this seed is left out of the mean" in results.warnings[0]
    (results,) = collect([same, rival], paper)
    assert not results.cells and len(results.further) == 2


def test_the_newer_number_of_a_seed_counts(paper):
    old, new = measured("CIAN 2", "+ CP", "mIoU", 40.0), measured("CIAN 2", "+ CP", "mIoU", 41.0, run="other-run")
    for date in (None, "2026-11-27"):  # the earliest have no date
        found = [dataclasses.replace(new, date="2026-11-28"), dataclasses.replace(old, date=date)]
        (results,) = collect(found, paper)
        assert results.cells[CP].by_seed == {(0,): 41.0}
        assert [(s.spread.values, why) for s, why in results.further] == [((40.0,), "there is a newer number for this seed")]
        assert results.warnings == ["+ CP, mIoU, seed 0: 1 older than 2026-11-28, not counted; see the further measurements."]


def test_mixed_data_settings_and_backbones_are_told(paper):
    good = table2("+ CP", {0: 40.0, 1: 41.0})
    assert collect(good, paper)[0].warnings == []
    (results,) = collect([*good, *table2("+ CE", {0: 39.0}, fingerprint="other")], paper)
    assert results.warnings == [
        "Data of different fingerprints are mixed in this table: data-of-anim (2 times), other (1 times)."
    ]
    (results,) = collect([*good, *table2("+ CE", {0: 39.0}, backbone="resnet50")], paper)
    assert results.warnings == ["this table: measured with different settings, backbone resnet50 and squeezenet1.1."]
    longer = dataclasses.replace(good[1], settings={**good[1].settings, "epochs": 7})
    (results,) = collect([dataclasses.replace(good[0], settings={**good[0].settings, "epochs": 6}), longer], paper)
    assert results.warnings == ["this table: measured with different settings, epochs 6 and 7."]
    other_method = dataclasses.replace(longer, run="walk_squeezenet1.1_animals")
    assert collect([good[0], other_method], paper)[0].warnings == []
    other_network = dataclasses.replace(other_method, settings={**other_method.settings, "backbone": "resnet50"})
    (results,) = collect([good[0], other_network], paper)
    assert results.warnings == ["this table: measured with different settings, backbone resnet50 and squeezenet1.1."]
    (results,) = collect(table2("+ CP", {0: 60.0}, data="voc12", backbone="resnet50"), paper)
    assert results.warnings == ["Cells that the paper measured with resnet101 were measured with resnet50."]
    for column, row, table in (("ResNet101 ours", "CRF, ratio 0", "CIAN 4"), ("val", "CIAN (res101), L.", "CIAN 5")):
        (results,) = collect([measured(table, row, column, 39.0)], paper)
        assert results.warnings == ["Cells that the paper measured with resnet101 were measured with squeezenet1.1."]
        assert collect([measured(table, row, column, 39.0, backbone="resnet101")], paper)[0].warnings == []


def test_sources_are_numbered_once(paper):
    first, second = table2("+ CP", {0: 40.0, 1: 41.0})
    background = measured("CIAN 2", "+ CP", "background", 80.0)
    (results,) = collect([first, second, background], paper)
    sources = SourceList()
    assert sources.of(results.cells["+ CP", "background"]) == (1,) and sources.of(results.cells[CP]) == (1, 2)
    other = dataclasses.replace(background, column="cat", settings={**background.settings, "cam_threshold": 0.3})
    sources.of(collect([other], paper)[0].cells["+ CP", "cat"])  # the same run, although one of its settings differs
    entries = sources.entries()
    assert entries[0].settings.pop("cam_threshold") == {"differ": [0.3, None]}
    assert [(e.run, e.seeds, e.numbers) for e in entries] == [(first.run, (0,), 3), (second.run, (1,), 1)]
    assert entries[0].settings == first.settings and entries[0].fingerprint == "data-of-animals" and entries[0].commit

"""Result files and run names: what is written is read again, what is wrong is named, same settings give the same name."""

import dataclasses

import pytest

from cian.base.files import read_json, write_json, write_text
from cian.base.results import Measurement, read_paper, read_result, read_results, result_path, run_name, write_result

GOOD = Measurement(
    "CIAN 4", "no CRF, ratio 0.05", "ResNet101 ours", 61.25, "%", "cian_resnet101_voc12-0a1b2c3d", "abc", (0,),
    {"lr": 5e-4, "scales": [1, 0.5]}, "f00d",
)  # fmt: skip


def changed(**values):
    return dataclasses.replace(GOOD, **values)


def test_written_and_read_again(tmp_path):
    path = write_result(tmp_path, GOOD)
    assert path.name == "cian-4_no-crf-ratio-0.05_resnet101-ours_cian_resnet101_voc12-0a1b2c3d.json"
    assert read_result(path) == GOOD and read_results(tmp_path) == [GOOD]
    assert list(read_json(path))[:8] == ["table", "row", "column", "value", "unit", "run", "commit", "seeds"]
    other = changed(run="cian_resnet101_voc12-ffffffff", seeds=(1,))
    write_result(tmp_path, other)
    assert read_results(tmp_path) == [GOOD, other]


def test_the_same_number_keeps_its_file_and_another_replaces_it(tmp_path):
    path = write_result(tmp_path, GOOD)
    write_result(tmp_path, changed(commit="later"))
    assert read_result(path).commit == "abc"
    write_result(tmp_path, changed(commit="later", value=61.5))
    assert read_result(path) == changed(commit="later", value=61.5)


def test_two_cells_of_one_file_name_are_refused(tmp_path):
    write_result(tmp_path, changed(row="+ CE"))
    assert result_path(tmp_path, changed(row="CE")) == result_path(tmp_path, changed(row="+ CE"))
    with pytest.raises(ValueError, match="has the same file name"):
        write_result(tmp_path, changed(row="CE"))


@pytest.mark.parametrize(
    "values, message",
    [
        ({"value": float("nan")}, "value: nan, expected a finite number"),
        ({"value": "61"}, "value: '61', expected int or float"),
        ({"value": True}, "value: True, expected int or float"),
        ({"row": ""}, "row: empty"),
        ({"unit": None}, "unit: None, expected str"),
        ({"commit": 7}, "commit: 7, expected str or NoneType"),
        ({"seeds": (0, 1.5)}, r"seeds: \(0, 1.5\), expected whole numbers"),
        ({"seeds": 0}, "seeds: 0, expected tuple"),
        ({"settings": {1: 2}}, "settings: key 1, expected text"),
        ({"settings": {"a": {1, 2}}}, "not JSON serializable"),
    ],
)
def test_a_wrong_field_is_named(values, message):
    with pytest.raises((TypeError, ValueError), match=message):
        changed(**values)


def test_a_wrong_file_is_named(tmp_path):
    path = write_result(tmp_path, GOOD)
    good = read_json(path)
    for values, message in (
        ({**good, "value": "much"}, "value: 'much', expected"),
        ({**good, "seeds": ["a"]}, "expected whole numbers"),
        ({**good, "colour": 1}, "missing nothing; unknown colour"),
        ({key: good[key] for key in good if key != "run"}, "missing run; unknown nothing"),
        ([1], "expected an object, found list"),
    ):
        write_json(path, values)
        with pytest.raises(ValueError, match=message) as caught:
            read_results(tmp_path)
        assert str(path) in str(caught.value)
    write_text(path, "{")
    with pytest.raises(ValueError, match="not valid JSON"):
        read_result(path)
    with pytest.raises(FileNotFoundError, match="no such folder of results"):
        read_results(tmp_path / "none")


def test_only_the_eight_fields_of_the_design_are_needed(tmp_path):
    values = {k: v for k, v in dataclasses.asdict(GOOD).items() if k not in ("settings", "fingerprint")}
    write_json(tmp_path / "a.json", values)
    assert read_result(tmp_path / "a.json") == changed(settings={}, fingerprint=None)


def test_run_names_are_stable():
    # sha256 of {"lr":0.0005,"scales":[1,0.5],"seed":0} and of {}
    settings = {"lr": 5e-4, "scales": (1.0, 0.5), "seed": 0}
    assert run_name("cian", "resnet101", "voc12", "cp", settings) == "cian_resnet101_voc12_cp-e4cabbd1"
    assert run_name("cam", "squeezenet1.1", "animals") == "cam_squeezenet1.1_animals-44136fa3"


def test_same_settings_same_name():
    names = [
        run_name("cian", "resnet50", "voc12", settings=settings)
        for settings in (
            {"lr": 1, "scales": (0.5, 1), "inner": {"a": 1, "b": None}},
            {"inner": {"b": None, "a": 1.0}, "scales": [0.5, 1.0], "lr": 1.0},
        )
    ]
    assert names[0] == names[1]


def test_other_settings_other_name():
    base = {"lr": 1, "flip": True, "seed": 0, "init": "x"}
    others = [{**base, "lr": 2}, {**base, "flip": 1}, {**base, "seed": None}, {**base, "init": "X"}, {**base, "new": 0}]
    names = {run_name("cian", "resnet50", "voc12", settings=settings) for settings in [base, *others]}
    assert len(names) == 6


@pytest.mark.parametrize("part", ["", "a_b", "a/b", "a b", "ü"])
def test_parts_of_a_run_name_fit_a_file_name(part):
    with pytest.raises(ValueError, match="run name: "):
        run_name("cian", "resnet50", part)


def test_settings_that_json_cannot_say_are_refused(tmp_path):
    for value in (float("nan"), float("inf"), tmp_path):
        with pytest.raises((TypeError, ValueError)):
            run_name("cian", "resnet50", "voc12", settings={"a": value})


def test_paper_csv(tmp_path):
    path = tmp_path / "paper.csv"
    write_text(path, 'table,row,column,value,unit\nA 1,"CRF, no",val,4.20,%\nA 1,b,time,3,s\n')
    assert read_paper(path) == {("A 1", "CRF, no", "val"): (4.2, "%"), ("A 1", "b", "time"): (3.0, "s")}
    for line, message in (
        ("A 1,b,time,4,s", "line 4: .* stands there twice"),
        ("A 1,b,val,-,%", "line 4: value '-', expected a decimal number"),
        ("A 1,b,val,,%", "line 4: .* expected 5 cells that are not empty"),
        ("A 1,b,val,3", "line 4: .* expected 5 cells"),
    ):
        write_text(path, f"table,row,column,value,unit\nA 1,a,val,4.2,%\nA 1,b,time,3,s\n{line}\n")
        with pytest.raises(ValueError, match=message):
            read_paper(path)
    write_text(path, "table,row,value\n")
    with pytest.raises(ValueError, match="line 1: columns table,row,value, expected"):
        read_paper(path)

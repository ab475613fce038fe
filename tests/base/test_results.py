"""Results and run names: what is written is read again, what is wrong is named, same settings give the same name."""

import dataclasses
import json
import multiprocessing

import pytest

from cian.base import results
from cian.base.files import write_json, write_text
from cian.base.results import Measurement, line_of, natural, read_paper, read_results, run_name, write_results

GOOD = Measurement(
    "CIAN 4", "no CRF, ratio 0.05", "ResNet101 ours", 61.25, "%", "cian_resnet101_voc12-0a1b2c3d", "abc", (0,),
    {"lr": 5e-4, "scales": [1, 0.5]}, "f00d",
)  # fmt: skip


def changed(**values):
    return dataclasses.replace(GOOD, **values)


def test_written_and_read_again(tmp_path):
    path = write_results(tmp_path / "voc12", [GOOD])
    assert path == tmp_path / "voc12" / "results.jsonl" and read_results(tmp_path / "voc12") == [GOOD]
    assert path.read_text() == (
        '{"table": "CIAN 4", "row": "no CRF, ratio 0.05", "column": "ResNet101 ours", "value": 61.25, "unit": "%", '
        '"seeds": [0], "run": "cian_resnet101_voc12-0a1b2c3d", "commit": "abc", "fingerprint": "f00d", '
        '"settings": {"lr": 0.0005, "scales": [1, 0.5]}}\n'
    )
    dated = changed(run="cian_resnet101_voc12-ffffffff", seeds=(1,), date="2026-11-27", machine="8 x M", row="größer")
    write_results(tmp_path / "voc12", [dated])
    assert read_results(tmp_path / "voc12") == [dated, GOOD]


def test_lines_are_sorted_whatever_was_measured_first(tmp_path):
    cells = [(table, row, run) for table in ("IV", "V") for row in ("k = 8", "k = 10") for run in ("s2", "s10")]
    found = [changed(table=table, row=row, run=run) for table, row, run in cells]
    write_results(tmp_path / "a", found)
    for one in found[::-1]:
        write_results(tmp_path / "b", [one])
    assert read_results(tmp_path / "a") == read_results(tmp_path / "b") == found
    assert sorted(["a = 1.5", "a = 1.25", "10", "9a", "9"], key=natural) == ["9", "9a", "10", "a = 1.25", "a = 1.5"]


def test_the_same_number_keeps_its_line_and_another_replaces_it(tmp_path):
    path = write_results(tmp_path, [GOOD, changed(row="CRF, ratio 0")])
    before = path.read_text()
    write_results(tmp_path, [changed(commit="later", date="2026-11-27", machine="another")])
    assert path.read_text() == before
    for other in (changed(commit="later", value=61.5), changed(commit="later", settings={"lr": 1})):
        write_results(tmp_path, [other])
        assert read_results(tmp_path)[1] == other and len(read_results(tmp_path)) == 2
        assert path.read_text().splitlines()[0] == before.splitlines()[0]


def test_all_or_nothing(tmp_path, monkeypatch):
    def twice():
        yield changed(row="first")
        raise RuntimeError("the second cannot be read")

    write_results(tmp_path, [GOOD])
    with pytest.raises(RuntimeError, match="second"):
        write_results(tmp_path, twice())
    assert read_results(tmp_path) == [GOOD]
    (tmp_path / "results.jsonl").write_text(line_of(GOOD) + "\n{")
    with pytest.raises(ValueError, match="results.jsonl, line 2: not valid JSON"):
        write_results(tmp_path, [changed(row="first")])
    assert (tmp_path / "results.jsonl").read_text() == line_of(GOOD) + "\n{"


def write_ten(folder, number):
    for row in range(10):
        write_results(folder, [changed(row=f"row {row}", run=f"run-{number}")])


def test_several_processes_lose_no_number(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_ten, args=(tmp_path, number)) for number in range(4)]
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    assert [one.exitcode for one in writers] == [0] * 4 and len(read_results(tmp_path)) == 40


def test_single_files_of_earlier_versions_are_not_passed_over(tmp_path):
    write_json(tmp_path / "cian-4_no-crf-ratio-0.05_resnet101-ours_cian_resnet101_voc12-0a1b2c3d.json", {})
    for act in (lambda: read_results(tmp_path), lambda: write_results(tmp_path, ())):
        with pytest.raises(ValueError, match="1 measurements in single files of an earlier version, expected results.jsonl"):
            act()


@pytest.mark.parametrize(
    "values, message",
    [
        ({"value": float("nan")}, "value: nan, expected a finite number"),
        ({"value": "61"}, "value: '61', expected int or float"),
        ({"value": True}, "value: True, expected int or float"),
        ({"row": ""}, "row: empty"),
        ({"unit": None}, "unit: None, expected str"),
        ({"commit": 7}, "commit: 7, expected str or NoneType"),
        ({"date": 2026}, "date: 2026, expected str or NoneType"),
        ({"seeds": (0, 1.5)}, r"seeds: \(0, 1.5\), expected whole numbers"),
        ({"seeds": 0}, "seeds: 0, expected tuple"),
        ({"settings": {1: 2}}, "settings: key 1, expected text"),
        ({"settings": {"a": {1, 2}}}, "not JSON serializable"),
    ],
)
def test_a_wrong_field_is_named(values, message):
    with pytest.raises((TypeError, ValueError), match=message):
        changed(**values)


def test_a_wrong_line_is_named(tmp_path):
    path = write_results(tmp_path, [GOOD])
    good = json.loads(path.read_text())
    for values, message in (
        ({**good, "value": "much"}, "value: 'much', expected"),
        ({**good, "seeds": ["a"]}, "expected whole numbers"),
        ({**good, "colour": 1}, "missing nothing; unknown colour"),
        ({key: good[key] for key in good if key != "run"}, "missing run; unknown nothing"),
        ([1], "expected an object, found list"),
        (good, "CIAN 4, no CRF, ratio 0.05, ResNet101 ours, cian_resnet101_voc12-0a1b2c3d: stands there twice"),
    ):
        write_text(path, json.dumps(good) + "\n" + json.dumps(values) + "\n")
        with pytest.raises(ValueError) as caught:
            read_results(tmp_path)
        assert str(caught.value).startswith(f"{path}, line 2: ") and message in str(caught.value)
    with pytest.raises(FileNotFoundError, match="none: no such folder of results"):
        read_results(tmp_path / "none")
    path.unlink()
    with pytest.raises(FileNotFoundError, match="no measurements there, expected results.jsonl"):
        read_results(tmp_path)


def test_only_eight_fields_are_needed(tmp_path):
    values = {k: v for k, v in dataclasses.asdict(GOOD).items() if k in results.REQUIRED}
    write_text(tmp_path / "results.jsonl", json.dumps(values) + "\n")
    assert read_results(tmp_path) == [changed(settings={}, fingerprint=None)]


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

"""experiments/tables.py and table2..5.sh: the rows of the paper's tables, shared stages, and the numbers that are written."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from scripts import module_of
from small_training import ROOT
from table_scripts import PAPER, Stage, arguments, cian_plan, comnet_tables, in_order, plan_module, tables, three_images

from cian.base.files import write_json, write_text
from cian.base.results import line_of, read_results
from cian.data.voc import VOCDataset


@pytest.fixture
def data(tmp_path):
    return three_images(tmp_path / "voc")


def plan_of(data, tmp_path, *more):
    return cian_plan.Plan(tables.parse_args(["2", *arguments(data, tmp_path, *more)]))


def test_the_cells_are_those_of_the_paper(data, tmp_path):
    plan = plan_of(data, tmp_path, "--seeds", "5")
    for table in tables.TABLES:
        cells = {(row, column or "mIoU"): file for _, row, column, file in tables.cells(plan, table)}
        found = {cell for cell, file in cells.items() if file == "val_crf.json" or table == "4"}
        if table in "23":  # each number also without CRF, which the paper does not have
            assert {(r, c[: -len(", no CRF")]) for r, c in cells if c.endswith(", no CRF")} == found == {
                (r, c) for r, c in cells if not c.endswith(", no CRF")}  # fmt: skip
        published = {(row, column) for name, row, column in PAPER if name == f"CIAN {table}"}
        if table == "2":
            published = {cell for cell in published if cell[1] == "mIoU"}
        elif table == "4":
            published = {cell for cell in published if not cell[1].endswith("Delta")}
        elif table == "5":
            published = {(row, column) for row, column in published if row.startswith("CIAN") and column == "val"}
        assert found == published, table


def test_stages_are_shared_between_tables_and_differ_between_rows_and_seeds(data, tmp_path):
    plan = plan_of(data, tmp_path, "--seeds", "0 1", "--backbones", "resnet101")
    stages = {table: {cell[0].name for cell in tables.cells(plan, table)} for table in tables.TABLES}
    assert [len(stages[table]) for table in tables.TABLES] == [8, 8, 12, 2]
    assert len(stages["2"] & stages["3"]) == 4 and len(stages["2"] & stages["4"]) == 4 and stages["5"] < stages["2"]
    order = in_order([cell[0] for table in tables.TABLES for cell in tables.cells(plan, table)])
    kinds = [stage.name.split("_")[0] for stage in order]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "cam": 1, "seeds": 3, "labels": 2, "cian": 20, "masks": 20}  # fmt: skip
    again = plan_of(data, tmp_path, "--seeds", "1", "--backbones", "resnet101")
    assert {cell[0].name for cell in tables.cells(again, "2")} < stages["2"]
    (data / "SegmentationClassAug" / "a.png").unlink()
    other = plan_of(data, tmp_path, "--seeds", "1", "--backbones", "resnet101")
    assert not {cell[0].name for cell in tables.cells(other, "2")} & stages["2"]


def test_what_each_row_trains(data, tmp_path):
    plan = plan_of(data, tmp_path, "--seeds", "3", "--backbones", "resnet50", "--devices", "gpu0,gpu1")
    words = {row: stage.needs[0].commands[0] for stage, row, _, _ in tables.cells(plan, "2")}

    def value(row, option):
        return words[row][words[row].index(option) + 1]

    assert [value(row, "--losses") for row in ("Baseline", "+ CE", "+ CP", "+ RT")] == ["baseline", "ce", "ce+cp", "ce+cp"]
    assert {value(row, "--seed") for row in words} == {"3"} and {value(row, "--devices") for row in words} == {"gpu0,gpu1"}
    assert value("+ RT", "--round") == "2" and "--round" not in words["+ CP"]
    assert value("+ RT", "--init") == f"{value('+ CP', '--output')}/cian_resnet50-0019.params"
    assert value("+ RT", "--labels").endswith("pred_crf") and value("+ CP", "--init") == "imagenet"
    trained = [stage.needs[0].commands[0] for stage, _, column, _ in tables.cells(plan, "3") if column == "Random-class"]
    random = {command[command.index("--grouping") + 1] for command in trained}
    assert random == {"random"}


def test_the_numbers_of_a_finished_stage_are_written(data, tmp_path):
    plan = plan_of(data, tmp_path, "--seeds", "7", "--backbones", "resnet101")
    cell = tables.cells(plan, "2")[0]
    trained = cell[0].needs[0]
    for stage in (cell[0], trained):
        stage.folder.mkdir(parents=True)
    write_json(cell[0].folder / "val_crf.json", {"miou": 0.58349, "iou": {"background": 0.85, "cat": None}, "images": 1})
    made = {"commit": "abc", "started": "2026-11-27 21:13:12 +0000", "machine": "8 x M"}
    record = {"settings": {"backbone": "resnet101", "seed": 7}, "circumstances": made}
    write_json(trained.folder / "settings.json", record)
    found = list(tables.measurements(plan, "2", cell))
    assert [(m.cell, m.value, m.seeds, m.commit, m.run) for m in found] == [
        (("CIAN 2", "Baseline", "mIoU"), 58.349, (7,), "abc", trained.name),
        (("CIAN 2", "Baseline", "background"), 85.0, (7,), "abc", trained.name),
    ]
    assert {(m.date, m.machine) for m in found} == {("2026-11-27", "8 x M")}
    assert found[0].settings["preset"] == "voc12" and found[0].fingerprint == plan.fingerprint["val"]
    assert found[0].settings["test_size"] == 513
    assert {m.cell for m in found} < set(PAPER)


def test_tags_from_elsewhere_reach_the_tools_and_the_names(data, tmp_path):
    write_text(tmp_path / "tags.csv", "id,cat\na,1\n")
    tags, own = plan_of(data, tmp_path, "--tags", str(tmp_path / "tags.csv")), plan_of(data, tmp_path)
    for stage in (tags.classifier(), tags.seeds(), tags.training("resnet101", 0, "ce")):
        words = stage.commands[0]
        assert words[words.index("--tags") + 1] == str(tmp_path / "tags.csv")
        module_of(words[1].rsplit("/", 1)[1][: -len(".py")]).parse_args(list(words[2:]))
    assert tags.classifier().name != own.classifier().name and "--tags" not in own.classifier().commands[0]


@pytest.mark.parametrize("words, message", [
    (["--preset", "animals"], "--preset animals needs --data"),
    (["--seeds", "0,1"], "--random-seeds: '0,1', expected whole numbers with a space between"),
    (["--jobs", "0"], "--jobs: 0, expected at least 1"),
])  # fmt: skip
def test_wrong_options(words, message, capsys):
    with pytest.raises(SystemExit):
        tables.parse_args(["2", *words])
    assert message in capsys.readouterr().err


def test_an_unknown_backbone(data, tmp_path):
    with pytest.raises(ValueError, match="--backbones: 'vgg', expected some of resnet101"):
        plan_of(data, tmp_path, "--backbones", "vgg")


def test_dry_run_prints_the_commands_and_does_nothing(data, tmp_path, capsys):
    tables.main(["3", *arguments(data, tmp_path, "--dry-run", "--backbones", "resnet50", "--seeds", "0")])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("_")[0] for line in lines if line.startswith("#")] == ["# cam", "# seeds"] + ["# cian", "# masks"] * 4
    assert sum("train.py" in line for line in lines) == 4 and not (tmp_path / "runs").exists()


def test_numbers_are_written_stage_by_stage_and_the_commands_follow(data, tmp_path, capfd):
    plan = plan_of(data, tmp_path, "--jobs", "1")
    record = {"settings": {"seed": 0}, "circumstances": {"commit": "abc"}}
    stages = [Stage(tmp_path / "runs" / name, ((sys.executable, "-c", f"print('{name}')"),)) for name in ("first", "second")]
    cells = [("9", (stages[1], "row", "column"))]  # the first stage has no number

    def measurements(plan, table, cell):
        assert cell[0].finished
        yield plan.measurement((table, *cell[1:]), 0.5, cell[0], record, 1, "print")

    last = (sys.executable, "-c", "import sys; print(open(sys.argv[1]).read())", str(tmp_path / "results" / "results.jsonl"))
    plan_module.carry_out(plan, stages, cells, measurements, [last], {"numbers": plan.args.results})
    (written,) = read_results(tmp_path / "results")
    assert (written.cell, written.value, written.run, written.date) == (("9", "row", "column"), 50.0, "second", None)
    lines = ["first", "second", f"numbers: {tmp_path / 'results'}", line_of(written), ""]
    assert capfd.readouterr().out.splitlines() == lines


@pytest.mark.parametrize("name, wanted", [(f"table{number}", number) for number in "2345"] + [
    ("figures", "figures"), ("all", "2 3 4 5 figures report")])  # fmt: skip
def test_the_scripts_are_sound(name, wanted):
    script = ROOT / "experiments" / f"{name}.sh"
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert re.search(rf'tables\.py"? {wanted} "\$@"\n', script.read_text(encoding="utf-8"))


#: trainings of CIAN's second round at version 0.1, whose runs count as finished to this day (of scenes since its labels are
#: made with padding, FIDELITY row 25; of animals since they are trained for 20 epochs), and of COMNet's segmentation since its
#: classifiers are scored on a list of their own (rows C12 to C15)
NAMES = {
    "voc12": ("cian_resnet101_data_ce+cp+rt-s0-2bf379d6", "cian_resnet50_data_ce+cp-s0-488be8ea"),
    "animals": ("cian_squeezenet1.1_data_ce+cp+rt-s0-ae7ab2ea", "cian_squeezenet1.1_data_ce+cp-s0-af2c2688"),
    "scenes": ("cian_resnet10_data_ce+cp+rt-s0-121bebce", "cian_resnet10_data_ce+cp-s0-bc4d59d6"),
}


@pytest.mark.parametrize("preset, option", [("voc12", "--seeds"), ("animals", "--random-seeds"), ("scenes", "--random-seeds")])
def test_finished_runs_go_on_to_count(tmp_path, monkeypatch, preset, option):
    """The hash of a name covers settings, data and all stages before; new options and names of options leave it alone."""
    monkeypatch.setattr(VOCDataset, "fingerprint", lambda self, ids: "fixed")
    words = arguments(three_images(tmp_path / "data"), tmp_path, "--preset", preset, option, "0", "--init", "random")
    plan = cian_plan.Plan(tables.parse_args(["2", *words]))
    comnet = comnet_tables.COMNetPlan(comnet_tables.parse_args(["VI", *words]))
    last = tables.cells(plan, "2")[-1][0], comnet_tables.cells(comnet, "VI")[-1][0]
    assert tuple(masks.needs[0].name for masks in last) == NAMES[preset]


def test_figures_and_report_come_last_and_their_options_are_known(data, tmp_path, capsys):
    options = arguments(data, tmp_path, "--backbones", "resnet50", "--seeds", "4", "--devices", "gpu0")
    tables.main(["report", "figures", "2", *options, "--dry-run"])
    lines = capsys.readouterr().out.splitlines()
    drawn = [shlex.split(line) for line in lines if "tools/draw.py" in line]
    assert [words[2] for words in drawn] == ["affinity", "affinity", "improvements"]
    for words in drawn:
        module_of("draw").parse_args(words[2:])
    trained = [line.split()[1] for line in lines if line.startswith("# cian")]
    masks = [line.split()[1] for line in lines if line.startswith("# masks")]
    trained = next(name for name in trained if "_ce+cp-s4-" in name)
    baseline, ours = (next(name for name in masks if f"_{losses}-s4-" in name) for losses in ("baseline", "ce+cp"))
    assert f"/{trained}/cian_resnet50-0019.params" in " ".join(drawn[0])
    assert drawn[2][4].endswith(f"/{baseline}/val/pred_crf") and drawn[2][6].endswith(f"/{ours}/val/pred_crf")
    report = module_of("report").parse_args(shlex.split(lines[-1])[2:])
    assert report.photographs and Path(report.output) == (tmp_path / "runs" / "report_voc12")


def test_the_filtered_second_round_is_one_more_row(data, tmp_path):
    def second_rounds(*more):
        plan = plan_of(data, tmp_path, "--seeds", "1", "--backbones", "resnet50", *more)
        return {cell[1]: cell[0] for cell in tables.cells(plan, "2") if cell[1].startswith("+ RT")}

    plain, both = second_rounds(), second_rounds("--filter-tags")
    assert list(plain) == ["+ RT"] and list(both) == ["+ RT", "+ RT, labels filtered by tags"]
    assert both["+ RT"].name == plain["+ RT"].name
    filtered, published = (both[row].needs[0].needs[0] for row in ("+ RT, labels filtered by tags", "+ RT"))
    assert "--filter-tags" in filtered.commands[0] and "--filter-tags" not in published.commands[0]
    assert filtered.needs[0].name == published.needs[0].name and filtered.name != published.name


def test_the_true_masks_are_one_more_row_of_plain_largefov(data, tmp_path):
    plan = plan_of(data, tmp_path, "--seeds", "1", "--backbones", "resnet50", "--truth")
    rows = {cell[1]: cell[0] for cell in tables.cells(plan, "2")}
    (trained,) = rows["LargeFOV on the true masks"].needs
    (words,) = trained.commands
    assert words[words.index("--labels") + 1] == str(data / "SegmentationClassAug") and trained.needs == ()
    assert words[words.index("--affinity") + 1] == "no" and words[words.index("--losses") + 1] == "baseline"
    assert trained.name != rows["Baseline"].needs[0].name and "_largefov-truth-s1-" in trained.name
    without = plan_of(data, tmp_path, "--seeds", "1", "--backbones", "resnet50")
    assert [cell[0].name for cell in tables.cells(without, "2")] == [
        cell[0].name for cell in tables.cells(plan, "2") if cell[1] != "LargeFOV on the true masks"
    ]


def test_true_masks_that_are_missing_are_told_before_the_first_stage(data, tmp_path, monkeypatch):
    monkeypatch.setattr(plan_module.check_inputs, "check_weights", lambda *_: [1])
    ran = []
    monkeypatch.setattr(plan_module, "run_plan", lambda *_: ran.append(1))
    (data / "SegmentationClassAug" / "a.png").unlink()
    words = arguments(data, tmp_path, "--seeds", "0", "--backbones", "resnet50")
    tables.main(["2", *words])
    assert ran == [1]
    with pytest.raises(FileNotFoundError, match=r"a\.png: no such mask, on which --truth or Table 4 train \(1 missing\)"):
        tables.main(["2", *words, "--truth"])
    plan = plan_of(data, tmp_path, "--seeds", "0", "--backbones", "resnet50")
    stages = [plan.seeds(ratio) for ratio in ("0", "1")]
    assert [plan_module.trained_on(plan, [stage]) for stage in stages] == [[], ["a", "b"]]
    assert ran == [1]

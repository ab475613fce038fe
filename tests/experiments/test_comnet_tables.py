"""experiments/comnet_tables.py and comnet.sh: the rows of COMNet's tables, shared stages, commands that fit the tools."""

import subprocess

import pytest
from scripts import module_of
from small_training import ROOT
from table_scripts import PAPER, arguments, comnet_tables, in_order, three_images

from cian.base.files import write_json, write_text
from cian.data.voc import VOC_CLASSES


@pytest.fixture
def data(tmp_path):
    return three_images(tmp_path / "voc")


def plan_of(data, tmp_path, *more):
    return comnet_tables.COMNetPlan(comnet_tables.parse_args(arguments(data, tmp_path, *more)))


def test_the_cells_are_those_of_the_paper(data, tmp_path):
    plan = plan_of(data, tmp_path, "--seeds", "5", "--segmentation", "resnet101,resnet50")
    for table in comnet_tables.TABLES[:-1]:
        found = {(row, column) for _, row, column, _ in comnet_tables.cells(plan, table)}
        published = {(row, column) for name, row, column in PAPER if name == f"COMNet {table}"}
        if table == "I":
            published = {cell for cell in published if cell[1] == "mIoU"}
        elif table == "VI":
            published = {(row, column) for row, column in published if row.startswith("COMNet") and column == "val"}
            published |= {(row.replace("(ours)", "(ours) and CIAN"), column) for row, column in published}
        assert found == published, table


def test_trainings_are_shared_between_the_tables(data, tmp_path):
    plan = plan_of(data, tmp_path, "--seeds", "0 1", "--segmentation", "resnet50")
    order = in_order([cell[0] for table in comnet_tables.TABLES[:-1] for cell in comnet_tables.cells(plan, table)])
    kinds = [stage.name.split("_")[0] for stage in order]
    # none, inter, intra, both; N = 3, 4, 5; three further alphas; five further k
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"comnet": 2 * (4 + 3 + 3 + 5), "walk": 4, "cian": 4}


def test_the_tools_know_every_command(data, tmp_path):
    plan = plan_of(data, tmp_path, "--seeds", "2", "--segmentation", "resnet50", "--devices", "cpu")
    stages = in_order([cell[0] for table in comnet_tables.TABLES[:-1] for cell in comnet_tables.cells(plan, table)])
    for stage in [*stages, plan.figures()]:
        for words in stage.commands:
            name = words[1].rsplit("/", 1)[1][: -len(".py")]
            module_of(name).parse_args(list(words[2:]))  # ends the test if an option is not known
    by_row = {cell[1]: cell[0].commands[0] for table in ("I", "III", "IV") for cell in comnet_tables.cells(plan, table)}

    def value(row, option):
        return by_row[row][by_row[row].index(option) + 1]

    assert [value(f"N = {size}", "--batch") for size in (2, 3, 4, 5)] == ["16", "18", "16", "20"]  # whole groups
    assert value("N = 5", "--group-size") == "5" and value("alpha = 1.8", "--alpha") == "1.8" and value("k = 32", "--k") == "32"
    assert {value(row, "--matching") for row in by_row if row.startswith("k")} == {"intra"}


def test_table_7_is_for_coco(data, tmp_path):
    names = list(VOC_CLASSES) + [f"class {number}" for number in range(21, 81)]
    write_text(data / "classes.txt", "\n".join(names) + "\n")
    plan = plan_of(data, tmp_path, "--segmentation", "resnet50")
    assert len(plan.dataset.classes) == 81
    cells = [cell[1:3] for cell in comnet_tables.cells(plan, "VII")]
    assert cells == [("COMNet (ours), ResNet50", "val"), ("COMNet (ours) and CIAN, ResNet50", "val")]
    assert ("COMNet VII", *cells[0]) in PAPER


def test_the_numbers_name_their_thresholds(data, tmp_path):
    plan = plan_of(data, tmp_path, "--seeds", "3")
    cell = comnet_tables.cells(plan, "II")[0]
    cell[0].folder.mkdir(parents=True)
    scores = {"miou": 0.483, "threshold": 0.16, "miou_at": {"0.15": 0.481}, "images": 2, "iou": {}}
    write_json(cell[0].folder / "cam.json", scores)
    record = {"settings": {"backbone": "resnet50v1b", "seed": 3}, "circumstances": {"commit": "abc"}}
    write_json(cell[0].folder / "settings.json", record)
    best, fixed = comnet_tables.measurements(plan, "II", cell)
    assert (best.cell, best.value, best.settings["cam_threshold"]) == (("COMNet II", "Baseline", "mIoU"), 48.3, 0.16)
    assert best.settings["cam_scales"] == [1.0, 0.5, 1.5, 2.0] and best.fingerprint == plan.fingerprint["train"]
    assert (fixed.column, fixed.value, fixed.seeds) == ("mIoU at threshold 0.15", 48.1, (3,))


def test_wrong_tables(data, tmp_path, capsys):
    with pytest.raises(SystemExit):
        comnet_tables.parse_args(["VIII"])
    assert "'VIII', expected some of I, II" in capsys.readouterr().err
    with pytest.raises(ValueError, match="Table VII needs COCO's 81 classes, .* has 21"):
        comnet_tables.main(["VII", *arguments(data, tmp_path)])


def test_the_script_is_sound():
    script = ROOT / "experiments" / "comnet.sh"
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert 'run_tables comnet_tables.py "$@"\n' in script.read_text(encoding="utf-8")

"""experiments/comnet_tables.py and comnet.sh: the rows of COMNet's tables, shared stages, commands that fit the tools."""

import subprocess

import numpy as np
import pytest
from scripts import module_of
from small_training import ROOT
from table_scripts import PAPER, arguments, comnet_tables, in_order, three_images

from cian.base.files import write_json, write_text
from cian.data.images import write_label
from cian.data.voc import VOC_CLASSES
from cian.report.findings import AT_TEST, GROUPED, IN_TRAINING

OWN_ROWS = (GROUPED, AT_TEST, IN_TRAINING)  # not in the paper


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
        if table == "II":
            published |= {(row, "mIoU") for row in OWN_ROWS}
        elif table == "I":
            published = {cell for cell in published if cell[1] == "mIoU"}
        elif table == "VI":
            published = {(row, column) for row, column in published if row.startswith("COMNet") and column == "val"}
            published |= {(row.replace("(ours)", "(ours) and CIAN"), column) for row, column in published}
        assert found == published, table


def test_trainings_are_shared_between_the_tables(data, tmp_path):
    plan = plan_of(data, tmp_path, "--seeds", "0 1", "--segmentation", "resnet50")
    order = in_order([cell[0] for table in comnet_tables.TABLES[:-1] for cell in comnet_tables.cells(plan, table)])
    kinds = [stage.name.split("_")[0] for stage in order]
    # none, inter, intra, both, none in groups; N = 3, 4, 5; three further alphas; five further k
    expected = {"comnet": 2 * (5 + 3 + 3 + 5), "maps": 4, "walk": 4, "cian": 4, "masks": 4}
    assert {kind: kinds.count(kind) for kind in set(kinds)} == expected


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

    assert [value(f"N = {size}", "--batch") for size in (2, 3, 4, 5)] == ["16", "15", "16", "15"]  # whole groups
    assert {value(row, "--updates") for row in by_row} == {"1"}  # two images, and as many updates in every row
    assert value("N = 5", "--group-size") == "5" and value("alpha = 1.8", "--alpha") == "1.8" and value("k = 32", "--k") == "32"
    assert {value(row, "--matching") for row in by_row if row.startswith("k")} == {"intra"}


def words_of(stage, tool):
    """The commands of a stage that run a tool, without the interpreter and the tool."""
    return [list(words[2:]) for words in stage.commands if words[1].endswith(f"{tool}.py")]


def option(words, name):
    return words[words.index(name) + 1]


def test_training_and_scoring_list_are_two(data, tmp_path):
    """The paper trains on train_aug and scores on train, against masks with void borders where they are there."""
    label = np.full((20, 24), 8, np.uint8)
    write_text(data / "ImageSets" / "Segmentation" / "train.txt", "a\n")
    write_label(data / "SegmentationClass" / "a.png", label)
    plan = plan_of(data, tmp_path, "--seeds", "0")
    assert plan.args.cam_list == "train" and plan.union == ("train_aug",)
    classifier, walk = plan.classifier(0, matching="both"), plan.walk(0, "both")
    assert option(words_of(classifier, "train_cam")[0], "--list") == "train_aug"
    assert option(words_of(classifier, "make_seeds")[0], "--list") == "train"
    for stage in (classifier, walk):
        scored = words_of(stage, "evaluate")[0]
        assert option(scored, "--list") == str(data / "ImageSets" / "Segmentation" / "train.txt")
        assert option(scored, "--ground-truth") == str(data / "SegmentationClass")
    assert [option(words, "--list") for name in ("make_seeds", "train_irn", "refine") for words in words_of(walk, name)] == [
        "train_aug"
    ] * 3
    assert option(words_of(walk, "train_irn")[0], "--cams") == str(walk.folder / "maps" / "cam")
    other = plan_of(data, tmp_path, "--seeds", "0", "--cam-list", "val")  # not part of the training list
    walk = other.walk(0, "both")
    assert [option(words, "--list") for words in words_of(walk, "make_seeds")] == ["train_aug", "val"]
    assert [option(words, "--list") for words in words_of(walk, "refine")] == ["train_aug", "val"]
    assert option(words_of(walk, "train_irn")[0], "--list") == "train_aug"
    assert option(words_of(walk, "evaluate")[0], "--ground-truth") == str(data / "SegmentationClassAug")
    assert walk.name != plan.walk(0, "both").name
    same = plan_of(data, tmp_path, "--seeds", "0", "--cam-list", "train_aug")  # the classifier's maps are all there is to make
    walk, maps = same.walk(0, "both"), same.classifier(0, matching="both").folder / "maps" / "cam"
    assert not words_of(walk, "make_seeds") and option(words_of(walk, "refine")[0], "--cams") == str(maps)
    (data / "ImageSets" / "Segmentation" / "train.txt").unlink()
    assert plan_of(data, tmp_path).args.cam_list == "train_aug"
    assert plan_of(data, tmp_path, "--preset", "scenes").args.cam_list == "val"


def test_rows_differ_in_what_they_name(data, tmp_path):
    plan = plan_of(data, tmp_path, "--seeds", "4", "--tags", str(data / "tags.csv"))
    stages = {row: stage for stage, row, _, _ in comnet_tables.cells(plan, "II")}
    baseline, grouped, at_test, in_training = (stages[row] for row in ("Baseline", *OWN_ROWS))
    differ = set(words_of(grouped, "train_cam")[0]) ^ set(words_of(baseline, "train_cam")[0])
    assert differ == {"--grouping", "common", str(grouped.folder), str(baseline.folder)}
    assert at_test.needs == (baseline,) and not words_of(at_test, "train_cam")
    made = words_of(at_test, "make_seeds")[0]
    assert option(made, "--matching") == "inter"
    assert option(made, "--checkpoint") == str(baseline.folder / "comnet_resnet50v1b-0004.params")
    assert in_training.needs == (stages["Baseline + inter-matching"],) and not words_of(in_training, "train_cam")
    assert option(words_of(in_training, "make_seeds")[0], "--matching") == "none"
    for tool in ("train_cam", "make_seeds"):
        assert option(words_of(baseline, tool)[0], "--tags") == str(data / "tags.csv")
    assert stages["Baseline"].name != comnet_tables.cells(plan_of(data, tmp_path, "--seeds", "4"), "II")[0][0].name


def test_the_rows_of_table_5_share_the_features_of_the_boundaries(data, tmp_path):
    plan = plan_of(data, tmp_path, "--seeds", "1", "--init", "random", "--cam-list", "val")
    baseline = plan.classifier(1, matching="none")
    for matching in ("none", "both"):
        walk = plan.walk(1, matching)
        assert option(words_of(walk, "train_irn")[0], "--init") == str(plan.last(baseline))
        assert baseline in walk.needs
        assert option(words_of(walk, "make_seeds")[0], "--checkpoint") == str(plan.last(plan.classifier(1, matching=matching)))


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
    assert best.settings["cam_scales"] == [1.0, 0.5, 1.5, 2.0] and best.fingerprint == plan.fingerprint["cam"]
    assert best.settings["cam_list"] == "train_aug" and best.settings["list"] == "train_aug"
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

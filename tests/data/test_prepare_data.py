"""tools/prepare_data.py from its command line: results, printed lines and exit status."""

import numpy as np
import pytest
from scripts import module_of
from test_sbd import TRAIN_AUG, sbd, voc  # noqa: F401  the small trees, as fixtures
from voc_trees import write_dataset

from cian.base.files import write_text
from cian.data.voc import open_dataset

LABEL = np.array([[0, 8, 8, 255], [255, 15, 0, 8]])


@pytest.fixture(scope="module")
def tool():
    return module_of("prepare_data")


def test_voc12(tool, tmp_path, voc, sbd, capsys):  # noqa: F811
    write_text(tmp_path / "expect.txt", "\n".join(TRAIN_AUG))
    arguments = ["voc12", "--voc", str(voc), "--sbd", str(sbd), "--output", str(tmp_path / "out"), "--workers", "1"]
    assert tool.main(arguments + ["--expect", str(tmp_path / "expect.txt"), "--expect-count", "5"]) == 0
    assert "7 masks, 4 of VOC and 3 of SBD; train_aug has 5 ids" in capsys.readouterr().out
    assert tool.main(["check", "--data", str(tmp_path / "out"), "--list", "train_aug", "--workers", "1"]) == 1
    faults = [line for line in capsys.readouterr().out.splitlines() if line.startswith("fault: ")]
    assert len(faults) == 5 and all("expected at least one <object>" in fault for fault in faults)  # empty annotations
    with pytest.raises(ValueError, match="train_aug: expected 10582 ids, found 5"):
        tool.main(arguments)


def test_voc12_needs_its_sources(tool, capsys):
    with pytest.raises(SystemExit) as caught:
        tool.main(["voc12", "--voc", "somewhere"])
    assert caught.value.code == 2
    assert "--voc and --sbd are both needed, or --download DIR" in capsys.readouterr().err


def test_unpacked_downloads_are_used_without_network(tool, tmp_path, voc, sbd):  # noqa: F811
    assert tool.main(["voc12", "--download", str(tmp_path), "--expect-count", "5", "--workers", "1"]) == 0
    assert open_dataset(voc).read_ids("train_aug") == TRAIN_AUG


def test_check(tool, tmp_path, capsys):
    root = write_dataset(tmp_path, {"val": {"a": LABEL, "b": LABEL}})
    arguments = ["check", "--data", str(root), "--list", "val", "--workers", "1"]
    assert tool.main(arguments) == 0
    assert "2 images of val: 0 faults; 0 with tags other than" in capsys.readouterr().out
    (root / "SegmentationClassAug/a.png").unlink()
    (root / "JPEGImages/b.jpg").write_bytes(b"")
    assert tool.main(arguments) == 1
    out = capsys.readouterr().out
    assert out.count("fault: ") == 2 and "a.png" in out and "b.jpg" in out and "2 images of val: 2 faults" in out
    assert tool.main(arguments + ["--masks", "none"]) == 1
    assert "1 faults" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match="lists there: val"):
        tool.main(["check", "--data", str(root), "--list", "test"])


def test_check_of_the_real_validation_list(tool, shared, capsys):
    arguments = ["check", "--data", str(shared / "data/VOC2012-animals"), "--list", "val"]
    assert tool.main(arguments + ["--tags", str(shared / "data/lists/cls_labels.npy")]) == 0
    assert "300 images of val: 0 faults; 0 with tags other than the mask's classes" in capsys.readouterr().out


def test_scenes_pass_their_own_check(tool, tmp_path, capsys):
    root = tmp_path / "scenes"
    arguments = ["scenes", "--output", str(root), "--train", "4", "--val", "3", "--size", "64", "--seed", "1"]
    assert tool.main(arguments) == 0
    for name, number in (("train_aug", 4), ("val", 3)):
        assert tool.main(["check", "--data", str(root), "--list", name, "--workers", "1"]) == 0
        assert f"{number} images of {name}: 0 faults" in capsys.readouterr().out

"""tools/evaluate.py on small folders with hand-computed scores: table, JSON, chosen classes, seeds, errors."""

import numpy as np
import pytest
from scripts import module_of

from cian.base.files import read_json, write_text
from cian.data.images import write_label
from cian.data.voc import VOC_CLASSES


@pytest.fixture(scope="module")
def evaluate():
    return module_of("evaluate")


@pytest.fixture
def folder(tmp_path):
    """Two images: cat (8) 6 pixels in the truth, of them 4 found; dog (12) 2, of them 1 found and 1 called cat."""
    write_label(tmp_path / "truth" / "a.png", np.array([[8, 8, 8, 0], [8, 8, 8, 255]]))
    write_label(tmp_path / "pred" / "a.png", np.array([[8, 8, 0, 0], [8, 8, 0, 0]]))
    write_label(tmp_path / "truth" / "b.png", np.array([[12, 12, 0]]))
    write_label(tmp_path / "pred" / "b.png", np.array([[12, 8, 0]]))
    write_text(tmp_path / "list.txt", "a\nb\n")
    return tmp_path


def arguments(folder, *more):
    return ["--predictions", str(folder / "pred"), "--ground-truth", str(folder / "truth"),
            "--list", str(folder / "list.txt"), "--workers", "1", "--json", str(folder / "scores.json"), *more]


def test_json_and_table(evaluate, folder, capsys):
    evaluate.main(arguments(folder))
    result = read_json(folder / "scores.json")
    assert result["images"] == 2
    assert list(result["iou"]) == list(VOC_CLASSES)
    assert result["iou"]["cat"] == pytest.approx(4 / 7) and result["iou"]["dog"] == 1 / 2
    assert result["iou"]["background"] == 2 / 4 and result["iou"]["cow"] is None
    assert result["precision"]["cat"] == 4 / 5 and result["recall"]["cat"] == pytest.approx(4 / 6)
    assert result["miou"] == pytest.approx((4 / 7 + 1 / 2 + 1 / 2) / 3)
    assert result["counts"]["truth"]["cat"] == 6 and result["counts"]["predicted"]["cat"] == 5
    assert len(result["left_out_of_mean"]) == 18
    table = capsys.readouterr().out
    assert "57.14      80.00      66.67" in table and "mean of 3" in table
    assert "left out of the mean, in neither truth nor prediction: aeroplane" in table


def test_chosen_classes(evaluate, folder):
    evaluate.main(arguments(folder, "--classes", "background, cat"))
    result = read_json(folder / "scores.json")
    assert list(result["iou"]) == ["background", "cat"]
    assert result["miou"] == pytest.approx((1 / 2 + 4 / 7) / 2)  # the dog called cat still counts against cat


def test_seeds(evaluate, folder, capsys):
    write_label(folder / "pred" / "a.png", np.array([[8, 8, 255, 0], [8, 255, 0, 0]]))
    with pytest.raises(ValueError, match=r"a\.png: expected values 0\.\.20, found \[255\]"):
        evaluate.main(arguments(folder))
    evaluate.main(arguments(folder, "--seeds"))
    result = read_json(folder / "scores.json")
    assert result["counts"]["unassigned"]["cat"] == 2
    assert result["coverage"]["cat"] == pytest.approx(4 / 6)
    assert result["iou"]["cat"] == pytest.approx(3 / 5)
    assert result["totals"]["foreground"]["recall"] == 4 / 8
    assert result["miou"] == pytest.approx((2 / 3 + 3 / 5 + 1 / 2) / 3)
    assert result["miou_unassigned_wrong"] == pytest.approx((2 / 3 + 3 / 7 + 1 / 2) / 3)
    assert "unassigned: 2 of 10 pixels (20.0 %)" in capsys.readouterr().out


@pytest.mark.parametrize("count", [7, 81])
@pytest.mark.parametrize("beside", [True, False])
def test_other_class_names(evaluate, folder, count, beside):
    names = ["background"] + [f"thing {n}" for n in range(1, count)]
    path = folder / ("classes.txt" if beside else "names.txt")
    write_text(path, "\n".join(names) + "\n")
    write_label(folder / "truth" / "a.png", np.array([[0, count - 1]]))
    write_label(folder / "pred" / "a.png", np.array([[0, count - 1]]))
    write_text(folder / "list.txt", "a\n")
    evaluate.main(arguments(folder, *([] if beside else ["--class-names", str(path)])))
    result = read_json(folder / "scores.json")
    assert list(result["iou"]) == names and result["iou"][names[-1]] == 1


@pytest.mark.parametrize("change, message", [
    (lambda root: (root / "pred" / "b.png").unlink(), r"b\.png: no such image file"),
    (lambda root: (root / "list.txt").unlink(), r"list\.txt': no such file"),
    (lambda root: write_text(root / "list.txt", "\n"), r"list\.txt: the list is empty, expected one image id a line"),
    (lambda root: write_text(root / "list.txt", "a\na\n"), r"list\.txt, line 2: id 'a' was in line 1 already"),
])
def test_errors_leave_no_json(evaluate, folder, change, message):
    change(folder)
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        evaluate.main(arguments(folder))
    assert not (folder / "scores.json").exists()


def test_unknown_class_is_named(evaluate, folder):
    with pytest.raises(ValueError, match="no class named unicorn; there are background, aeroplane"):
        evaluate.main(arguments(folder, "--classes", "cat,unicorn"))

"""The confusion matrix against a slow count: shares of the true class, files, and what the picture leaves out."""

import csv

import numpy as np
import pytest
from scripts import tool

from cian.data.images import read_image, read_label, write_label
from cian.evaluation.confusion import row_shares

CLASSES = ("background", "cat", "dog", "owl")


def test_rows_are_divided_by_their_sums():
    shares = row_shares(np.array([[6, 2, 0], [0, 0, 0], [0, 0, 5]]))
    np.testing.assert_array_equal(shares[[0, 2]], [[0.75, 0.25, 0], [0, 0, 1]])
    assert np.isnan(shares[1]).all()


@pytest.fixture
def folder(tmp_path):
    """Five images of random labels; owl is in the predictions alone."""
    random = np.random.default_rng(0)
    for name in "abcde":
        write_label(tmp_path / "truth" / f"{name}.png", random.choice([0, 1, 2, 255], (9, 7)).astype(np.uint8))
        write_label(tmp_path / "pred" / f"{name}.png", random.choice([0, 1, 2, 3], (9, 7)).astype(np.uint8))
        write_label(tmp_path / "seeds" / f"{name}.png", random.choice([0, 1, 255], (9, 7)).astype(np.uint8))
    (tmp_path / "list.txt").write_text("\n".join("abcde"))
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES))
    return tmp_path


def slow_count(folder, kind, columns):
    counts = np.zeros((4, len(columns)))
    for name in "abcde":
        truth, found = (read_label(folder / part / f"{name}.png") for part in ("truth", kind))
        for i in range(4):
            for j, value in enumerate(columns):
                counts[i, j] += ((truth == i) & (found == value)).sum()
    return counts


@pytest.mark.parametrize("kind, columns, options", [("pred", (0, 1, 2, 3), ()),
                                                    ("seeds", (0, 1, 2, 3, 255), ("--ignore-unassigned",))])
def test_evaluate_writes_table_and_picture(folder, capsys, kind, columns, options):
    tool("evaluate", "--predictions", folder / kind, "--ground-truth", folder / "truth", "--list", folder / "list.txt",
         "--workers", "1", "--confusion", folder / "out" / "matrix.png", *options)
    lines = list(csv.reader((folder / "out" / "matrix.csv").read_text().splitlines()))
    assert lines[0] == ["truth", "pixels", *CLASSES, *(["unassigned"] if options else [])]
    assert [line[0] for line in lines[1:]] == list(CLASSES)
    counts = slow_count(folder, kind, columns)
    assert [int(line[1]) for line in lines[1:]] == counts.sum(axis=1).tolist() and counts[3].sum() == 0
    found = np.array([line[2:] for line in lines[1:4]], float)
    np.testing.assert_allclose(found, counts[:3] / counts[:3].sum(axis=1, keepdims=True), atol=1e-6)
    assert set(lines[4][2:]) == {""}
    picture = read_image(folder / "out" / "matrix.png")
    assert picture.shape[0] > 150 and picture.std() > 10


def test_it_needs_masks(folder, capsys):
    with pytest.raises(SystemExit):
        tool("evaluate", "--cams", folder, "--ground-truth", folder, "--list", "x", "--confusion", "y")
    assert "--ignore-unassigned and --confusion need --predictions" in capsys.readouterr().err

"""experiments/tutorial.py, all its cells, on a few scenes and an epoch each: it runs, draws, and tells what numpy finds."""

import re
import runpy

import numpy as np
import pytest
from scripts import ROOT

from cian.data.images import read_image

SMALL = {"images": 16, "val": 8, "side": 64, "cam_epochs": 1, "epochs": 1, "second_epochs": 1}


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the tutorial leaves behind: its variables, and its folder."""
    folder = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as patch:
        # after an epoch the masks are all background, which a training refuses to take for labels
        patch.setattr("cian.training.tool.check_labels", lambda *arguments: None)
        patch.setattr("cian.base.messages.speak", lambda: None)  # messages are the whole process's
        left = runpy.run_path(str(ROOT / "experiments" / "tutorial.py"), {"CHANGES": {"folder": str(folder), **SMALL}})
    return left, folder


def test_all_cells_run_and_draw(told):
    left, folder = told
    for name in ("1_cam", "2_seed", "4_masks"):
        assert read_image(folder / f"{name}.png").std() > 10
    assert {path.suffix for path in (folder / "3_affinity").iterdir() if path.is_file()} >= {".png", ".html"}
    assert set(left["second"]) == set(left["val_ids"]) and len(left["seeds"]) == SMALL["images"]


def test_the_numbers_are_right(told):
    left, _ = told
    looked_at, own = left["looked_at"], left["own"]
    assert looked_at.sum() == pytest.approx(1, abs=1e-5)
    keys = left["look"].labels[1][::16, ::16]
    np.testing.assert_array_equal(own[: keys.shape[0], : keys.shape[1]], keys == left["query"].class_id)
    name = left["val_ids"][0]
    truth, found = left["truths"][name], left["second"][name]
    counted = truth != 255
    union = {c: ((truth == c) | (found == c) & counted).sum() for c in range(7)}
    slow = np.mean([((truth == c) & (found == c)).sum() / union[c] for c in range(7) if union[c]])
    assert left["iou"][name][1] == pytest.approx(slow)


def test_every_part_is_explained():
    text = (ROOT / "experiments" / "tutorial.py").read_text(encoding="utf-8")
    cells = re.split(r"^# %%", text, flags=re.MULTILINE)[1:]
    words = [cell for cell in cells if cell.startswith(" [markdown]")]
    assert len(cells) > 12 and len(words) >= 7
    assert all(line.startswith("#") for cell in words for line in cell.split("\n")[1:] if line)

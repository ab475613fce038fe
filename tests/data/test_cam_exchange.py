"""Class activation maps of other projects, ID.npy: read, scored, refined, trained on, written; tensors are refused."""

import json
import os
import pickle

import numpy as np
import pytest
from pickles import save_pickle
from scripts import tool
from small_seeds import CAT, IDS, LABEL, PERSON, make, save_classifier, six_images

from cian.data.cam_exchange import read_npy, write_npy
from cian.data.cams import cam_path, load_cam, save_cam
from cian.data.images import read_label

MAPS = np.random.RandomState(0).rand(2, 5, 6).astype(np.float32)


def test_irns_file(tmp_path):
    """Classes count from 0 without background; the maps of the image's size are taken, those of stride 4 without them."""
    content = {"keys": np.array([7, 14]), "cam": MAPS[:, ::4, ::4], "high_res": MAPS}
    np.save(str(tmp_path / "a.npy"), content)
    class_ids, maps = load_cam(cam_path(tmp_path, "a"))
    assert class_ids.tolist() == [CAT, PERSON] and class_ids.dtype == np.int64 and maps.dtype == np.float16
    np.testing.assert_array_equal(maps, MAPS.astype(np.float16))
    np.save(str(tmp_path / "b.npy"), {"keys": np.array([7, 14]), "cam": MAPS[:, ::4, ::4]})
    assert load_cam(tmp_path / "b.npy")[1].shape == (2, 2, 2)


def test_weaktrs_file(tmp_path):
    np.save(str(tmp_path / "a.npy"), {14: MAPS[1], 7: MAPS[0]})
    class_ids, maps = read_npy(tmp_path / "a.npy")
    assert class_ids.tolist() == [CAT, PERSON] and np.array_equal(maps, MAPS)
    np.save(str(tmp_path / "a.npy"), {})
    assert load_cam(tmp_path / "a.npy")[1].shape == (0, 1, 1)


def test_what_is_written_is_irns(tmp_path):
    large = np.repeat(np.repeat(MAPS, 4, axis=1), 4, axis=2)
    write_npy(tmp_path / "a.npy", [CAT, PERSON], MAPS, large)
    found = np.load(str(tmp_path / "a.npy"), allow_pickle=True).item()  # as IRN reads it
    assert sorted(found) == ["cam", "high_res", "keys"] and found["keys"].tolist() == [7, 14]
    assert np.array_equal(found["cam"], MAPS) and np.array_equal(found["high_res"], large)
    assert np.array_equal(load_cam(tmp_path / "a.npy")[1], large.astype(np.float16))


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("was_run",)


def test_torch_tensors_are_refused_with_a_hint(tmp_path):
    save_pickle(tmp_path / "a.npy", b"\x80\x02}U\x04keysctorch._utils\n_rebuild_tensor_v2\n)Rs.")
    with pytest.raises(ValueError, match=r"a.npy: .*it holds torch tensors; save arrays, .*numpy\(\)"):
        load_cam(tmp_path / "a.npy")


def test_nothing_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_pickle(tmp_path / "a.npy", pickle.dumps({"keys": Malicious()}, 2))
    with pytest.raises(ValueError, match="a.npy: .*refers to '.*mkdir'"):
        load_cam(tmp_path / "a.npy")
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize("content, message", [
    ({"keys": np.array([7]), "cam": MAPS}, r"expected \(C,\) class ids and \(C, H, W\) maps"),
    ({"keys": np.array([7, 7]), "cam": MAPS}, r"each once, found \[8, 8\]"),
    ({"keys": np.array([7, 8]), "cam": 2 * MAPS + 1}, r"expected values in \[0, 1\]"),
    ({"keys": np.array([7, 8]), "maps": MAPS}, "expected the entries keys and high_res or cam, found keys, maps"),
    ({"keys": np.array([0.5, 1]), "cam": MAPS}, r"keys: expected whole numbers \(C,\), found float64"),
    ({7: MAPS[0], 8: MAPS[0, :2]}, r"expected a map \(H, W\) of each class, found shapes"),
    ({"cat": MAPS[0]}, r"expected IRN's keys and high_res, or classes as numbers, found \['cat'\]"),
    ({7: np.zeros((2, 2), int)}, "expected maps of floating-point numbers, found int64"),
])  # fmt: skip
def test_other_contents_are_named(tmp_path, content, message):
    np.save(str(tmp_path / "a.npy"), content)
    with pytest.raises(ValueError, match=f"a.npy: .*{message}"):
        load_cam(tmp_path / "a.npy")


def test_npz_comes_before_npy(tmp_path):
    assert cam_path(tmp_path, "a") == tmp_path / "a.npz"  # named where there is none
    np.save(str(tmp_path / "a.npy"), {7: MAPS[0]})
    assert cam_path(tmp_path, "a") == tmp_path / "a.npy"
    save_cam(tmp_path / "a.npz", [PERSON], MAPS[:1])
    assert load_cam(cam_path(tmp_path, "a"))[0].tolist() == [PERSON]


def test_others_maps_are_scored_refined_and_made_into_seeds(tmp_path):
    """The same numbers and masks from this project's own files as from the same maps in IRN's."""
    data = six_images(tmp_path / "data")
    own = make(data, save_classifier(tmp_path), tmp_path / "own", "--npy", "--cam-threshold", "0.3")
    others = tmp_path / "own" / "npy"
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for name in IDS:  # the file as written is of float32: rounded as ours are, it holds just the same numbers
        class_ids, maps = load_cam(tmp_path / "own" / "cam" / f"{name}.npz")
        assert np.array_equal(read_npy(others / f"{name}.npy")[0], class_ids)
        np.save(str(foreign / f"{name}.npy"), {int(c) - 1: one.astype(np.float32) for c, one in zip(class_ids, maps)})
    tool("make_seeds", "--maps", foreign, "--data", data, "--output", tmp_path / "seeds", "--workers", 1,
         "--cam-threshold", 0.3)  # fmt: skip
    for name in IDS:
        assert np.array_equal(read_label(tmp_path / "seeds" / "seeds" / f"{name}.png"), own[name])
    scores = {}
    for kind, folder in (("own", tmp_path / "own" / "cam"), ("foreign", foreign)):
        tool("evaluate", "--cams", folder, "--ground-truth", data / "SegmentationClassAug", "--list", "train_aug",
             "--workers", 1, "--json", tmp_path / f"{kind}.json")  # fmt: skip
        scores[kind] = json.loads((tmp_path / f"{kind}.json").read_text())
        tool("refine", "--cams", folder, "--data", data, "--refine", "none", "--background-threshold", 0.3,
             "--output", tmp_path / f"{kind}-masks", "--workers", 1)  # fmt: skip
    assert scores["own"] == scores["foreign"] and 0 < scores["own"]["miou"] < 1
    masks = [[read_label(tmp_path / f"{kind}-masks" / f"{name}.png") for name in IDS] for kind in scores]
    assert np.array_equal(*map(np.stack, masks)) and masks[0][0].shape == LABEL.shape and masks[0][0].max() > 0
    with pytest.raises(FileNotFoundError, match=r"no file ID.npy for 1 of 6 ids, such as f.npy"):
        (foreign / "f.npy").unlink()
        tool("make_seeds", "--maps", foreign, "--data", data, "--output", tmp_path / "other")

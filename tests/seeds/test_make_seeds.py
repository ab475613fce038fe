"""tools/make_seeds.py end to end with a small classifier of random weights: substitution, other maps and tags, interruption."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scripts import tool
from small_seeds import CAT, IDS, LABEL, PERSON, make, options, save_classifier, six_images
from small_training import ROOT
from voc_trees import write_annotation, write_image

from cian.base.files import read_json
from cian.data.cams import load_cam
from cian.data.images import read_label, write_label


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return save_classifier(tmp_path_factory.mktemp("classifier"))


@pytest.fixture
def data(tmp_path):
    return six_images(tmp_path / "data")


def test_substitution_is_nested_recorded_and_leaves_nothing_behind(data, classifier, tmp_path):
    plain = make(data, classifier, tmp_path / "plain")
    drawn = {}
    for share, count in ((0.5, 3), (0.17, 1), (0.0, 0)):
        seeds = make(data, classifier, tmp_path / "out", "--substitute", share, "--substitute-seed", "4")
        recipe = read_json(tmp_path / "out" / "recipe.json")
        drawn[share] = recipe["substituted"]
        assert (recipe["substitute"], recipe["substitute_seed"], len(drawn[share])) == (share, 4, count)
        for name in IDS:
            assert np.array_equal(seeds[name], LABEL if name in drawn[share] else plain[name])
    assert set(drawn[0.17]) < set(drawn[0.5])


def test_an_interrupted_change_of_the_recipe_leaves_no_old_seed(data, classifier, tmp_path):
    make(data, classifier, tmp_path / "out", "--substitute", "0.5")
    old = read_json(tmp_path / "out" / "recipe.json")["substituted"]
    broken = next(name for name in IDS if name not in old)
    path = tmp_path / "out" / "cam" / f"{broken}.npz"
    saliency = tmp_path / "out" / "saliency" / f"{broken}.png"
    saliency.write_bytes(b"cut")
    with pytest.raises(ValueError, match=f"{broken}.png: cannot be decoded"):
        make(data, classifier, tmp_path / "out", "--substitute", "0")
    for seed in (tmp_path / "out" / "seeds").iterdir():
        assert not np.array_equal(read_label(seed), LABEL)
    assert not (tmp_path / "out" / "seeds" / f"{broken}.png").exists() and path.exists()


def test_substitution_needs_good_masks(data, classifier, tmp_path):
    (data / "SegmentationClassAug" / "d.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"d.png: no such mask, needed by --substitute \(1 missing\)"):
        make(data, classifier, tmp_path / "out", "--substitute", "1")
    write_label(data / "SegmentationClassAug" / "d.png", LABEL[:-1])
    with pytest.raises(ValueError, match=r"d.png: expected the size of its image, \(40, 48\) \(H, W\), found \(39, 48\)"):
        make(data, classifier, tmp_path / "out", "--substitute", "1")
    with pytest.raises(ValueError, match="share: expected a fraction"):
        make(data, classifier, tmp_path / "out", "--substitute", "5")


def test_overlap_largest_labels_what_ignore_leaves(data, classifier, tmp_path):
    ignore = make(data, classifier, tmp_path / "out", "--cam-threshold", "0.1")
    largest = make(data, classifier, tmp_path / "out", "--cam-threshold", "0.1", "--overlap", "largest")
    decided = 0
    for name in IDS:
        differ = ignore[name] != largest[name]
        class_ids, maps = load_cam(tmp_path / "out" / "cam" / f"{name}.npz")
        assert tuple(class_ids) == (CAT, PERSON) and maps.shape == (2, 5, 6)
        assert (ignore[name][differ] == 255).all() and set(np.unique(largest[name][differ])) <= {CAT, PERSON}
        decided += differ.sum()
    assert decided > 0


def test_maps_from_elsewhere_have_the_papers_threshold(data, classifier, tmp_path):
    for name in IDS:
        values = np.full(LABEL.shape, 200, np.uint8)
        values[:, :10], values[:, 10:20] = 15, 16  # 0.059 and 0.063
        (tmp_path / "maps").mkdir(exist_ok=True)
        Image.fromarray(values).save(str(tmp_path / "maps" / f"{name}_DRFI.png"))
    for extra in ((), ("--saliency", "mbd")):
        seeds = make(data, classifier, tmp_path / "-".join(("out", *extra)), "--saliency-maps", tmp_path / "maps", *extra)
        for seed in seeds.values():
            assert (seed[:, :10] == 0).any() and not (seed[:, 10:] == 0).any()


def test_cams_of_other_tags_are_made_again(data, classifier, tmp_path):
    make(data, classifier, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cam").iterdir()}
    write_annotation(data / "Annotations" / "b.xml", ["person"])
    seeds = make(data, classifier, tmp_path / "out")
    assert CAT not in seeds["b"]
    assert [path.stem for path, stamp in before.items() if path.stat().st_mtime_ns != stamp] == ["b"]


#: make_seeds, which is killed when it has written the maps of image b
KILLED = """import os, signal, sys
from cian.commands import make_seeds
from cian.seeds import classifiers
save = classifiers.save_cam
def saved(path, *content):
    save(path, *content)
    if path.stem == "b":
        os.kill(os.getpid(), signal.SIGKILL)
classifiers.save_cam = saved
make_seeds.main(sys.argv[1:])"""


def test_a_killed_run_goes_on_to_the_same_result(data, classifier, tmp_path):
    for number, name in enumerate(IDS):
        write_image(data / "JPEGImages" / f"{name}.jpg", 160, 200, seed=number)
    more = ["--cam-scales", "1,2"]
    whole = make(data, classifier, tmp_path / "whole", *more)
    words = [sys.executable, "-c", KILLED, *map(str, options(data, classifier, tmp_path / "out", *more))]
    killed = subprocess.run(words, env=dict(os.environ, PYTHONPATH=str(ROOT)), stderr=subprocess.PIPE)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    cams = tmp_path / "out" / "cam"
    done = {path: path.stat().st_mtime_ns for path in cams.glob("[a-f].npz")}
    assert 0 < len(done) < len(IDS) and not (tmp_path / "out" / "seeds").exists()
    again = make(data, classifier, tmp_path / "out", *more)
    assert sorted(again) == IDS and all(np.array_equal(again[name], whole[name]) for name in IDS)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in done.items())
    with pytest.raises(ValueError, match="holds files of another checkpoint or other settings"):
        make(data, classifier, tmp_path / "out")


def test_seeds_from_the_maps_of_another_run(data, classifier, tmp_path):
    plain = make(data, classifier, tmp_path / "plain", "--saliency", "mbd")
    common = ["--data", data, "--maps", tmp_path / "plain", "--workers", "1", "--output"]
    tool("make_seeds", *map(str, [*common, tmp_path / "again"]))
    for name in IDS:
        assert np.array_equal(read_label(tmp_path / "again" / "seeds" / f"{name}.png"), plain[name])
    assert not (tmp_path / "again" / "cam").exists()
    tool("make_seeds", *map(str, [*common, tmp_path / "half", "--substitute", "0.5"]))
    drawn = read_json(tmp_path / "half" / "recipe.json")["substituted"]
    for name in IDS:
        expected = LABEL if name in drawn else plain[name]
        assert np.array_equal(read_label(tmp_path / "half" / "seeds" / f"{name}.png"), expected)
    (tmp_path / "plain" / "cam" / "c.npz").unlink()
    record = (tmp_path / "plain" / "seeds.json").read_text()
    (tmp_path / "plain" / "seeds.json").write_text("{}")
    with pytest.raises(ValueError, match="seeds.json: not the record of make_seeds.py"):
        tool("make_seeds", *map(str, [*common, tmp_path / "x"]))
    (tmp_path / "plain" / "seeds.json").write_text(record)
    with pytest.raises(FileNotFoundError, match="cam: no activation maps of 1 of 6 ids, such as c"):
        tool("make_seeds", *map(str, [*common, tmp_path / "third"]))
    with pytest.raises(FileNotFoundError, match="seeds.json: no such file; expected --maps"):
        tool("make_seeds", "--data", str(data), "--maps", str(tmp_path), "--output", str(tmp_path / "fourth"))

"""The generated data set: the same files for the same seed, masks and tags that agree, folders that are respected."""
import collections
import hashlib
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from cian.base.files import read_json
from cian.base.locks import locked
from cian.data.images import palette, read_image, read_label
from cian.scenes.generate import CLASSES, draw_scene, generate
from cian.scenes.objects import KINDS, draw_object

TRAIN, VAL = 36, 12


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "data"
    generate(folder, train=TRAIN, val=VAL, size=96, seed=3, workers=1)
    return folder


def ids(root, name):
    return (root / "ImageSets" / "Segmentation" / (name + ".txt")).read_text().split()


def digests(root):
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def annotation(root, name):
    tree = ElementTree.parse(str(root / "Annotations" / (name + ".xml")))
    edges = ("xmin", "ymin", "xmax", "ymax")
    objects = [(node.findtext("name"), tuple(int(node.findtext("bndbox/" + edge)) for edge in edges))
               for node in tree.iter("object")]
    return tree, objects


def test_same_files_for_any_number_of_workers_and_whatever_the_counts(root, tmp_path):
    generate(tmp_path / "two", train=TRAIN, val=VAL, size=96, seed=3, workers=2)
    assert digests(tmp_path / "two") == digests(root)
    generate(tmp_path / "few", train=2, val=1, size=96, seed=3, workers=1)
    few, all_ = digests(tmp_path / "few"), digests(root)
    for name in ("JPEGImages/train_00001.jpg", "SegmentationClassAug/val_00000.png", "Annotations/val_00000.xml"):
        assert few[name] == all_[name]


def test_another_seed_draws_other_scenes():
    first, second = (draw_scene("train_00000", 96, seed).image[:60, :60] for seed in (0, 1))
    assert np.abs(first.astype(int) - second).mean() > 5


def test_layout(root):
    assert len(CLASSES) >= 6 and CLASSES[0] == "background"
    assert (root / "classes.txt").read_text().split("\n")[:-1] == list(CLASSES)
    train, val = ids(root, "train_aug"), ids(root, "val")
    assert (len(train), len(val)) == (TRAIN, VAL) and not set(train) & set(val)
    for folder, suffix in (("JPEGImages", ".jpg"), ("Annotations", ".xml"), ("SegmentationClassAug", ".png")):
        assert sorted(p.name for p in (root / folder).iterdir()) == sorted(name + suffix for name in train + val)
    assert read_json(root / "scenes.json")["settings"]["seed"] == 3
    assert not (root / "scenes-unfinished.json").exists()


def test_masks_are_legal_and_fit_their_images(root):
    shapes = set()
    for name in ids(root, "train_aug") + ids(root, "val"):
        image = read_image(root / "JPEGImages" / (name + ".jpg"))
        label = read_label(root / "SegmentationClassAug" / (name + ".png"))
        assert image.shape[:2] == label.shape and max(label.shape) == 96 and min(label.shape) >= 76
        shapes.add(label.shape)
        assert set(np.unique(label)) <= set(range(len(CLASSES))) | {255}
        assert 0.001 < (label == 255).mean() < 0.25  # thin borders
        objects = (label > 0) & (label < 255)
        assert 0.02 < objects.mean() < 0.75
    assert len(shapes) > 2  # several aspect ratios
    mask = Image.open(str(root / "SegmentationClassAug" / (name + ".png")))
    assert mask.mode == "P" and mask.getpalette()[:63] == palette()[:21].ravel().tolist()


def test_uncertain_pixels_separate_the_classes(root):
    for name in ids(root, "val"):
        label = read_label(root / "SegmentationClassAug" / (name + ".png")).astype(int)
        for a, b in ((label[1:], label[:-1]), (label[:, 1:], label[:, :-1])):
            assert not ((a != b) & (a < 255) & (b < 255)).any()


def test_tags_equal_the_classes_of_the_mask_and_boxes_hold_them(root):
    for name in ids(root, "train_aug") + ids(root, "val"):
        label = read_label(root / "SegmentationClassAug" / (name + ".png"))
        tree, objects = annotation(root, name)
        assert {CLASSES.index(kind) for kind, _ in objects} == set(np.unique(label)) - {0, 255}
        assert 1 <= len(objects) <= 4 and len({kind for kind, _ in objects}) <= 3
        assert (int(tree.findtext("size/height")), int(tree.findtext("size/width"))) == label.shape
        assert tree.findtext("filename") == name + ".jpg" and all(n.text == "0" for n in tree.iter("difficult"))
        for _, (xmin, ymin, xmax, ymax) in objects:
            assert 1 <= xmin < xmax <= label.shape[1] and 1 <= ymin < ymax <= label.shape[0]
        for kind in {kind for kind, _ in objects}:  # every pixel of a class lies in a box of that class
            outside = label == CLASSES.index(kind)
            for other, (xmin, ymin, xmax, ymax) in objects:
                if other == kind:
                    outside[ymin - 1:ymax, xmin - 1:xmax] = False
            assert not outside.any()


def test_every_class_is_frequent_in_both_lists(root):
    for name in ("train_aug", "val"):
        tags = [{kind for kind, _ in annotation(root, i)[1]} for i in ids(root, name)]
        count = collections.Counter(kind for kinds in tags for kind in kinds)
        assert set(count) == set(CLASSES[1:])
        assert min(count.values()) >= len(ids(root, name)) / 6  # each number's first class is always drawn


def test_objects_are_visible_and_show_their_distinctive_part():
    for number in range(24):
        scene = draw_scene(f"train_{number:05d}", 96, 5)
        assert scene.objects[0][0] == CLASSES[1 + number % 6]
        for kind, (xmin, ymin, xmax, ymax) in scene.objects:
            window = (slice(ymin - 1, ymax), slice(xmin - 1, xmax))
            assert (scene.part[window] & (scene.label[window] == CLASSES.index(kind))).sum() >= 8
            assert (scene.label[window] == CLASSES.index(kind)).sum() >= 0.015 * scene.label.size


@pytest.mark.parametrize("name", sorted(KINDS))
def test_the_distinctive_part_is_small_and_the_object_has_the_area_asked_for(name):
    for seed in range(12):
        sketch = draw_object(name, 12000, np.random.default_rng(seed))
        solid, part = sketch.alpha > 0.5, (sketch.part > 0.5) & (sketch.alpha > 0.5)
        assert 0.03 < part.sum() / solid.sum() < 0.25
        assert 0.8 < solid.sum() / 12000 < 1.2
        edge = np.concatenate([sketch.alpha[[0, -1]].ravel(), sketch.alpha[:, [0, -1]].ravel()])
        assert edge.max() == 0  # nothing is cut off, whatever the turn
        assert sketch.colour.min() >= 0 and sketch.colour.max() <= 1 + 1e-6


def test_a_finished_data_set_is_not_made_again(root):
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    done = []
    generate(root, train=TRAIN, val=VAL, size=96, seed=3, workers=1, progress=done.append)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before and sum(done) == TRAIN + VAL


def test_an_interrupted_generation_goes_on_to_the_same_files(tmp_path):
    done = []

    def stop(count):
        done.append(count)
        if sum(done) >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(tmp_path / "a", train=30, val=6, size=64, workers=1, progress=stop)
    written = len(list((tmp_path / "a" / "SegmentationClassAug").iterdir()))
    assert 20 <= written < 36 and not (tmp_path / "a" / "scenes.json").exists()
    (tmp_path / "a" / "JPEGImages" / "train_00029.jpg").write_bytes(b"left over")  # no mask: drawn again
    done = []
    generate(tmp_path / "a", train=30, val=6, size=64, workers=1, progress=done.append)
    assert done[0] == written and sum(done) == 36
    generate(tmp_path / "b", train=30, val=6, size=64, workers=1)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_a_second_process_waits_for_the_first_and_makes_nothing_twice(tmp_path):
    code = ("import logging, sys; from cian.scenes.generate import generate; logging.basicConfig(level='INFO');"
            "generate(sys.argv[1], train=8, val=2, size=64, workers=1, progress=print)")
    with locked(tmp_path / "a", None):
        second = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a")], universal_newlines=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert "a: another process makes these scenes; waiting for it" in second.stderr.readline()
        assert [path.name for path in (tmp_path / "a").iterdir()] == [".lock"]
        generate(tmp_path / "b", train=8, val=2, size=64, workers=1)  # what the first process would do
        for path in (tmp_path / "b").iterdir():
            if path.name != ".lock":
                path.rename(tmp_path / "a" / path.name)
        before = digests(tmp_path / "a")
    assert second.communicate()[0] == "10\n" and second.returncode == 0  # all at once: found finished
    assert digests(tmp_path / "a") == before


def test_a_generation_killed_at_its_first_file_goes_on(tmp_path):
    (tmp_path / ".unfinished-scenes-unfinished-x7k2.json").write_text("")  # what SIGKILL leaves while the first file is written
    generate(tmp_path, train=1, val=0, size=64, workers=1)
    assert (tmp_path / "scenes.json").is_file() and ids(tmp_path, "val") == []


def test_foreign_folders_are_refused_and_left_alone(root, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ValueError, match="expected a new or empty folder.*found something else"):
        generate(tmp_path, train=6, val=1, size=64, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    before = digests(root)
    with pytest.raises(ValueError, match="'seed': 3.*expected.*'seed': 4"):
        generate(root, train=TRAIN, val=VAL, size=96, seed=4, workers=1)
    assert digests(root) == before
    with pytest.raises(ValueError, match="thesis.txt"):
        generate(tmp_path / "thesis.txt", train=6, val=1, size=64, workers=1)


@pytest.mark.parametrize("bad", [{"train": 0}, {"val": -1}, {"size": 10}, {"seed": -1}, {"train": 2.5}, {"workers": 0}])
def test_impossible_arguments(bad, tmp_path):
    name = next(iter(bad))
    with pytest.raises(ValueError, match=name + ": expected"):
        generate(tmp_path / "x", **bad)
    assert not (tmp_path / "x").exists()

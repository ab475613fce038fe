"""COCO in VOC layout: lists, tags, links and masks; interruption, other sources and wrong files; the tool's command line."""

import errno
import os

import numpy as np
import pytest
from coco_files import NAMES, scene, write_coco, write_instances
from PIL import Image
from scripts import module_of
from test_coco import slow_mask

from cian.base.files import read_json, write_text
from cian.data.coco_voc import LINKS, build, find_sources, is_finished, make_plan
from cian.data.images import read_image, read_label
from cian.data.voc import open_dataset

ANY = {"classes": None, "train": None, "val": None}
NUMBERS = {"train": range(7), "val": range(8, 12)}  # of the scenes with an annotation


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Folder with COCO's images and annotations, and what they show."""
    folder = tmp_path_factory.mktemp("coco")
    return folder, write_coco(folder)


@pytest.fixture
def plan(archive):
    return make_plan(find_sources(archive[0], archive[0]), ANY)


def test_layout(archive, plan, tmp_path):
    counted = []
    build(plan, tmp_path / "out", workers=1, progress=counted.append)
    dataset = open_dataset(tmp_path / "out")
    assert dataset.classes == tuple(NAMES) and sum(counted) == 11
    for split, numbers in NUMBERS.items():
        ids = [f"COCO_part_{number:012d}" for number in numbers]
        assert dataset.read_ids(split) == ids
        tags = dataset.read_tags(ids)
        for image_id in ids:
            shapes = archive[1][split][f"{image_id}.jpg"]
            assert tags[image_id] == tuple(sorted({index for index, _, _ in shapes}))
            mask = read_label(dataset.mask_path(image_id))
            assert np.array_equal(mask, slow_mask(shapes, mask.shape))
            assert read_image(dataset.image_path(image_id)).shape == mask.shape + (3,)
            assert dataset.image_path(image_id).resolve() == archive[0] / f"{split}2014" / f"{image_id}.jpg"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "ImageSets", "JPEGImages", "SegmentationClass", "classes.txt", "coco.json", "tags.csv"]  # fmt: skip


@pytest.mark.parametrize("link", sorted(LINKS))
def test_images_are_linked_or_copied(archive, plan, tmp_path, link):
    build(plan, tmp_path / "out", link, workers=1)
    source = archive[0] / "train2014" / "COCO_part_000000000003.jpg"
    image = tmp_path / "out" / "JPEGImages" / source.name
    assert image.read_bytes() == source.read_bytes() and image.is_symlink() == (link == "symlink")
    assert (image.stat().st_ino == source.stat().st_ino) == (link != "copy")
    with pytest.raises(ValueError, match="link: 'move', expected one of symlink, hardlink, copy"):
        build(plan, tmp_path / "out", "move")


def test_hard_links_to_another_file_system_are_refused(plan, tmp_path, monkeypatch):
    def refuse(source, target):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(ValueError, match="000000000000.jpg: on another file system than .*; use --link copy"):
        build(plan, tmp_path / "out", "hardlink", workers=1)


def test_an_interrupted_call_goes_on(plan, tmp_path):
    class Stopped(Exception):
        pass

    def stop(_):
        done.append(1)
        if len(done) == 6:
            raise Stopped

    done = []
    with pytest.raises(Stopped):
        build(plan, tmp_path / "out", workers=1, progress=stop)
    root = tmp_path / "out"
    assert not (root / "classes.txt").exists() and not is_finished(root, plan.record)
    masks = sorted((root / "SegmentationClass").glob("COCO*.png"))
    assert 0 < len(masks) < 11
    times = {path: path.stat().st_mtime_ns for path in masks}
    (root / "SegmentationClass" / ".COCO_part_000000000003-xyz.png").write_bytes(b"half")  # as a killed process leaves it
    moved = root / "JPEGImages" / f"{masks[0].stem}.jpg"
    moved.unlink()
    moved.symlink_to(tmp_path / "gone.jpg")
    counted = []
    build(plan, root, workers=1, progress=counted.append)
    assert all(path.stat().st_mtime_ns == time for path, time in times.items() if path != masks[0])
    assert counted[0] == len(masks) - 1 and sum(counted) == 11 and moved.is_file()
    assert len(list((root / "SegmentationClass").iterdir())) == 11 and is_finished(root, plan.record)
    build(plan, root, workers=1, progress=counted.append)
    assert counted[-1] == 11


def test_folders_of_something_else_are_left_alone(archive, plan, tmp_path):
    write_text(tmp_path / "other" / "file.txt", "mine")
    with pytest.raises(ValueError, match="other: expected a new or empty folder, or COCO prepared here"):
        build(plan, tmp_path / "other")
    build(plan, tmp_path / "out", workers=1)
    annotations = tmp_path / "changed"
    for split in ("train", "val"):
        content = read_json(archive[0] / "annotations" / f"instances_{split}2014.json")
        write_instances(annotations / f"instances_{split}2014.json", content["images"], content["annotations"][1:])
    changed = make_plan(find_sources(archive[0], annotations), ANY)
    with pytest.raises(ValueError, match="coco.json: made from .* expected .*delete the folder or choose another"):
        build(changed, tmp_path / "out")


def copy_of(archive, folder, change):
    """Another archive whose images and annotations `change` may alter; where it is."""
    for split in ("train", "val"):
        content = read_json(archive[0] / "annotations" / f"instances_{split}2014.json")
        (folder / f"{split}2014").mkdir(parents=True)
        for image in content["images"]:
            os.symlink(str(archive[0] / f"{split}2014" / image["file_name"]), str(folder / f"{split}2014" / image["file_name"]))
        names = change(folder, split, content) or NAMES
        write_instances(folder / f"instances_{split}2014.json", content["images"], content["annotations"], tuple(names))
    return folder


def lose_images(folder, split, content):
    for image in content["images"][:2]:
        (folder / f"{split}2014" / image["file_name"]).unlink()


def rename_a_class(folder, split, content):
    return [name + "s" if split == "val" and name == NAMES[5] else name for name in NAMES]


def repeat_an_image(folder, split, content):
    for image in content["images"]:
        image["file_name"] = f"COCO_part_{image['id'] % 8:012d}.jpg"


@pytest.mark.parametrize("change, error, message", [
    (lose_images, FileNotFoundError, "train2014: 2 of 7 images are not there, such as COCO_part_000000000000.jpg"),
    (rename_a_class, ValueError, r"instances_val2014.json: categories .*other thing 5s.*, expected those of .*train2014.json"),
    (repeat_an_image, ValueError, "instances_val2014.json: 4 images are in .*instances_train2014.json as well, such as COCO"),
])  # fmt: skip
def test_archives_that_do_not_fit_are_named(archive, tmp_path, change, error, message):
    folder = copy_of(archive, tmp_path / "other", change)
    with pytest.raises(error, match=message):
        make_plan(find_sources(folder, folder), ANY)


@pytest.mark.parametrize("counts, message", [
    ({"classes": 79}, "instances_train2014.json: 80 categories, expected 79 as in COCO 2014"),
    ({"train": 8}, "instances_train2014.json: 7 images with an annotation, expected 8"),
    ({"val": 40137}, "instances_val2014.json: 4 images with an annotation, expected 40137"),
])  # fmt: skip
def test_another_split_than_the_usual_one_is_refused(archive, counts, message):
    with pytest.raises(ValueError, match=message):
        make_plan(find_sources(archive[0], archive[0]), {**ANY, **counts})


@pytest.mark.parametrize("content, message", [
    (b"", "COCO_part_000000000002.jpg: cannot be read as an image"),
    ((30, 20), "COCO_part_000000000002.jpg: 30x20 pixels, its annotations say"),
])  # fmt: skip
def test_broken_images_and_other_sizes_are_named(archive, tmp_path, content, message):
    def change(folder, split, _):
        path = folder / f"{split}2014" / "COCO_part_000000000002.jpg"
        if split == "train":
            path.unlink()
            path.write_bytes(b"") if content == b"" else Image.new("RGB", content).save(str(path))

    folder = copy_of(archive, tmp_path / "other", change)
    with pytest.raises(ValueError, match=message):
        build(make_plan(find_sources(folder, folder), ANY), tmp_path / "out", workers=1)
    assert not (tmp_path / "out" / "SegmentationClass" / "COCO_part_000000000002.png").exists()


def test_missing_sources_are_named(archive, tmp_path):
    with pytest.raises(FileNotFoundError, match="expected instances_train2014.json in it or in its folder annotations"):
        find_sources(archive[0], tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder of COCO images"):
        find_sources(tmp_path / "nowhere", archive[0])
    flat = find_sources(archive[0] / "val2014", archive[0] / "annotations")
    assert set(flat.images.values()) == {archive[0] / "val2014"}


def test_the_tool(archive, tmp_path, capsys):
    tool = module_of("prepare_data")
    arguments = ["coco", "--images", archive[0], "--annotations", archive[0], "--output", tmp_path / "out", "--workers", "1"]
    arguments = [str(word) for word in arguments]
    with pytest.raises(ValueError, match="instances_train2014.json: 7 images with an annotation, expected 82081 as in COCO"):
        tool.main(arguments)
    assert not (tmp_path / "out").exists()
    arguments += ["--expect-train", "7", "--expect-val", "0"]
    assert tool.main(arguments) == 0
    assert "out: 81 classes with the background; train has 7 ids, val 4" in capsys.readouterr().out
    for split, number in (("train", 7), ("val", 4)):
        assert tool.main(["check", "--data", str(tmp_path / "out"), "--list", split, "--workers", "1"]) == 0
        assert f"{number} images of {split}: 0 faults" in capsys.readouterr().out
    assert tool.main(arguments) == 0
    assert "complete already" in capsys.readouterr().out


def test_grey_and_cmyk_images_are_read_as_rgb(archive, plan, tmp_path):
    build(plan, tmp_path / "out", workers=1)
    dataset = open_dataset(tmp_path / "out")
    for number, mode in ((0, "L"), (1, "CMYK"), (2, "RGB")):
        path = dataset.image_path(f"COCO_part_{number:012d}")
        with Image.open(str(path)) as image:
            assert image.mode == mode
        difference = read_image(path).astype(int) - scene(number).image
        grey = scene(number).image @ [0.299, 0.587, 0.114]
        if mode == "L":
            difference = read_image(path) - grey[..., None]
        assert np.abs(difference).mean() < 8

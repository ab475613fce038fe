"""SegmentationClassAug and train_aug from small trees of VOC and SBD, the .mat files written by SciPy."""
import numpy as np
import pytest
import scipy.io
from voc_trees import write_image

from cian.base.files import write_text
from cian.data.images import read_label, write_label
from cian.data.sbd import build, check_ids, derive_train_aug, find_sbd, find_voc, make_plan, read_sbd_mask
from cian.data.voc import open_dataset, read_id_file

# two images of VOC's train and val; SBD has one of each in its own lists, and three more
LISTS = {"train": ["2007_000001", "2007_000002"], "val": ["2007_000003", "2007_000004"]}
SBD_LISTS = {"train": ["2008_000005", "2007_000001", "2007_000003"], "val": ["2008_000006", "2008_000007"]}
TRAIN_AUG = ["2007_000001", "2007_000002", "2008_000005", "2008_000006", "2008_000007"]
VOC_LABEL = np.array([[0, 255, 8, 8], [0, 255, 15, 20], [0, 0, 0, 1]], np.uint8)
SBD_LABEL = np.array([[0, 0, 8, 8], [0, 0, 15, 20], [9, 0, 0, 0]], np.uint8)


def save_mat(path, label):
    """A file as SBD's: GTcls with Boundaries, Segmentation and CategoriesPresent, compressed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(str(path), {"GTcls": {"Boundaries": np.zeros((20, 1)), "Segmentation": label,
                                           "CategoriesPresent": np.array([[9, 15]])}}, do_compression=True)


@pytest.fixture
def voc(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for name, ids in LISTS.items():
        write_text(root / "ImageSets/Segmentation" / f"{name}.txt", "\n".join(ids))
        for image_id in ids:
            write_label(root / "SegmentationClass" / f"{image_id}.png", VOC_LABEL)
    for image_id in TRAIN_AUG + LISTS["val"]:
        write_image(root / "JPEGImages" / f"{image_id}.jpg", 3, 4)
        write_text(root / "Annotations" / f"{image_id}.xml", "<annotation/>")
    return root


@pytest.fixture
def sbd(tmp_path):
    root = tmp_path / "benchmark_RELEASE" / "dataset"
    for name, ids in SBD_LISTS.items():
        write_text(root / f"{name}.txt", "\n".join(ids))
        for image_id in ids:
            save_mat(root / "cls" / f"{image_id}.mat", SBD_LABEL)
    return root


def test_derivation_by_hand():
    assert derive_train_aug(["e", "a", "v"], ["d", "w"], ["b", "a"], ["v", "w", "x"]) == ["a", "b", "d", "e"]


def test_derivation_gives_the_usual_list(shared):
    """SBD's own lists are not at hand: any that hold the usual images beyond VOC's train, and some of VOC, must do."""
    lists = {name: read_id_file(shared / "data/lists" / f"{name}.txt") for name in ("train", "val", "train_aug")}
    beyond = [name for name in lists["train_aug"] if name not in set(lists["train"])]
    sbd_ids = list(np.random.RandomState(0).permutation(beyond + lists["train"][:1100] + lists["val"][:1137]))
    assert len(sbd_ids) == 11355  # as many as SBD has
    found = derive_train_aug(sbd_ids[:8498], sbd_ids[8498:], lists["train"], lists["val"])
    assert found == lists["train_aug"]
    check_ids(found, 10582, lists["train_aug"])


def test_check_ids_says_what_differs():
    with pytest.raises(ValueError, match="train_aug: expected 10582 ids, found 2"):
        check_ids(["a", "b"], 10582)
    with pytest.raises(ValueError, match=r"1 ids missing \['c'\], 1 ids too many \['a'\]"):
        check_ids(["a", "b"], 2, ["c", "b"])


@pytest.mark.parametrize("label", [SBD_LABEL, SBD_LABEL.astype(float), SBD_LABEL[:1], SBD_LABEL[:, :1], VOC_LABEL])
def test_sbd_masks(tmp_path, label):
    save_mat(tmp_path / "a.mat", label)
    found = read_sbd_mask(tmp_path / "a.mat")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, label)


def test_wrong_sbd_masks(tmp_path):
    path = tmp_path / "a.mat"
    with pytest.raises(FileNotFoundError, match="a.mat: no such SBD mask"):
        read_sbd_mask(path)
    save_mat(path, SBD_LABEL)
    whole = path.read_bytes()
    for damaged in (b"", b"no MATLAB file", whole[:len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="a.mat: expected a MATLAB file with GTcls.Segmentation"):
            read_sbd_mask(path)
    scipy.io.savemat(str(path), {"GTinst": 1})
    with pytest.raises(ValueError, match="a.mat: expected a MATLAB file with GTcls.Segmentation"):
        read_sbd_mask(path)
    for value in (21, 254, -1, 1.5):
        save_mat(path, np.array([[0, value]]))
        with pytest.raises(ValueError, match=f"a.mat: expected classes 0..20 or 255, found {value}"):
            read_sbd_mask(path)
    save_mat(path, np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(ValueError, match=r"a.mat: expected .* shape \(H, W\), found uint8 \(2, 2, 3\)"):
        read_sbd_mask(path)


@pytest.mark.parametrize("workers", [1, 2])
def test_build_in_place(tmp_path, voc, sbd, workers):
    plan = make_plan(tmp_path, tmp_path, count=5, expected=TRAIN_AUG[::-1])
    assert plan.voc == plan.output == voc
    done = []
    build(plan, workers=workers, progress=done.append)
    assert sum(done) == 7
    data = open_dataset(voc)
    assert data.read_ids("train_aug") == TRAIN_AUG
    assert data.mask_folder.name == "SegmentationClassAug"
    for image_id in TRAIN_AUG + LISTS["val"]:
        of_voc = image_id.startswith("2007")  # also 2007_000001 and 2007_000003, which SBD has too
        np.testing.assert_array_equal(read_label(data.mask_path(image_id)), VOC_LABEL if of_voc else SBD_LABEL)
    assert len(list(data.mask_folder.iterdir())) == 7
    assert not (voc / "SegmentationClassAug.partial").exists()


def test_build_elsewhere_links_the_images(tmp_path, voc, sbd):
    plan = make_plan(voc, sbd, tmp_path / "out", count=5)
    build(plan, workers=1)
    build(plan, workers=1)  # a second time is harmless
    data = open_dataset(tmp_path / "out")
    assert data.read_ids("val") == LISTS["val"]
    assert all(path(name).is_file() for name in TRAIN_AUG for path in (data.image_path, data.annotation_path,
                                                                        data.mask_path))
    assert (tmp_path / "out/JPEGImages").is_symlink()
    assert not (voc / "SegmentationClassAug").exists()


def test_an_interrupted_build_is_continued(tmp_path, voc, sbd):
    good = (sbd / "cls/2008_000007.mat").read_bytes()
    (sbd / "cls/2008_000007.mat").write_bytes(good[:100])
    with pytest.raises(ValueError, match="2008_000007.mat"):
        build(make_plan(voc, sbd, count=5), workers=1)
    partial = voc / "SegmentationClassAug.partial"
    assert not (voc / "SegmentationClassAug").exists()
    assert not (voc / "ImageSets/Segmentation/train_aug.txt").exists()
    assert sorted(path.stem for path in partial.iterdir()) == TRAIN_AUG[:4]
    before = {path.name: path.stat().st_mtime_ns for path in partial.iterdir()}
    (sbd / "cls/2008_000007.mat").write_bytes(good)
    (partial / ".2008_000007-x1.png").write_bytes(b"")  # as a killed run leaves
    build(make_plan(voc, sbd, count=5), workers=1)
    after = {path.name: path.stat().st_mtime_ns for path in (voc / "SegmentationClassAug").iterdir()}
    assert len(after) == 7
    assert before.items() <= after.items()  # what was there was not written again


def test_faults_of_the_sources_stop_before_anything_is_written(tmp_path, voc, sbd):
    with pytest.raises(ValueError, match="expected 10582 ids, found 5"):
        make_plan(voc, sbd)
    (sbd / "cls/2008_000006.mat").unlink()
    with pytest.raises(FileNotFoundError, match="1 of 7 images have a mask neither in .*: 2008_000006"):
        make_plan(voc, sbd, count=5)
    (sbd / "val.txt").unlink()
    with pytest.raises(FileNotFoundError, match="expected cls, train.txt, val.txt in it or in one of its folders"):
        find_sbd(tmp_path)
    with pytest.raises(FileNotFoundError, match="expected JPEGImages, SegmentationClass, ImageSets/Segmentation"):
        find_voc(sbd)
    assert not list(voc.glob("SegmentationClassAug*"))


def test_mask_of_another_size_than_its_image(voc, sbd):
    save_mat(sbd / "cls/2008_000005.mat", SBD_LABEL[:2])
    with pytest.raises(ValueError, match="2008_000005.mat: mask of 4x2, its image has 4x3"):
        build(make_plan(voc, sbd, count=5), workers=1)


def test_mask_without_an_image(voc, sbd):
    (voc / "JPEGImages/2008_000005.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="2008_000005.jpg: no such image"):
        build(make_plan(voc, sbd, count=5), workers=1)

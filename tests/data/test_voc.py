"""VOC layout: paths, classes, lists of ids, fingerprint; on drawn files and on the real lists."""
import shutil

import numpy as np
import pytest
from voc_trees import write_dataset

from cian.base.files import write_text
from cian.data.voc import VOC_CLASSES, VOCDataset, open_dataset

LABEL = np.array([[0, 8, 8], [255, 15, 0]])  # cat, person


@pytest.fixture
def root(tmp_path):
    return write_dataset(tmp_path / "data", {"train_aug": {"a_1": LABEL, "b_2": LABEL}, "val": {"c_3": LABEL}})


def test_classes_are_those_of_voc_in_their_order():
    assert len(VOC_CLASSES) == 21
    assert [VOC_CLASSES.index(name) for name in ("background", "aeroplane", "cat", "person", "tvmonitor")] \
        == [0, 1, 8, 15, 20]


def test_paths_and_lists(root):
    data = open_dataset(root)
    assert data == VOCDataset(root, VOC_CLASSES)
    assert data.read_ids("train_aug") == ["a_1", "b_2"]
    assert data.read_ids(str(root / "ImageSets/Segmentation/val.txt")) == ["c_3"]
    assert data.image_path("a_1") == root / "JPEGImages/a_1.jpg"
    assert data.annotation_path("a_1") == root / "Annotations/a_1.xml"
    assert data.mask_path("a_1") == root / "SegmentationClassAug/a_1.png"


def test_masks_come_from_the_plain_folder_only_where_there_is_no_augmented_one(root):
    (root / "SegmentationClass").mkdir()
    assert open_dataset(root).mask_path("a_1").parent.name == "SegmentationClassAug"
    shutil.rmtree(str(root / "SegmentationClassAug"))
    assert open_dataset(root).mask_path("a_1") == root / "SegmentationClass/a_1.png"


def test_own_classes(root):
    write_text(root / "classes.txt", "background\nowl\n\n#1 bee\n")
    assert open_dataset(root).classes == ("background", "owl", "#1 bee")


@pytest.mark.parametrize("text, message", [
    ("owl\nbee\n", r"classes.txt: expected 'background'.*\['owl', 'bee'\]"),
    ("background\n", "classes.txt: expected 'background' and at least one class"),
    ("background\nowl\nbee\nowl\n", "more than once: owl"),
    ("background\n" + "".join(f"c{i}\n" for i in range(255)), "256 classes, expected at most 255"),
])
def test_wrong_classes(root, text, message):
    write_text(root / "classes.txt", text)
    with pytest.raises(ValueError, match=message):
        open_dataset(root)


def test_missing_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such data set folder"):
        open_dataset(tmp_path / "nowhere")
    (tmp_path / "VOC2012").mkdir()
    with pytest.raises(FileNotFoundError, match="expected .* JPEGImages, found VOC2012"):
        open_dataset(tmp_path)


def test_missing_list_names_the_ones_there_are(root):
    with pytest.raises(FileNotFoundError, match="list 'test': .*lists there: train_aug, val"):
        open_dataset(root).read_ids("test")


@pytest.mark.parametrize("text, message", [
    (b"", "the list is empty"),
    (b"\n  \n", "the list is empty"),
    (b"a_1\nb_2\n\na_1\n", "line 4: id 'a_1' was in line 1 already"),
    (b"a_1 1\n", "line 1: expected one image id, or its paths, found 'a_1 1'; lists of one class hold 1, 0 or -1"),
    (b"a_1 b_2\n", "line 1: expected one image id, or its paths, found 'a_1 b_2'"),
    (b"a_1\nJPEGImages/\n", "line 2: expected one image id, or its paths, found 'JPEGImages/'"),
    (b"a_1\nJPEGImages/a_1.jpg\n", "line 2: id 'a_1' was in line 1 already"),
    ("a_1\nk\u00e4fer_1\n".encode("latin-1"), r"not a UTF-8 text file \(line 2: byte 0xe4\); if it is in Latin-1, save"),
    ("a_1\n".encode("utf-16-le"), "zero bytes, as UTF-16 without a byte order mark"),
    (b"\xff\xd8\xff", "not a UTF-8 text file"),
])
def test_wrong_lists(root, text, message):
    path = root / "ImageSets/Segmentation/odd.txt"
    path.write_bytes(text)
    with pytest.raises(ValueError, match="odd.txt.*" + message):
        open_dataset(root).read_ids("odd")


@pytest.mark.parametrize("text", [
    b"\xef\xbb\xbfa_1\r\nb_2\r\n",
    b"a_1\rb_2\r",
    b"# ids\n\na_1  # first\n   \nb_2",
    "a_1\r\nb_2\r\n".encode("utf-16"),
    "a_1\nb_2\n".encode("utf-32"),
    b"a_1\n\xef\xbb\xbfb_2\n",
    b"a_1.jpg\nb_2.JPEG\n",
    b"JPEGImages/a_1.jpg\n./VOC2012\\JPEGImages\\b_2.png\n",
    b"/JPEGImages/a_1.jpg /SegmentationClassAug/a_1.png\n/JPEGImages/b_2.jpg\t/SegmentationClassAug/b_2.png\n",
])
def test_lists_as_the_field_writes_them(root, text):
    path = root / "ImageSets/Segmentation/odd.txt"
    path.write_bytes(text)
    assert open_dataset(root).read_ids("odd") == ["a_1", "b_2"]


def test_a_list_is_found_by_its_name_its_file_or_its_path_in_the_data_set(root):
    folder, data = root / "ImageSets/Segmentation", open_dataset(root)
    for name in ("val", "val.txt", "ImageSets/Segmentation/val.txt", folder / "val.txt"):
        assert data.list_path(name) == folder / "val.txt"
    (folder / "._val.txt").write_bytes(b"\x00\x05\x16\x07")  # what other systems leave beside
    (root / "ImageSets/Main").mkdir()
    write_text(root / "ImageSets/Main/trainval.txt", "a_1\n")
    with pytest.raises(FileNotFoundError, match="lists there: train_aug, val; there is .*Main/trainval.txt, give its path"):
        data.read_ids("trainval")


def test_fingerprint_is_the_same_for_a_copy(root, tmp_path):
    shutil.copytree(str(root), str(tmp_path / "copy"))
    ids = ["a_1", "b_2"]
    assert open_dataset(root).fingerprint(ids) == open_dataset(tmp_path / "copy").fingerprint(ids)
    assert len(open_dataset(root).fingerprint(ids)) == 64


def test_fingerprint_sees_every_kind_of_change(root):
    def fingerprint(ids=("a_1", "b_2")):
        return open_dataset(root).fingerprint(ids)

    seen = [fingerprint(), fingerprint(("b_2", "a_1")), fingerprint(("a_1",))]
    for path in ("JPEGImages/b_2.jpg", "Annotations/b_2.xml", "SegmentationClassAug/b_2.png"):
        data = bytearray((root / path).read_bytes())
        data[-1] ^= 1
        (root / path).write_bytes(data)
        seen.append(fingerprint())
    (root / "Annotations/a_1.xml").write_bytes(b"")
    seen.append(fingerprint())
    (root / "Annotations/a_1.xml").unlink()
    seen.append(fingerprint())
    write_text(root / "classes.txt", "background\nowl\n")
    seen.append(fingerprint())
    assert len(set(seen)) == len(seen)


def test_fingerprint_names_a_missing_image(root):
    with pytest.raises(FileNotFoundError, match="z_9.jpg: no such image file"):
        open_dataset(root).fingerprint(["z_9"])


def test_a_tag_table_takes_the_place_of_missing_annotations(root):
    ids, with_xml = ["a_1", "b_2"], open_dataset(root).fingerprint(["a_1", "b_2"])
    write_text(root / "tags.csv", "id,cat,sofa\na_1,0,1\nb_2,1,1\n")
    data = open_dataset(root)
    assert data.tag_table is None and data.read_tags(ids) == {"a_1": (8, 15), "b_2": (8, 15)}
    assert data.fingerprint(ids) == with_xml
    shutil.rmtree(str(root / "Annotations"))
    assert data.read_tags(ids) == {"a_1": (18,), "b_2": (8, 18)}
    write_text(root / "other.csv", "id,cat\na_1,1\nb_2,1\n")
    assert data.read_tags(ids, root / "other.csv") == {"a_1": (8,), "b_2": (8,)}
    with pytest.raises(ValueError, match="tags.csv: id 'c_3' is not among its 2 images"):
        data.read_tags(["c_3"])
    before = data.fingerprint(ids)
    write_text(root / "tags.csv", "id,cat,sofa\na_1,1,0\nb_2,1,1\n")
    assert len({with_xml, before, data.fingerprint(ids)}) == 3


def test_real_lists(shared):
    data = open_dataset(shared / "data/VOC2012-animals")
    assert [len(data.read_ids(name)) for name in ("train_aug", "val")] == [1000, 300]
    assert len(data.read_ids(str(shared / "data/lists/train_aug.txt"))) == 10582

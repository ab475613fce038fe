"""Image tags from XML, cls_labels.npy and CSV; the restricted reader of pickled dictionaries."""
import pickle
from collections import OrderedDict, defaultdict

import numpy as np
import pytest
from pickles import save_pickle
from voc_trees import write_annotation

from cian.base.files import write_text
from cian.data.tags import open_table, read_csv, read_npy, read_xml
from cian.data.voc import VOC_CLASSES, VOCDataset, open_dataset

CAT, DOG, PERSON = (VOC_CLASSES.index(name) for name in ("cat", "dog", "person"))


@pytest.mark.parametrize("objects, expected", [
    (["person", "cat", "cat"], (CAT, PERSON)),
    ([("cat", 0), ("person", 1)], (CAT,)),
    ([("cat", 0), ("cat", 1)], (CAT,)),
    ([("person", 1), ("dog", 1)], (DOG, PERSON)),
    ([("dog", None), ("cat", 1)], (DOG,)),
])
def test_difficult_objects_count_only_where_all_are(tmp_path, objects, expected):
    write_annotation(tmp_path / "a.xml", objects)
    assert read_xml(tmp_path / "a.xml", VOC_CLASSES) == expected


@pytest.mark.parametrize("text, message", [
    ("<annotation><object>", "a.xml: not well-formed XML"),
    ("", "a.xml: not well-formed XML"),
    ("<?xml version='1.0' encoding='martian'?><a/>", "a.xml: not well-formed XML"),
    ("<annotation></annotation>", "a.xml: expected at least one <object>"),
    ("<a><object><name>unicorn</name></object></a>", "a.xml: unknown class 'unicorn', expected one of aeroplane, "),
    ("<a><object><name>background</name></object></a>", "a.xml: unknown class 'background'"),
    ("<a><object></object></a>", "a.xml: unknown class ''"),
    ("<a><object><name>cat</name><difficult>x</difficult></object></a>", "a.xml: expected <difficult> 0 or 1"),
])
def test_wrong_annotations(tmp_path, text, message):
    write_text(tmp_path / "a.xml", text)
    with pytest.raises(ValueError, match=message):
        read_xml(tmp_path / "a.xml", VOC_CLASSES)


def test_missing_annotation_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="a_1.xml: no such annotation file"):
        VOCDataset(tmp_path, VOC_CLASSES).read_tags(["a_1"])


def test_csv(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfid,person, cat\r\na_1,1,1\r\n\r\nb_2,0,1\r\nc_3,0,0\r\n")
    assert read_csv(tmp_path / "t.csv", VOC_CLASSES) == {"a_1": (CAT, PERSON), "b_2": (CAT,), "c_3": ()}
    data = VOCDataset(tmp_path, VOC_CLASSES)
    assert list(data.read_tags(["b_2", "a_1"], tmp_path / "t.csv").items()) == [("b_2", (CAT,)), ("a_1", (CAT, PERSON))]
    with pytest.raises(ValueError, match="t.csv: image 'c_3' has no tag"):
        data.read_tags(["c_3"], tmp_path / "t.csv")
    with pytest.raises(ValueError, match="t.csv: id 'd_4' is not among its 3 images"):
        data.read_tags(["d_4"], str(tmp_path / "t.csv"))


@pytest.mark.parametrize("text, message", [
    ("", "expected a header 'id,CLASS,...', found an empty file"),
    ("name,cat\n", "expected a header 'id,CLASS,...', found name,cat"),
    ("id,cat,unicorn\n", "unknown class 'unicorn'"), ('id,"uni\ncorn"\n', r"unknown class 'uni\\ncorn'"),
    ("id,cat,cat\n", "a class has two columns"),
    ("id,cat\na_1,2\n", "row 2: expected an id and 1 values 0 or 1, found a_1,2"),
    ("id,cat\na_1,1,0\n", "row 2: expected an id and 1 values"),
    ("id,cat\na_1,1\na_1.jpg,1\n", "row 3: id 'a_1' has a row already"),
    ("id,cat\n,1\n", "row 2: expected an id and 1 values"),
])
def test_wrong_csv(tmp_path, text, message):
    write_text(tmp_path / "t.csv", text)
    with pytest.raises(ValueError, match="t.csv.*" + message):
        read_csv(tmp_path / "t.csv", VOC_CLASSES)


def test_wrong_sources(tmp_path):
    write_text(tmp_path / "t.json", "{}")
    with pytest.raises(ValueError, match="t.json: expected a file ending in .npy or .csv or .tsv, found '.json'"):
        open_table(tmp_path / "t.json", VOC_CLASSES)
    with pytest.raises(FileNotFoundError, match="t.npy: no such file of image tags"):
        open_table(tmp_path / "t.npy", VOC_CLASSES)


def one_hot(*indices):
    label = np.zeros(20, np.float32)
    label[[index - 1 for index in indices]] = 1
    return label


LABELS = {2007000032: one_hot(CAT, PERSON), 2011003276: one_hot(DOG)}
TAGS = {"2007_000032": (CAT, PERSON), "2011_003276": (DOG,)}


def read_all(path, ids=TAGS):
    """{id: tags} of a table of tags."""
    return VOCDataset(path.parent, VOC_CLASSES).read_tags(ids, path)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("key", [int, np.int32, np.int64, str, np.str_, np.bytes_])
def test_npy_of_every_protocol_and_kind_of_key(tmp_path, protocol, key):
    names = [name.encode() for name in TAGS] if key is np.bytes_ else TAGS if issubclass(key, str) else LABELS
    content = dict(zip(map(key, names), LABELS.values()))
    save_pickle(tmp_path / "t.npy", pickle.dumps(np.array(content), protocol=protocol))
    assert read_all(tmp_path / "t.npy") == TAGS


@pytest.mark.parametrize("make", [
    lambda hot: hot.tolist(),
    lambda hot: tuple(hot.astype(int).tolist()),
    lambda hot: list(hot.astype(np.int64)),
    lambda hot: hot.astype(bool),
    lambda hot: hot.astype(np.uint8)[None],
    lambda hot: hot.astype(object),
    lambda hot: np.append(1, hot),
    lambda hot: [0, *hot.tolist()],
    lambda hot: [VOC_CLASSES[index + 1] for index in np.flatnonzero(hot)],
    lambda hot: {VOC_CLASSES[index + 1] for index in np.flatnonzero(hot)},
    lambda hot: np.array([VOC_CLASSES[index + 1] for index in np.flatnonzero(hot)]),
])
@pytest.mark.parametrize("protocol", [2, 4])
def test_npy_of_every_kind_of_value(tmp_path, make, protocol):
    content = {f"JPEGImages/{name}.jpg": make(LABELS[number]) for name, number in zip(TAGS, LABELS)}
    for array in (np.array(content), np.array([content]), np.array(OrderedDict(content)), np.array(defaultdict(list, content))):
        save_pickle(tmp_path / "t.npy", pickle.dumps(array, protocol=protocol))
        assert read_all(tmp_path / "t.npy") == TAGS
    np.save(str(tmp_path / "t.npy"), np.array([content]))
    assert read_all(tmp_path / "t.npy") == TAGS


def test_numbers_stand_for_ids_of_voc_and_coco(tmp_path):
    np.save(str(tmp_path / "t.npy"), {42: one_hot(CAT), 2007000032: one_hot(DOG)})
    ids = ["COCO_val2014_000000000042", "2007_000032", "000042"]
    assert list(read_all(tmp_path / "t.npy", ids).values()) == [(CAT,), (DOG,), (CAT,)]
    with pytest.raises(ValueError, match="id 'scene_042' is not among its 2 images, such as 42"):
        read_all(tmp_path / "t.npy", ["scene_042"])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_csv_as_spreadsheets_write_it(tmp_path, separator, encoding):
    text = "\r\n".join(separator.join(row) for row in (("ID", "person", "cat"), ("a_1.jpg", "1", "1.0"), ("b_2", "0", "1")))
    (tmp_path / "t.csv").write_bytes(f"{text}\r\n".encode(encoding))
    assert read_all(tmp_path / "t.csv", ["a_1", "b_2"]) == {"a_1": (CAT, PERSON), "b_2": (CAT,)}


@pytest.mark.parametrize("name", ["core", "_core"])
def test_npy_of_numpy_1_and_2(tmp_path, name):
    pickled = pickle.dumps(np.array({np.int32(key): label for key, label in LABELS.items()}), protocol=2)
    pickled = pickled.replace(b"cnumpy._core.", b"cnumpy.core.").replace(b"cnumpy.core.", b"cnumpy.%s." % name.encode())
    save_pickle(tmp_path / "t.npy", pickled)
    assert b"cnumpy.%s.multiarray\nscalar" % name.encode() in pickled
    assert read_all(tmp_path / "t.npy") == TAGS


@pytest.mark.parametrize("content, message", [
    ({2007000032: np.zeros(19, np.float32)}, r"image '2007000032': expected 20 values.*found \(19,\)"),
    ({2007000032: 1}, "expected 20 values, .* found int"),
    ({"a": [7, 14]}, "image 'a': expected 20 values, one a class .* or 21 .*, or the names of its classes, found 2 values"),
    ({"a": ["cat", "unicorn"]}, "unknown class 'unicorn'"),
    ({"a": [0] * 19 + [2]}, r"image 'a': expected values 0 and 1, found \[2\]"),
    ({"a": [0] * 19 + ["1"]}, r"image 'a': expected values 0 and 1, found \['1'\]"),
    ({"a.jpg": one_hot(CAT), "a": one_hot(CAT)}, "image 'a' is there twice"),
    ({"JPEGImages/": one_hot(CAT)}, "expected image ids as keys, found 'JPEGImages/'"),
    ({2007000032: np.full(20, 0.5, np.float32)}, r"expected values 0 and 1, found \[0.5, 0.5, 0.5\]"),
    ({2007000032: one_hot(CAT).reshape(4, 5)}, r"expected 20 values, .* found \(4, 5\)"),
    ({2007000032: one_hot(CAT), "2007_000032": one_hot(CAT)}, "is there twice"),
])
def test_wrong_labels(tmp_path, content, message):
    np.save(str(tmp_path / "t.npy"), content)
    with pytest.raises(ValueError, match="t.npy: .*" + message):
        read_npy(tmp_path / "t.npy", VOC_CLASSES)


def test_ids_and_tags_that_the_npy_lacks(tmp_path):
    np.save(str(tmp_path / "t.npy"), {2007000032: one_hot(), 2007000033: one_hot(DOG)})
    data = VOCDataset(tmp_path, VOC_CLASSES)
    assert data.read_tags(["2007_000033"], tmp_path / "t.npy") == {"2007_000033": (DOG,)}
    with pytest.raises(ValueError, match="image '2007_000032' has no tag"):
        data.read_tags(["2007_000033", "2007_000032"], tmp_path / "t.npy")
    with pytest.raises(ValueError, match="id '2007_000034' is not among its 2 images"):
        data.read_tags(["2007_000034"], tmp_path / "t.npy")


def test_the_real_npy_equals_numpys_reading_and_the_annotations(shared):
    path = shared / "data/lists/cls_labels.npy"
    oracle = np.load(str(path), allow_pickle=True).item()
    tags = read_npy(path, VOC_CLASSES)
    assert len(tags) == 12031
    assert tags == {key: tuple(np.flatnonzero(label) + 1)
                    for key, label in oracle.items()}
    data = open_dataset(shared / "data/VOC2012-animals")
    for name in ("train_aug", "val"):
        ids = data.read_ids(name)
        assert data.read_tags(ids) == data.read_tags(ids, path)

"""Image tags from XML, cls_labels.npy and CSV; the restricted reader of pickled dictionaries."""
import os
import pickle

import numpy as np
import pytest
from voc_trees import write_annotation

from cian.base.files import write_text
from cian.data.pickled import read_dictionary
from cian.data.tags import open_table, read_csv, read_npy, read_xml
from cian.data.voc import VOC_CLASSES, VOCDataset, open_dataset

CAT, DOG, PERSON = (VOC_CLASSES.index(name) for name in ("cat", "dog", "person"))
PREFIX = np.lib.format.magic(1, 0)


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
    ("id,cat,unicorn\n", "unknown class 'unicorn'"),
    ("id,cat,cat\n", "a class has two columns"),
    ("id,cat\na_1,2\n", "row 2: expected an id and 1 values 0 or 1, found a_1,2"),
    ("id,cat\na_1,1,0\n", "row 2: expected an id and 1 values"),
    ("id,cat\na_1,1\na_1,1\n", "row 3: id 'a_1' has a row already"),
])
def test_wrong_csv(tmp_path, text, message):
    write_text(tmp_path / "t.csv", text)
    with pytest.raises(ValueError, match="t.csv.*" + message):
        read_csv(tmp_path / "t.csv", VOC_CLASSES)


def test_wrong_sources(tmp_path):
    write_text(tmp_path / "t.json", "{}")
    with pytest.raises(ValueError, match="t.json: expected a file ending in .npy or .csv, found '.json'"):
        open_table(tmp_path / "t.json", VOC_CLASSES)
    with pytest.raises(FileNotFoundError, match="t.npy: no such file of image tags"):
        open_table(tmp_path / "t.npy", VOC_CLASSES)


def save_pickle(path, pickled):
    """A .npy whose one object is given as the bytes of its pickle."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    header += b" " * (117 - len(header)) + b"\n"
    path.write_bytes(PREFIX + len(header).to_bytes(2, "little") + header + pickled)


def one_hot(*indices):
    label = np.zeros(20, np.float32)
    label[[index - 1 for index in indices]] = 1
    return label


LABELS = {2007000032: one_hot(CAT, PERSON), 2011003276: one_hot(DOG)}
TAGS = {"2007_000032": (CAT, PERSON), "2011_003276": (DOG,)}


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("key", [int, np.int32, np.int64, str])
def test_npy_of_every_protocol_and_kind_of_key(tmp_path, protocol, key):
    content = dict(zip(TAGS if key is str else [key(number) for number in LABELS], LABELS.values()))
    save_pickle(tmp_path / "t.npy", pickle.dumps(np.array(content), protocol=protocol))
    assert read_npy(tmp_path / "t.npy", VOC_CLASSES) == TAGS


def test_npy_written_by_numpy_itself(tmp_path):
    np.save(str(tmp_path / "t.npy"), LABELS)
    found = read_dictionary(tmp_path / "t.npy")
    assert list(found) == list(LABELS)
    for key, label in LABELS.items():
        assert found[key].dtype == np.float32
        np.testing.assert_array_equal(found[key], label)


@pytest.mark.parametrize("name", ["core", "_core"])
def test_npy_of_numpy_1_and_2(tmp_path, name):
    pickled = pickle.dumps(np.array({np.int32(key): label for key, label in LABELS.items()}), protocol=2)
    pickled = pickled.replace(b"cnumpy._core.", b"cnumpy.core.").replace(b"cnumpy.core.", b"cnumpy.%s." % name.encode())
    save_pickle(tmp_path / "t.npy", pickled)
    assert b"cnumpy.%s.multiarray\nscalar" % name.encode() in pickled
    assert read_npy(tmp_path / "t.npy", VOC_CLASSES) == TAGS


class Malicious:
    """Unpickled without care, it runs a command."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch '{self.marker}'",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_malicious_npy_is_refused_and_not_run(tmp_path, protocol):
    marker = tmp_path / "was_run"
    content = {2007000032: Malicious(marker)}
    save_pickle(tmp_path / "bad.npy", pickle.dumps(np.array(content), protocol=protocol))
    with pytest.raises(ValueError, match=r"bad.npy: .*refers to '(posix|nt)\.system'"):
        read_dictionary(tmp_path / "bad.npy")
    assert not marker.exists()
    np.load(str(tmp_path / "bad.npy"), allow_pickle=True)  # the file is a real threat: NumPy runs the command
    assert marker.exists()


@pytest.mark.parametrize("pickled, message", [
    (b"cbuiltins\neval\n(S'1'\ntR.", "'builtins.eval'"),
    (b"cbuiltins\ngetattr\n.", "'builtins.getattr'"),
    (b"cnumpy\nload\n(S'x'\ntR.", "'numpy.load'"),
    (b"cnumpy.core.multiarray\nfrombuffer\n.", "'numpy.core.multiarray.frombuffer'"),
    (b"c_codecs\nencode\n(S'a'\nS'zlib'\ntR.", "encoded as 'zlib', expected latin1"),
    (b"cnumpy\nndarray\n(S'x'\ntR.", "cannot be read"),
    (b"cnumpy\nndarray\n}S'x'\nI1\nsb.", "cannot be read"),  # would set an attribute of the class
    (b"Ppersistent\n.", "cannot be read"),
    (b"garbage", "cannot be read"),
    (b"", "cannot be read"),
    (pickle.dumps([1, 2], 2), "expected a dictionary, found list"),
    (pickle.dumps({1.5: 0}, 2), "expected text or whole numbers as keys, found 1.5"),
    (pickle.dumps({(1, 2): 0}, 2), r"expected text or whole numbers as keys, found \(1, 2\)"),
])
def test_other_pickles_are_refused(tmp_path, pickled, message):
    save_pickle(tmp_path / "bad.npy", pickled)
    with pytest.raises(ValueError, match="bad.npy: .*" + message):
        read_dictionary(tmp_path / "bad.npy")


def test_arrays_that_lie_about_themselves_are_refused(tmp_path):
    good = pickle.dumps(np.array({1: np.zeros(3, np.float32)}), protocol=0)
    for old, new in ((b"(I3\ntp", b"(I999999999\ntp"), (b"Vf4\n", b"VO8\n"), (b"Vf4\n", b"VV4\n")):
        assert old in good
        save_pickle(tmp_path / "bad.npy", good.replace(old, new))
        with pytest.raises(ValueError, match="bad.npy: cannot be read"):
            read_dictionary(tmp_path / "bad.npy")


def test_files_that_are_no_npy_or_hold_something_else(tmp_path):
    (tmp_path / "t.npy").write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(ValueError, match="t.npy: not a NumPy .npy file"):
        read_dictionary(tmp_path / "t.npy")
    np.save(str(tmp_path / "t.npy"), np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"expected one pickled dictionary, found an array of float64 .* \(2, 3\)"):
        read_dictionary(tmp_path / "t.npy")


@pytest.mark.parametrize("content, message", [
    ({2007000032: np.zeros(19, np.float32)}, r"image '2007_000032': expected 20 values.*found \(19,\)"),
    ({2007000032: 1}, "expected 20 values, .* found int"),
    ({2007000032: np.full(20, 0.5, np.float32)}, r"expected values 0 and 1, found \[0.5\]"),
    ({32: one_hot(CAT)}, "expected image numbers such as 2007000032, found 32"),
    ({2007000032: one_hot(CAT), "2007_000032": one_hot(CAT)}, "is there twice"),
    ({2007000032: one_hot(CAT), np.int16(5): 0}, "expected image numbers such as 2007000032, found 5"),
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
    assert tags == {f"{key // 1000000}_{key % 1000000:06d}": tuple(np.flatnonzero(label) + 1)
                    for key, label in oracle.items()}
    data = open_dataset(shared / "data/VOC2012-animals")
    for name in ("train_aug", "val"):
        ids = data.read_ids(name)
        assert data.read_tags(ids) == data.read_tags(ids, path)

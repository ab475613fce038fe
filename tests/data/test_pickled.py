"""The restricted reader of pickled dictionaries: what it reads, and what it refuses without running anything."""
import os
import pickle

import numpy as np
import pytest
from pickles import save_pickle

from cian.data.pickled import read_dictionary

LABELS = {2007000032: np.eye(20, dtype=np.float32)[7], 2011003276: np.eye(20, dtype=np.float32)[11]}


def test_npy_written_by_numpy_itself(tmp_path):
    np.save(str(tmp_path / "t.npy"), LABELS)
    found = read_dictionary(tmp_path / "t.npy")
    assert list(found) == list(LABELS)
    for key, label in LABELS.items():
        assert found[key].dtype == np.float32
        np.testing.assert_array_equal(found[key], label)


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
    (b"ctorch._utils\n_rebuild_tensor_v2\n.", "it holds torch tensors; save arrays"),
    (b"cbuiltins\nset\n)R}S'x'\nI1\nsb.", "cannot be read"),
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

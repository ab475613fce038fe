"""Files written whole or not at all, on a disk that is full, and folders that one process holds."""
import contextlib
import io
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from cian.base.files import (
    UNFINISHED,
    append_text,
    read_arrays,
    read_json,
    read_record,
    read_text,
    write_arrays,
    write_bytes,
    write_json,
)
from cian.base.locks import hold, release
from cian.base.runtime import mx
from cian.models.params import write_params


@contextlib.contextmanager
def small_disk(size):
    """No file may grow beyond `size` bytes: what a full disk is to whoever writes, but for the number of the error."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("write", [
    lambda path, size: write_bytes(path, bytes(size)),
    lambda path, size: write_json(path, ["x" * size]),
    lambda path, size: write_arrays(path, {"a": np.zeros(size, np.uint8)}),
    lambda path, size: write_params(path, {"arg:a": np.zeros(size, np.uint8)})])
def test_a_full_disk_is_named_and_leaves_the_old_file(tmp_path, write):
    path = tmp_path / "kept"
    write(path, 10)
    before = path.read_bytes()
    with small_disk(5000), pytest.raises(OSError) as found:
        write(path, 20000)
    assert found.value.filename == str(path) and found.value.strerror == "File too large"
    assert path.read_bytes() == before and [item.name for item in tmp_path.iterdir()] == ["kept"]


def test_a_log_that_cannot_grow_is_named(tmp_path):
    append_text(tmp_path / "log", "a\n")
    with small_disk(3), pytest.raises(OSError) as found:
        append_text(tmp_path / "log", "bcd\n")
    assert found.value.filename == str(tmp_path / "log")


def test_arrays_are_written_as_numpy_and_mxnet_write_them(tmp_path):
    arrays = {"a": np.arange(6, dtype=np.float16).reshape(2, 3), "number:b": np.int64(7), "none": np.zeros((0, 4))}
    write_arrays(tmp_path / "ours.npz", arrays)
    theirs = io.BytesIO()
    np.savez(theirs, **arrays)
    assert (tmp_path / "ours.npz").read_bytes() == theirs.getvalue()
    assert all(np.array_equal(arrays[name], value) for name, value in read_arrays(tmp_path / "ours.npz", "x").items())

    types = ("float32", "float64", "float16", "uint8", "int32", "int8", "int64")
    arrays = {f"arg:{name}": mx.nd.arange(6, dtype=name).reshape((1, 2, 3)) for name in types}
    write_params(tmp_path / "ours.params", arrays)
    mx.nd.save(str(tmp_path / "theirs.params"), arrays)
    assert (tmp_path / "ours.params").read_bytes() == (tmp_path / "theirs.params").read_bytes()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100000])
def test_damaged_json_is_named(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match="a.json: not valid JSON"):
        read_json(tmp_path / "a.json")


def test_text_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / "a.csv").write_bytes("köln".encode("latin-1"))
    with pytest.raises(ValueError, match="a.csv: not a UTF-8 text file .*0xf6"):
        read_text(tmp_path / "a.csv")


def test_json_of_another_kind_is_named(tmp_path):
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(ValueError, match="a.json: expected a JSON object, found list"):
        read_record(tmp_path / "a.json")


def test_every_damage_of_an_archive_is_named_or_does_no_harm(tmp_path):
    rng = np.random.RandomState(0)
    write_arrays(tmp_path / "whole.npz", {"a": rng.rand(30), "number:b": np.int64(7)})
    whole = (tmp_path / "whole.npz").read_bytes()
    expected, named = read_arrays(tmp_path / "whole.npz", "state"), 0
    for position in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << rng.randint(8)
        (tmp_path / "a.npz").write_bytes(bytes(damaged) if position % 2 else whole[:position])
        try:
            found = read_arrays(tmp_path / "a.npz", "state")
        except ValueError as error:
            assert str(error).startswith(f"{tmp_path / 'a.npz'}: cannot be read as a state (")
            named += 1
        else:  # a time, or a name that the reader of a state misses
            same = [np.array_equal(expected[name], value) for name, value in found.items() if name in expected]
            assert all(same)
    assert named > len(whole) / 6


def test_a_folder_is_held_by_one_process(tmp_path):
    folder = tmp_path / "a" / "b"
    hold(folder)
    (folder / "in").mkdir()
    (folder / "in" / (UNFINISHED + "x")).write_bytes(b"")
    hold(folder)  # by the same process: nothing changes
    code = "import sys; from pathlib import Path; from cian.base.locks import hold; hold(Path(sys.argv[1]))"
    other = [sys.executable, "-c", code, str(folder)]
    environment = dict(os.environ, PYTHONPATH=os.getcwd())
    refused = subprocess.run(other, capture_output=True, text=True, env=environment)
    assert refused.returncode == 1 and f"RuntimeError: {folder}: another process writes into this folder" in refused.stderr
    release(folder)
    assert subprocess.run(other, env=environment).returncode == 0
    assert not (folder / "in" / (UNFINISHED + "x")).exists()  # what a killed process left is removed by the next


def test_letting_go_removes_only_what_was_made(tmp_path):
    (tmp_path / "mine").mkdir()
    hold(tmp_path / "mine" / "a" / "b")
    release(tmp_path / "mine" / "a" / "b", remove=True)
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]
    hold(tmp_path / "mine" / "a")
    (tmp_path / "mine" / "a" / "result").write_bytes(b"")
    release(tmp_path / "mine" / "a", remove=True)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "mine", "result"]

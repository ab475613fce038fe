"""Bad input to exports: a clear error, nothing half-written, what was there before untouched."""

import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from scripts import tool
from small_exports import contents, initialised, make

import cian.export.check
from cian.base.files import put_in_place, writable_folder
from cian.base.runtime import mx
from cian.export.check import FUSION, without_fusion
from cian.export.export import export
from cian.export.symbols import build, exported_block
from cian.models.checkpoint import named_arrays, save_checkpoint

NOBODY = 65534


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint of the scenes' network with three classes."""
    path = tmp_path_factory.mktemp("checkpoint") / "n.params"
    save_checkpoint(path, named_arrays(initialised(build("cian", "resnet10", 3))))
    return path


@pytest.fixture()
def old(tmp_path):
    """An export of another, smaller network under the name that the tests write to."""
    net = initialised(build("largefov", "resnet10", 2), seed=1)
    make(net, tmp_path / "x", "largefov", "ab", [np.ones((1, 3, 33, 33), np.float32)])
    return tmp_path / "x"


def run_export(checkpoint, output, *more):
    words = ["--checkpoint", checkpoint, "--preset", "scenes", "--size", "33,33", "--output", output]
    tool("export", *words, *more)


@contextmanager
def readonly_folder():
    """A folder with an old file that this process may not write to, also where the tests run as root."""
    folder = Path(tempfile.mkdtemp())
    (folder / "x-symbol.json").write_text("old")
    folder.chmod(0o555)
    mine = os.geteuid()
    try:
        if mine == 0:
            try:
                os.seteuid(NOBODY)
            except OSError as error:  # in some containers root may not
                pytest.skip(f"cannot become another user: {error}")
        yield folder
    finally:
        if mine == 0:
            os.seteuid(mine)
        folder.chmod(0o755)
        shutil.rmtree(str(folder))


def test_unwritable_folder(checkpoint, tmp_path):
    arrays = tmp_path / "n.params"
    with readonly_folder() as folder:
        for output in (folder, folder / "below" / "further"):
            with pytest.raises(PermissionError, match=f"output: folder {folder} is not writable"):
                writable_folder(output)
        with pytest.raises(PermissionError):
            (folder / "file").write_text("this process may not write here at all")
        net = build("cian", "resnet10", 3)
        net.initialize()
        block, outputs = exported_block(net, "cian")
        with pytest.raises(PermissionError, match=f"output: folder {folder} is not writable"):
            export(folder / "x", block, outputs, None, [np.ones((1, 3, 33, 33), np.float32)], overwrite=True)
        assert contents(folder) == {"x-symbol.json": b"old"}
    assert not arrays.exists()


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda data: data[: len(data) // 2], r"bad\.params: not a complete \.params file"),
        (lambda data: data[:5], r"bad\.params: not a file of weights \(5 bytes\)"),
        (lambda data: b"PK\x03\x04 another kind of file altogether", r"bad\.params: not a file of weights; expected \.params"),
    ],
    ids=["truncated", "cut", "foreign"],
)
def test_bad_checkpoint_leaves_the_old_export(spoil, message, checkpoint, old, tmp_path):
    bad = tmp_path / "bad.params"
    bad.write_bytes(spoil(checkpoint.read_bytes()))
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=message):
        run_export(bad, old, "--overwrite")
    with pytest.raises(ValueError, match=message):
        tool("export", "--from-published", bad, "--output", old, "--overwrite")
    assert contents(tmp_path) == before


def test_checkpoint_of_another_network_leaves_the_old_export(checkpoint, old, tmp_path):
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=r"n\.params: does not fit the network: missing conv0_bias"):
        run_export(checkpoint, old, "--overwrite", "--backbone", "squeezenet1.1")
    with pytest.raises(ValueError, match="classes: 2 names, the checkpoint has 3 classes"):
        run_export(checkpoint, old, "--overwrite", "--classes", "background,cat")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("error", [RuntimeError("refused by onnx's checker"), KeyboardInterrupt()], ids=["onnx", "interrupted"])
def test_failing_further_file_leaves_the_old_export(error, old, tmp_path):
    """What --onnx writes comes after the verified symbol and parameters."""
    net = build("cian", "resnet10", 3)
    net.initialize()
    block, outputs = exported_block(net, "cian")
    before, images = contents(tmp_path), [np.ones((1, 3, 33, 33), np.float32)]

    def fail(name):
        Path(f"{name}.onnx").write_bytes(b"half a model")
        raise error

    with pytest.raises(type(error)):
        export(old, block, outputs, None, images, overwrite=True, extra=fail)
    assert contents(tmp_path) == before and len(list(tmp_path.iterdir())) == 2


def test_the_onnx_file_of_a_replaced_export_does_not_stay(checkpoint, old, tmp_path):
    model = tmp_path / "x.onnx"
    model.write_bytes(b"model of the old network")
    with pytest.raises(FileExistsError, match=r"x-symbol\.json: exists with other contents"):
        run_export(checkpoint, old)
    assert model.read_bytes() == b"model of the old network"
    run_export(checkpoint, old, "--overwrite")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x-0000.params", "x-symbol.json"]
    model.write_bytes(b"model of the same network")
    run_export(checkpoint, old)  # the same export again: its ONNX file is right
    assert model.exists()
    for ending in ("-symbol.json", "-0000.params"):
        (tmp_path / f"x{ending}").unlink()
    with pytest.raises(FileExistsError, match=r"x\.onnx: exists with other contents"):
        run_export(checkpoint, old)
    assert contents(tmp_path) == {"x.onnx": b"model of the same network"}


@pytest.mark.parametrize("moment", range(6))
def test_files_come_back_when_interrupted(moment, tmp_path, monkeypatch):
    """Two files are renamed and one is removed; an interruption before or after any of the three takes all back."""
    for name in ("a", "old"):
        (tmp_path / name).write_text(f"before {name}")
    (tmp_path / "new").mkdir()
    made = [tmp_path / "new" / name for name in "ab"]
    for path in made:
        path.write_text(f"after {path.name}")
    passed = []

    def interrupted(function):
        def step(*arguments):
            for before in (True, False):
                if not before:
                    function(*arguments)
                passed.append(before)
                if len(passed) == moment + 1:
                    raise KeyboardInterrupt

        return step

    monkeypatch.setattr(os, "replace", interrupted(os.replace))
    monkeypatch.setattr(Path, "unlink", interrupted(Path.unlink))
    with pytest.raises(KeyboardInterrupt):
        put_in_place(made, [tmp_path / "a", tmp_path / "b"], [tmp_path / "old"])
    monkeypatch.undo()
    assert contents(tmp_path).keys() - {"new/a", "new/b", "new/a.old", "new/old.old"} == {"a", "old"}
    assert (tmp_path / "a").read_text() == "before a" and (tmp_path / "old").read_text() == "before old"


@pytest.mark.parametrize(
    "way, factor, good",
    [
        ("SymbolBlock", 1.0001, False),
        ("Module", 1.0001, False),
        ("Module with fused operators", 1.0001, True),  # rounding, which is logged
        ("Module with fused operators", 1.01, False),
    ],
)
def test_every_way_of_loading_is_verified(way, factor, good, old, tmp_path, monkeypatch, caplog):
    """A difference that only one way of loading shows."""
    net = build("cian", "resnet10", 3)
    mx.random.seed(0)
    net.initialize(mx.init.Xavier())
    net.fc1.weight.set_data(200 * net.fc1.weight.data())
    block, outputs = exported_block(net, "cian")
    before, images = contents(tmp_path), [np.random.RandomState(0).uniform(0, 255, (1, 3, 33, 33)).astype(np.float32)]
    assert np.abs(block(mx.nd.array(images[0])).asnumpy()).max() > 1  # the tolerance is relative to that
    single, module = cian.export.check.symbol_block, cian.export.check.run_module
    if way == "SymbolBlock":
        monkeypatch.setattr(cian.export.check, "symbol_block", lambda *files: lambda x: single(*files)(x) * factor)
    else:
        wrong = way != "Module"
        monkeypatch.setattr(
            cian.export.check,
            "run_module",
            lambda name, x, fused: [y * (factor if fused == wrong else 1) for y in module(name, x, fused)],
        )
    if good:
        with caplog.at_level("INFO"):
            assert export(old, block, outputs, None, images, overwrite=True)[1] <= 1e-5
        logged = float(re.search(r"round otherwise, by (\S+)", caplog.text).group(1))
        assert 0.5 * (factor - 1) < logged < 5 * (factor - 1)  # on top of what this processor's fused operators round: 1e-5
        return
    with pytest.raises(RuntimeError, match=f"x: loaded by {way} it differs from the network by"):
        export(old, block, outputs, None, images, overwrite=True)
    assert contents(tmp_path) == before


def test_fusion_is_switched_off_and_on_again(monkeypatch):
    for before in (None, "MKLDNN"):
        monkeypatch.delenv(FUSION, raising=False)
        if before:
            monkeypatch.setenv(FUSION, before)
        with pytest.raises(ZeroDivisionError), without_fusion():
            assert os.environ[FUSION] == "NONE"
            1 / 0  # noqa: B018
        assert os.environ.get(FUSION) == before

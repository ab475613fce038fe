"""Masks of single pictures: equal to the tools' own path, in batches, and from several threads."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from scripts import tool
from small_pictures import picture
from small_training import ROOT

import cian
from cian.base.runtime import mx
from cian.data.images import read_image, read_label
from cian.export.export import export
from cian.export.predictor import Predictor, enlarge_label, enlarged_arg_max
from cian.export.symbols import about, build, exported_block
from cian.inference.segmenter import Segmenter
from cian.models.checkpoint import named_arrays, save_checkpoint
from cian.models.cian import CIAN

NAMES = ["background", "cat", "dog", "cow"]


@pytest.fixture(scope="module")
def net():
    mx.random.seed(0)
    net = CIAN("resnet10", 4)
    net.initialize(mx.init.Xavier())
    weight = net.fc1.weight.data()
    net.fc1.weight.set_data(20 * (weight - weight.mean(axis=1, keepdims=True)))  # several classes on every picture
    return net


@pytest.fixture(scope="module")
def exports(net, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports")
    for name, options in {
        "logits": dict(),
        "probabilities": dict(kind="probabilities", enlarge=True),
        "published": dict(kind="logits", scales=(0.75, 1.0, 1.25), flip=True),
        "fixed": dict(kind="logits", size=(65, 97), enlarge=True),
        "labels": dict(kind="labels", enlarge=True),
    }.items():
        block, outputs = exported_block(net, "cian", **options)
        export(
            folder / name, block, outputs, about("cian", "resnet10", NAMES, **options), [np.ones((1, 3, 65, 97), np.float32)]
        )
    return folder


def test_importing_cian_is_light_and_the_predictor_brings_no_training_code(exports, tmp_path):
    program = f"""
import sys
import cian
assert "mxnet" not in sys.modules and "numpy" not in sys.modules
import numpy as np
result = cian.Predictor({str(exports / "logits")!r}, size=65)(np.zeros((50, 60, 3), np.uint8))
assert result.label.shape == (50, 60) and result.probabilities.shape == (4, 50, 60) and result.overlay.shape == (50, 60, 3)
trained = [name for name in sys.modules if name.startswith(("cian.training.", "cian.models.", "cian.data.loader",
           "cian.data.groups", "cian.config", "gluoncv"))]
assert sorted(trained) == ["cian.models.checkpoint", "cian.models.params"], trained  # which read the parameters
"""
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, cwd=str(tmp_path), timeout=600)
    assert cian.Predictor is Predictor
    with pytest.raises(AttributeError, match="no attribute 'Segmenter'"):
        cian.Segmenter  # noqa: B018


@pytest.mark.parametrize("size", [(50, 60), (65, 65), (1, 1), (3, 40)])
def test_the_tools_give_the_same(net, exports, size):
    image = picture(*size)
    for name, scales, flip in (("logits", (1.0,), False), ("published", (0.75, 1.0, 1.25), True)):
        wanted = Segmenter(net, mx.cpu(), 65, scales, flip).logits(image)
        found = Predictor(exports / name, size=65)(image)
        np.testing.assert_allclose(found.logits, wanted, atol=1e-4 * np.abs(wanted).max())
        assert (found.label == wanted.argmax(axis=0)).mean() > 0.999 and found.label.dtype == np.uint8
        powers = np.exp(wanted - wanted.max(axis=0))
        np.testing.assert_allclose(found.probabilities, powers / powers.sum(axis=0), atol=1e-4)
    probable = Predictor(exports / "probabilities", size=65)(image)
    single = Predictor(exports / "logits", size=65)(image)
    np.testing.assert_allclose(probable.probabilities, single.probabilities, atol=1e-4)
    labels = Predictor(exports / "labels", size=65)(image)
    assert (labels.label == single.label).mean() > 0.999 and labels.overlay.shape == image.shape
    for what in ("logits", "probabilities"):
        with pytest.raises(ValueError, match=what + ": this export makes labels only"):
            getattr(labels, what)


def test_fixed_size_and_batches(exports):
    predictor = Predictor(exports / "fixed", size=513)
    assert predictor.sides == (65, 97)  # the export's own
    pictures = [picture(50, 60, 0), picture(65, 97, 1), picture(130, 97, 2), picture(9, 9, 3), picture(65, 20, 4)]
    one_by_one = [predictor(image) for image in pictures]
    assert [result.picture.shape[:2] for result in one_by_one] == [(50, 60), (65, 97), (65, 48), (9, 9), (65, 20)]
    assert [result.label.shape for result in one_by_one] == [image.shape[:2] for image in pictures]
    for batch in (2, 8):
        for one, other in zip(one_by_one, predictor.predict(iter(pictures), batch)):
            np.testing.assert_allclose(one.logits, other.logits, atol=1e-4 * np.abs(one.logits).max())
    with pytest.raises(ValueError, match="batch: 0"):
        list(predictor.predict(pictures, 0))


def test_threads_get_their_own_results(exports):
    predictor, pictures = Predictor(exports / "logits", size=65), [picture(40 + i, 60 - i, i) for i in range(12)]
    alone = [predictor(image).label for image in pictures]
    started = threading.Barrier(4)

    def work(first):
        started.wait()
        return [predictor(image).label for image in pictures[first::4]]

    with ThreadPoolExecutor(4) as pool:
        for first, labels in enumerate(pool.map(work, range(4))):
            for label, wanted in zip(labels, alone[first::4]):
                assert np.array_equal(label, wanted)


def test_enlarged_arg_max_equals_mxnet_and_the_strips_fit_together(monkeypatch):
    maps = np.random.RandomState(0).standard_normal((5, 9, 12)).astype(np.float32)
    large = mx.nd.contrib.BilinearResize2D(mx.nd.array(maps[None]), height=70, width=101)[0].asnumpy()
    whole = enlarged_arg_max(maps, (70, 101))
    assert (whole == large.argmax(axis=0)).mean() > 0.9995
    monkeypatch.setattr("cian.export.predictor.STRIP", 5 * 101 * 3)
    assert np.array_equal(enlarged_arg_max(maps, (70, 101)), whole)
    assert np.array_equal(enlarged_arg_max(maps[:, :1, :1], (3, 4)), np.full((3, 4), maps[:, 0, 0].argmax()))
    assert np.array_equal(enlarge_label(np.uint8([[0, 1], [2, 3]]), (4, 4))[::2, ::2], [[0, 1], [2, 3]])


def test_exports_that_make_no_masks_are_named(tmp_path, net):
    cam = build("cam", "resnet10", 3)
    cam.initialize()
    block, outputs = exported_block(cam, "cam")
    export(tmp_path / "cam", block, outputs, about("cam", "resnet10", "abc"), [np.ones((1, 3, 65, 65), np.float32)])
    with pytest.raises(ValueError, match="cam: a classifier, which makes no masks"):
        Predictor(tmp_path / "cam")
    with pytest.raises(ValueError, match="size: 64, expected multiples of 8 plus 1"):
        Predictor.of_network(net, NAMES, size=64)


def run(*arguments):
    command = [sys.executable, str(ROOT / "tools" / "predict.py")] + [str(argument) for argument in arguments]
    return subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, PYTHONPATH=str(ROOT)), timeout=600)


def test_tool_writes_masks_and_overlays_of_pictures(net, exports, tmp_path):
    (tmp_path / "other").mkdir()
    for name, size in (("a.png", (50, 60)), ("b.png", (100, 300)), ("other/a.png", (9, 9))):
        Image.fromarray(picture(*size)).save(tmp_path / name)
    result = run(
        tmp_path / "a.png",
        tmp_path / "b.png",
        "--model",
        exports / "logits",
        "--output",
        tmp_path / "out",
        "--test-size",
        65,
        "--crf-iterations",
        2,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png")) == [
        f"{folder}/{name}.png" for folder in ("overlay", "pred", "pred_crf") for name in "ab"
    ]
    for name, size in (("a", (50, 60)), ("b", (100, 300))):
        assert np.array_equal(
            read_label(tmp_path / "out" / "pred" / f"{name}.png"),
            Predictor(exports / "logits", size=65)(tmp_path / f"{name}.png").label,
        )
        assert read_label(tmp_path / "out" / "pred_crf" / f"{name}.png").shape == size
        assert read_image(tmp_path / "out" / "overlay" / f"{name}.png").shape[1] >= 260
    save_checkpoint(tmp_path / "n.params", named_arrays(net))
    checkpoint = ("--checkpoint", tmp_path / "n.params", "--backbone", "resnet10", "--test-size", 65, "--crf-iterations", 0)
    tool("predict", tmp_path / "a.png", *checkpoint, "--scales", "1", "--flip", "no", "--output", tmp_path / "two")
    one, two = (read_label(tmp_path / folder / "pred" / "a.png") for folder in ("out", "two"))
    assert (one == two).mean() > 0.999 and not (tmp_path / "two" / "pred_crf").exists()
    result = run(*checkpoint, "--output", tmp_path / "three")
    assert result.returncode == 2 and "expected image files, or --data with --checkpoint" in result.stderr
    for arguments, message in (
        ((tmp_path / "a.png", tmp_path / "other" / "a.png", *checkpoint), "would be written as a.png"),
        ((tmp_path / "a.png", "--data", tmp_path, *checkpoint), "--data: is for data sets"),
        ((tmp_path / "c.png", *checkpoint), "c.png: no such image file"),
    ):
        with pytest.raises((ValueError, OSError), match=message):
            tool("predict", *arguments, "--output", tmp_path / "three")
    assert not (tmp_path / "three").exists()

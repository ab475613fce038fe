"""ONNX exports: equal to MXNet in onnxruntime, and each fault of MXNet's converter shown to be handled."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from scripts import module_of

import cian.export.onnx
from cian.base.runtime import mx
from cian.export.export import export
from cian.export.onnx import export_onnx, session
from cian.export.symbols import about, build, exported_block
from cian.models.checkpoint import named_arrays, save_checkpoint
from cian.models.layers import BatchNorm

ROOT = Path(__file__).resolve().parents[2]
SIZE = (65, 97)


def images(count=2):
    return [np.random.RandomState(seed).uniform(0, 255, (1, 3) + SIZE).astype(np.float32) for seed in range(count)]


def initialised(method, backbone, classes):
    net = build(method, backbone, classes)
    mx.random.seed(0)
    net.initialize(mx.init.Xavier())
    if method != "cam":  # several classes on every picture
        weight = net.fc1.weight.data()
        net.fc1.weight.set_data(20 * (weight - weight.mean(axis=1, keepdims=True)))
    return net


@pytest.mark.parametrize(
    "method, backbone, options",
    [
        ("cian", "squeezenet1.1", dict()),
        ("cian", "resnet10", dict(kind="probabilities", enlarge=True)),
        ("cam", "squeezenet1.1", dict()),  # resnet50 and vgg16: test_export_comparison.py
        ("cian", "resnet10", dict(kind="labels", enlarge=True, scales=(0.75, 1.0, 1.25), flip=True)),
    ],
)
def test_onnx_equals_mxnet(tmp_path, method, backbone, options):
    net = initialised(method, backbone, 5)
    options = dict(options, size=SIZE)
    block, outputs = exported_block(net, method, **options)
    targets, _ = export(
        tmp_path / "x",
        block,
        outputs,
        about(method, backbone, "abcde", **options),
        images(),
        extra=lambda name: [export_onnx(name, images())],
    )
    assert [path.name for path in targets] == ["x-symbol.json", "x-0000.params", "x.onnx"]
    model = onnx.load(str(targets[2]))
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["data"] and [value.name for value in model.graph.output] == outputs
    assert model.opset_import[0].version == 13
    assert json.loads(model.metadata_props[0].value)["size"] == list(SIZE)
    found = session(targets[2]).run(None, {"data": images()[0]})
    wanted = block(mx.nd.array(images()[0]))
    for one, other in zip(found, [wanted] if len(outputs) == 1 else wanted):
        other = other.asnumpy()
        if options.get("kind") == "labels":
            assert (one == other).mean() >= 0.999 and len(np.unique(other)) > 1
        else:
            assert np.abs(one - other).max() <= 1e-3 * np.abs(other).max()


class Alone(mx.gluon.HybridBlock):
    """One function of F and the input as a network."""

    def __init__(self, function):
        super().__init__(prefix="")
        self.function = function

    def hybrid_forward(self, F, x):
        return self.function(F, x)


def convert(folder, block, values):
    block.initialize()
    export(folder / "x", block, ["y"], None, [values])
    return export_onnx(folder / "x", [values])


def test_fix_gamma_counts_as_one(tmp_path, monkeypatch):
    block = BatchNorm("bn_data", 3, fix_gamma=True)
    block.initialize()
    block.gamma.set_data(mx.nd.array([0.5, 2, 3]))
    values = images(1)[0]
    path = convert(tmp_path, block, values)
    np.testing.assert_allclose(session(path).run(None, {"data": values})[0], values / np.sqrt(1 + 1e-5), rtol=1e-4)
    honest = cian.export.onnx.convertible
    monkeypatch.setattr(cian.export.onnx, "convertible", lambda text: (honest(text)[0], set(), set()))
    with pytest.raises(RuntimeError, match="onnxruntime differs from MXNet by"):
        export_onnx(tmp_path / "x", [values])


@pytest.mark.parametrize("aligned", [True, False])
def test_resizing_with_and_without_aligned_corners(tmp_path, monkeypatch, aligned):
    values = images(1)[0]
    block = Alone(lambda F, x: F.contrib.BilinearResize2D(x, height=100, width=150, align_corners=aligned))
    path = convert(tmp_path, block, values)
    found = session(path).run(None, {"data": values})[0]
    if aligned:  # the corners are the corners
        np.testing.assert_allclose(found[:, :, ::99, ::149], values[:, :, ::64, ::96], rtol=1e-4)
        return
    np.testing.assert_allclose(found, block(mx.nd.array(values)).asnumpy(), atol=0.05)
    honest = cian.export.onnx.convertible
    monkeypatch.setattr(cian.export.onnx, "convertible", lambda text: honest(text)[:2] + (set(),))
    with pytest.raises(RuntimeError, match="onnxruntime differs from MXNet by"):
        export_onnx(tmp_path / "x", [values])


def test_softmax_does_not_overflow(tmp_path, monkeypatch):
    values = images(1)[0] * 10  # exp(2550) is infinite
    block = Alone(lambda F, x: F.softmax(x, axis=1))
    monkeypatch.setattr(cian.export.onnx, "OPSET", 12)  # where the converter writes exp and sum
    path = convert(tmp_path, block, values)
    assert "Exp" in {node.op_type for node in onnx.load(str(path)).graph.node}
    np.testing.assert_allclose(session(path).run(None, {"data": values})[0].sum(axis=1), 1, rtol=1e-5)
    monkeypatch.setattr(cian.export.onnx, "convertible", lambda text: (text, set(), set()))
    with pytest.raises(RuntimeError, match="onnxruntime differs from MXNet by nan"):
        export_onnx(tmp_path / "x", [values])


def test_a_saturated_softmax_has_no_denormal_numbers(tmp_path):
    """They are slow: a trained affinity block took onnxruntime 4 to 10 times as long."""
    values = images(1)[0] * 10
    path = convert(tmp_path, Alone(lambda F, x: F.softmax(F.reshape(x, (0, -1)), axis=-1)), values)  # over 18,915 values
    found = session(path).run(None, {"data": values})[0]
    assert 1e-38 < found.min() < 1e-32 and found.max() > 0.01
    wanted = np.exp(values.reshape(1, -1).astype(np.float64) - values.max())
    np.testing.assert_allclose(found, wanted / wanted.sum(), rtol=1e-4, atol=1e-30)


def test_the_tool_writes_onnx_of_the_published_size_unless_told_otherwise(tmp_path):
    net = initialised("cian", "resnet10", 3)
    save_checkpoint(tmp_path / "n.params", named_arrays(net))
    tool = module_of("export")
    words = ["--checkpoint", str(tmp_path / "n.params"), "--backbone", "resnet10", "--onnx", "--output"]
    assert tool.ONNX_SIZE == (513, 513)
    tool.ONNX_SIZE = SIZE  # quicker
    tool.main(words + [str(tmp_path / "x")])
    tool.main(words + [str(tmp_path / "y"), "--size", "33,41", "--labels"])
    for name, shape, outputs in (("x", SIZE, (1, 3, 9, 13)), ("y", (33, 41), (1, 33, 41))):
        image = np.ascontiguousarray(images(1)[0][:, :, : shape[0], : shape[1]])
        assert session(tmp_path / f"{name}.onnx").run(None, {"data": image})[0].shape == outputs
    with pytest.raises(ValueError, match="--onnx and --group"):
        tool.main(words + [str(tmp_path / "z"), "--group", "2"])


def test_free_size_is_refused_and_a_failure_leaves_nothing(tmp_path, monkeypatch):
    net = initialised("cian", "resnet10", 3)
    block, outputs = exported_block(net, "cian", enlarge=True)
    with pytest.raises(ValueError, match="export it with --size"):
        export(tmp_path / "x", block, outputs, None, images(1), extra=lambda name: [export_onnx(name, images(1))])
    monkeypatch.setattr(cian.export.onnx, "TOLERANCE", 0)
    block, outputs = exported_block(net, "cian", size=SIZE)
    with pytest.raises(RuntimeError, match="nothing was written"):
        export(tmp_path / "x", block, outputs, None, images(1), extra=lambda name: [export_onnx(name, images(1))])
    assert list(tmp_path.iterdir()) == []

"""Exports: equality with the networks, and what a failed export leaves behind. For bad input see test_export_failures.py."""

import os
import subprocess
import sys

import numpy as np
import pytest
from small_exports import contents, initialised, make, random_images

import cian.export.check
from cian.base.runtime import mx
from cian.export.export import inference_block
from cian.export.exported import export_files, load_export
from cian.export.predictor import Predictor
from cian.export.symbols import build, exported_block
from cian.inference.segmenter import Segmenter
from cian.models.checkpoint import named_arrays
from cian.models.cian import CIAN, GroupCIAN
from cian.models.comnet import COMNet
from cian.models.multi_scale import MultiScale

#: kind of export -> options of it
EXPORTS = {
    "network": dict(),
    "probabilities": dict(kind="probabilities", enlarge=True),
    "labels": dict(kind="labels", enlarge=True, size=(65, 97)),
    "published": dict(kind="logits", enlarge=True, scales=(0.75, 1.0, 1.25), flip=True),
    "fixed": dict(scales=(0.5, 1.0), size=(65, 97)),
}

#: loads exports with nothing but MXNet; arguments: input .npy, NAME ...; writes NAME.npy
ALONE = """
import sys
import numpy as np
for python_type in (bool, object, int, float, complex, str):
    if python_type.__name__ not in np.__dict__:
        setattr(np, python_type.__name__, python_type)
import mxnet as mx
x = mx.nd.array(np.load(sys.argv[1]))
for name in sys.argv[2:]:
    one = mx.gluon.SymbolBlock.imports(name + "-symbol.json", ["data"], name + "-0000.params")(x).asnumpy()
    symbol, arguments, auxiliary = mx.model.load_checkpoint(name, 0)
    module = mx.mod.Module(symbol, data_names=["data"], label_names=None)
    module.bind([("data", x.shape)], for_training=False)
    module.set_params(arguments, auxiliary)
    module.forward(mx.io.DataBatch([x]), is_train=False)
    np.save(name + ".npy", np.stack([one, module.get_outputs()[0].asnumpy()]))
assert not any(key == "cian" or key.startswith("cian.") for key in sys.modules)
"""


@pytest.fixture(scope="module")
def net():
    return initialised(CIAN("resnet10", 4))


@pytest.mark.parametrize("scales, flip", [((0.75, 1.0, 1.25), True), ((0.5, 1.0), False)])
@pytest.mark.parametrize("size", [(65, 65), (97, 65)])
def test_multi_scale_of_free_size_gives_the_same_numbers(net, scales, flip, size):
    x = mx.nd.array(random_images(2, 3, *size))
    fixed, free = MultiScale(net, size, scales, flip)(x), MultiScale(net, None, scales, flip)(x)
    np.testing.assert_allclose(free.asnumpy(), fixed.asnumpy(), atol=1e-6)


@pytest.fixture(scope="module")
def alone(net, tmp_path_factory):
    """The input, and of every kind of export what it gives for it in a process that has nothing but MXNet."""
    folder, image = tmp_path_factory.mktemp("alone"), random_images(2, 3, 65, 97)
    for name, options in EXPORTS.items():
        targets, deviation = make(net, folder / name, **options)
        assert [path.name for path in targets] == [f"{name}-symbol.json", f"{name}-0000.params"] and deviation <= 1e-5
    np.save(str(folder / "in.npy"), image)
    subprocess.run(
        [sys.executable, "-c", ALONE, str(folder / "in.npy"), *(str(folder / name) for name in EXPORTS)],
        check=True,
        cwd=str(folder),
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        timeout=600,
    )
    return image, {name: np.load(str(folder / f"{name}.npy")) for name in EXPORTS}


@pytest.mark.parametrize("name", EXPORTS)
def test_export_equals_the_network_with_nothing_but_mxnet(net, alone, name):
    image, options = alone[0], EXPORTS[name]
    segmenter = Segmenter(net, mx.cpu(), 65, options.get("scales", (1.0,)), options.get("flip", False))  # the tools' own path
    logits = np.stack([segmenter.logits(x.transpose(1, 2, 0)) for x in image])
    kind = options.get("kind", "logits")
    for found in alone[1][name]:
        if kind == "labels":
            assert (found == logits.argmax(axis=1)).mean() > 0.9999
        elif kind == "probabilities":
            powers = np.exp(logits - logits.max(axis=1, keepdims=True))
            np.testing.assert_allclose(found, powers / powers.sum(axis=1, keepdims=True), atol=1e-5)
        elif options.get("enlarge"):
            np.testing.assert_allclose(found, logits, atol=1e-5 * np.abs(logits).max())
        else:  # aligned corners: every eighth pixel of the enlarged map is a pixel of the small one
            np.testing.assert_allclose(found, logits[:, :, ::8, ::8], atol=1e-4 * np.abs(logits).max())


def test_group_network_is_exported(net, tmp_path):
    make(net, tmp_path / "g", group=2, images=[random_images(1, 2, 3, 65, 65)])
    block, told = load_export(tmp_path / "g", mx.cpu())
    x = mx.nd.array(random_images(2, 2, 3, 65, 65))
    for one, other in zip(block(x), GroupCIAN(net, 2)(x)):
        np.testing.assert_allclose(one.asnumpy(), other.asnumpy(), atol=1e-5 * float(other.abs().max().asscalar()))
    assert told["group"] == 2


def test_classifier_is_exported(tmp_path):
    net = initialised(build("cam", "resnet10", 3))
    make(net, tmp_path / "c", "cam", "abc")
    x = mx.nd.array(random_images(2, 3, 65, 97))
    scores, maps = load_export(tmp_path / "c", mx.cpu())[0](x)
    np.testing.assert_allclose(scores.asnumpy(), net(x).asnumpy(), atol=1e-5)
    np.testing.assert_allclose(maps.asnumpy(), net.maps(x).asnumpy(), atol=1e-5)
    with pytest.raises(ValueError, match="kind: 'labels', expected one of logits, probabilities"):
        make(net, tmp_path / "d", "cam", kind="labels")


@pytest.mark.parametrize("matching", ["none", "inter", "intra", "both"])
def test_comnet_is_exported_with_each_images_mirror_as_its_group(matching, tmp_path):
    net = initialised(COMNet("resnet10", 3, matching, residual=False))
    make(net, tmp_path / "c", "comnet", "abc")
    x = mx.nd.array(random_images(2, 3, 65, 97))
    scores, maps = load_export(tmp_path / "c", mx.cpu())[0](x)
    for image, score, found in zip(x, scores.asnumpy(), maps.asnumpy()):
        pair = mx.nd.stack(image, image.flip(axis=2))
        expected = net.maps(pair)[0].asnumpy()
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
        np.testing.assert_allclose(score, expected.mean(axis=(1, 2)), atol=1e-5 * np.abs(expected).max())
    make(net, tmp_path / "g", "comnet", "abc", [random_images(1, 2, 3, 65, 65)], group=2)
    x = mx.nd.array(random_images(2, 2, 3, 65, 65))
    block, told = load_export(tmp_path / "g", mx.cpu())
    np.testing.assert_allclose(block(x).asnumpy(), net(x).asnumpy(), atol=1e-5)
    assert told["group"] == 2
    with pytest.raises(ValueError, match="g: a classifier, which makes no masks"):
        Predictor(tmp_path / "g")


def test_an_export_that_differs_is_not_written(net, tmp_path, monkeypatch):
    make(net, tmp_path / "x")
    before = contents(tmp_path)
    honest = cian.export.check.run_module
    monkeypatch.setattr(cian.export.check, "run_module", lambda *args: [y + 1e-3 * np.abs(y).max() for y in honest(*args)])
    for name in ("x", "y", "sub/z"):
        with pytest.raises(RuntimeError, match="loaded by Module it differs from the network by 0.000"):
            make(net, tmp_path / name, kind="probabilities", overwrite=True)
    monkeypatch.setattr(cian.export.check, "run_module", lambda *args: [y * np.nan for y in honest(*args)])
    with pytest.raises(RuntimeError, match="not finite"):
        make(net, tmp_path / "y")
    assert contents(tmp_path) == before and sorted(path.name for path in tmp_path.iterdir()) == [
        "x-0000.params",
        "x-symbol.json",
    ]


def test_names_that_collide(net, tmp_path):
    make(net, tmp_path / "x")
    before = contents(tmp_path)
    make(net, tmp_path / "x")  # the same again is no collision
    with pytest.raises(FileExistsError, match=r"x-symbol\.json: exists with other contents"):
        make(net, tmp_path / "x", kind="labels")
    other = initialised(CIAN("resnet10", 4), seed=1)
    with pytest.raises(FileExistsError, match=r"x-0000\.params: exists with other contents"):
        make(other, tmp_path / "x")
    assert contents(tmp_path) == before
    make(other, tmp_path / "x", overwrite=True)
    after = contents(tmp_path)
    assert after["x-symbol.json"] == before["x-symbol.json"] and after["x-0000.params"] != before["x-0000.params"]
    (tmp_path / "d").mkdir()
    (tmp_path / "e-0000.params").mkdir()
    for name, error in (("d", ValueError), ("x-symbol.json", ValueError), ("e", FileExistsError), ("x-symbol.json/y", OSError)):
        with pytest.raises(error):
            make(net, tmp_path / name, overwrite=True)
    assert contents(tmp_path) == after


def test_half_an_export_is_taken_back(net, tmp_path, monkeypatch):
    make(net, tmp_path / "x")
    before, rename = contents(tmp_path), os.replace

    def refuse(source, target):
        if str(target).endswith("-0000.params"):
            raise OSError("disk full")
        rename(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    for name in ("x", "y"):
        with pytest.raises(OSError, match="disk full"):
            make(net, tmp_path / name, kind="probabilities", overwrite=True)
    assert contents(tmp_path) == before


def test_unreadable_exports_are_named(net, tmp_path):
    make(net, tmp_path / "x")
    symbol, params = export_files(tmp_path / "x")
    assert (symbol, params) == export_files(params) == export_files(symbol)
    whole = params.read_bytes()
    for broken in (whole[:-1000], whole[:4], b"foreign bytes, surely no parameters"):
        params.write_bytes(broken)
        with pytest.raises(ValueError, match=r"x-0000\.params: not a"):
            load_export(tmp_path / "x", mx.cpu())
    arrays = named_arrays(net)
    del arrays["arg:bn0_beta"]
    mx.nd.save(str(params), dict(arrays, **{"arg:more": mx.nd.zeros(1)}))
    with pytest.raises(ValueError, match=r"x-0000\.params: does not fit .*x-symbol\.json: missing bn0_beta; unexpected more"):
        load_export(tmp_path / "x", mx.cpu())
    mx.nd.save(str(params), dict(named_arrays(net), **{"arg:fc1_weight": mx.nd.zeros((5, 128, 3, 3))}))
    with pytest.raises(ValueError, match=r"fc1_weight has shape \(5, 128, 3, 3\), expected \(4, 128, 3, 3\)"):
        load_export(tmp_path / "x", mx.cpu())
    params.write_bytes(whole)
    mx.nd.save(str(tmp_path / "x-0001.params"), named_arrays(net))
    with pytest.raises(ValueError, match="several parameter files"):
        load_export(tmp_path / "x", mx.cpu())
    assert load_export(params, mx.cpu())[1]["classes"] == list("abcd")
    for text in ("{}", "no json", '{"nodes": 3}'):
        symbol.write_text(text)
        with pytest.raises(ValueError, match=r"x-symbol\.json: "):
            load_export(params, mx.cpu())
    with pytest.raises(FileNotFoundError, match=r"none-symbol\.json: no such symbol file"):
        load_export(tmp_path / "none", mx.cpu())
    params.unlink()
    (tmp_path / "x-0001.params").unlink()
    with pytest.raises(FileNotFoundError, match=r"x-0000\.params: no such parameter file"):
        export_files(tmp_path / "x")


def test_wrong_options_are_named(net):
    with pytest.raises(ValueError, match="kind: 'scores', expected one of logits, probabilities, labels"):
        inference_block(net, "scores")
    with pytest.raises(ValueError, match="method: 'fcn', expected one of cian, largefov, cam"):
        build("fcn", "resnet10", 3)
    with pytest.raises(ValueError, match="are for segmentation networks of single images"):
        exported_block(net, "cian", group=2, flip=True)

"""Symbols and exports: the committed graphs, equality with the networks, and what a failed export leaves behind."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage.data import chelsea

import cian.export
from cian.data.images import write_label
from cian.export import Output, export, inference_block, trace
from cian.exported import description, export_files, load_export
from cian.inference import Segmenter
from cian.models.checkpoint import named_arrays, save_checkpoint
from cian.models.cian import CIAN, GroupCIAN
from cian.models.multi_scale import MultiScale
from cian.runtime import mx
from cian.symbols import CATALOGUE, about, build, committed_symbol, exported_block, network_of_checkpoint, network_of_published

ROOT = Path(__file__).resolve().parents[1]
#: loads an export with nothing but MXNet; arguments: NAME, input .npy, output .npy
ALONE = """
import sys
import numpy as np
for python_type in (bool, object, int, float, complex, str):
    if python_type.__name__ not in np.__dict__:
        setattr(np, python_type.__name__, python_type)
import mxnet as mx
name, source, target = sys.argv[1:]
x = mx.nd.array(np.load(source))
one = mx.gluon.SymbolBlock.imports(name + "-symbol.json", ["data"], name + "-0000.params")(x).asnumpy()
symbol, arguments, auxiliary = mx.model.load_checkpoint(name, 0)
module = mx.mod.Module(symbol, data_names=["data"], label_names=None)
module.bind([("data", x.shape)], for_training=False)
module.set_params(arguments, auxiliary)
module.forward(mx.io.DataBatch([x]), is_train=False)
np.save(target, np.stack([one, module.get_outputs()[0].asnumpy()]))
assert not any(key == "cian" or key.startswith("cian.") for key in sys.modules)
"""


def initialised(net, seed=0):
    mx.random.seed(seed)
    net.initialize(mx.init.Xavier())
    random = np.random.RandomState(seed)
    drawn = ("bn_out_moving_var", "bn_out_gamma", "bn_data_gamma", "bn0_moving_var")  # not as they start, so that they matter
    for name, p in net.collect_params().items():
        if name in drawn:
            p.set_data(mx.nd.array(random.uniform(0.5, 2, p.shape)))
    return net


@pytest.fixture(scope="module")
def net():
    return initialised(CIAN("resnet10", 4))


def random_images(*shape):
    return np.random.RandomState(1).uniform(0, 255, shape).astype(np.float32)


@pytest.mark.parametrize("name", CATALOGUE)
def test_committed_symbol_is_regenerated(name):
    text = (ROOT / "symbols" / f"{name}-symbol.json").read_text(encoding="utf-8")
    assert text == committed_symbol(name), "run python tools/export.py --symbols symbols"
    nodes = json.loads(text)["nodes"]
    names = [node["name"] for node in nodes]
    assert len(set(names)) == len(names)
    method, backbone, group = CATALOGUE[name]
    net = build(method, backbone, 20 if method == "cam" else 21)
    symbol = mx.sym.load_json(text)
    kinds = {"arg:" + key for key in symbol.list_arguments()} | {"aux:" + key for key in symbol.list_auxiliary_states()}
    wanted = {("aux:" if "_moving_" in key else "arg:") + key for key in net.collect_params()}
    assert kinds == wanted | {"arg:data"}
    shape = (3, group, 3, 65, 97) if group else (2, 3, 65, 97)
    arguments, outputs, _ = symbol.infer_shape(data=shape)
    shapes = dict(zip(symbol.list_arguments(), arguments))
    assert all(shapes[key] == p.shape for key, p in net.collect_params().items() if key in shapes)
    if method == "cam":
        assert symbol.list_outputs() == ["scores_output", "maps_output"] and outputs == [(2, 20), (2, 20, 9, 13)]
    elif group:
        assert symbol.list_outputs() == ["self_logits_output", "cross_logits_output"] and outputs == [(3, 2, 21, 9, 13)] * 2
    else:
        assert symbol.list_outputs() == ["logits_output"] and outputs == [(2, 21, 9, 13)]


def test_names_are_the_published_ones():
    symbol = mx.sym.load(str(ROOT / "symbols" / "cian_resnet50_group-symbol.json"))
    for name in ("conv0_weight", "bn_out_gamma", "stage1_unit1_conv1_weight", "conv_embed_q_weight", "fc1_weight"):
        assert name in symbol.list_arguments()
    assert "stage1_unit1_bn1_moving_mean" in symbol.list_auxiliary_states()
    nodes = {node["name"] for node in json.loads(symbol.tojson())["nodes"]}
    assert {"conv0", "stage4_unit3_conv3", "bn_out", "bn_out_2", "fc1", "fc1_2", "conv_out_2"} <= nodes


def test_a_trace_does_not_depend_on_what_was_made_before(net):
    first = trace(Output(net), ["logits"])
    CIAN("resnet10", 4)(mx.sym.Variable("data"))
    assert trace(Output(net), ["logits"]) == first  # though MXNet counts the uses of running statistics
    assert trace(Output(CIAN("resnet10", 4)), ["logits"]) == first


@pytest.mark.parametrize("scales, flip", [((0.75, 1.0, 1.25), True), ((0.5, 1.0), False)])
@pytest.mark.parametrize("size", [(65, 65), (97, 65)])
def test_multi_scale_of_free_size_gives_the_same_numbers(net, scales, flip, size):
    x = mx.nd.array(random_images(2, 3, *size))
    fixed, free = MultiScale(net, size, scales, flip)(x), MultiScale(net, None, scales, flip)(x)
    np.testing.assert_allclose(free.asnumpy(), fixed.asnumpy(), atol=1e-6)


def make(net, path, method="cian", names="abcd", images=None, overwrite=False, **options):
    block, outputs = exported_block(net, method, **options)
    block.hybridize()
    if images is None:
        images = [random_images(1, 3, *(options.get("size") or (65, 65)))]
    return export(path, block, outputs, about(method, "resnet10", names, **options), images, overwrite)


@pytest.mark.parametrize(
    "options",
    [
        dict(),
        dict(kind="probabilities", enlarge=True),
        dict(kind="labels", enlarge=True, size=(65, 97)),
        dict(kind="logits", enlarge=True, scales=(0.75, 1.0, 1.25), flip=True),
        dict(scales=(0.5, 1.0), size=(65, 97)),
    ],
    ids=["network", "probabilities", "labels", "published", "fixed"],
)
def test_export_equals_the_network_with_nothing_but_mxnet(net, tmp_path, options):
    targets, deviation = make(net, tmp_path / "x", **options)
    assert [path.name for path in targets] == ["x-symbol.json", "x-0000.params"] and deviation <= 1e-5
    image = random_images(2, 3, 65, 97)
    np.save(str(tmp_path / "in.npy"), image)
    subprocess.run(
        [sys.executable, "-c", ALONE, str(tmp_path / "x"), str(tmp_path / "in.npy"), str(tmp_path / "out.npy")],
        check=True,
        cwd=str(tmp_path),
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        timeout=120,
    )
    segmenter = Segmenter(net, mx.cpu(), 65, options.get("scales", (1.0,)), options.get("flip", False))  # the tools' own path
    logits = np.stack([segmenter.logits(x.transpose(1, 2, 0)) for x in image])
    kind = options.get("kind", "logits")
    for found in np.load(str(tmp_path / "out.npy")):
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


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_an_export_that_differs_is_not_written(net, tmp_path, monkeypatch):
    make(net, tmp_path / "x")
    before = contents(tmp_path)
    honest = cian.export.run_module
    monkeypatch.setattr(cian.export, "run_module", lambda *args: [y + 1e-3 * np.abs(y).max() for y in honest(*args)])
    for name in ("x", "y", "sub/z"):
        with pytest.raises(RuntimeError, match="loaded by Module it differs from the network by 0.000"):
            make(net, tmp_path / name, kind="probabilities", overwrite=True)
    monkeypatch.setattr(cian.export, "run_module", lambda *args: [y * np.nan for y in honest(*args)])
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


def test_checkpoints_tell_their_method(net, tmp_path):
    save_checkpoint(tmp_path / "cian.params", named_arrays(net))
    loaded, method, classes = network_of_checkpoint(tmp_path / "cian.params", "resnet10")
    assert (method, classes) == ("cian", 4)
    x = mx.nd.array(random_images(1, 3, 65, 65))
    np.testing.assert_allclose(loaded(x).asnumpy(), net(x).asnumpy(), atol=1e-5)
    for method, count in (("largefov", 3), ("cam", 5)):
        save_checkpoint(tmp_path / "o.params", named_arrays(initialised(build(method, "resnet10", count))))
        assert network_of_checkpoint(tmp_path / "o.params", "resnet10")[1:] == (method, count)
        assert network_of_published(tmp_path / "o.params", "resnet10")[1:] == (method, count)
    zoo = {  # as the model zoo's files: no layers of ours, but ImageNet's classifier, called fc1
        key: value
        for key, value in named_arrays(net).items()
        if not key.split(":")[1].startswith(("conv_embed", "conv_out", "bn_out", "fc1"))
    }
    zoo.update({"arg:fc1_weight": mx.nd.ones((1000, 128)), "arg:fc1_bias": mx.nd.zeros(1000)})
    mx.nd.save(str(tmp_path / "zoo.params"), zoo)
    with pytest.raises(ValueError, match="neither a segmentation network"):
        network_of_checkpoint(tmp_path / "zoo.params", "resnet10")
    started = network_of_published(tmp_path / "zoo.params", "resnet10", classes=6)[0].collect_params()
    assert np.array_equal(started["conv0_weight"].data().asnumpy(), net.collect_params()["conv0_weight"].data().asnumpy())
    assert started["fc1_weight"].shape == (6, 128, 3, 3)
    with pytest.raises(ValueError, match="does not fit the network"):
        network_of_published(tmp_path / "cian.params", "resnet50")


def test_tool_exports_a_checkpoint(net, shared, tmp_path):
    save_checkpoint(tmp_path / "n.params", named_arrays(net))
    image = sorted((shared / "data" / "VOC2012-animals" / "JPEGImages").glob("*.jpg"))[0]
    command = [
        sys.executable,
        str(ROOT / "tools" / "export.py"),
        "--checkpoint",
        str(tmp_path / "n.params"),
        "--backbone",
        "resnet10",
        "--output",
        str(tmp_path / "out" / "n"),
        "--classes",
        "background,a,b,c",
        "--size",
        "65,97",
        "--image",
        str(image),
    ]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    result = subprocess.run(
        command + ["--probabilities", "--multi-scale", "--flip"], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 0 and "largest deviation" in result.stdout, result.stderr[-2000:]
    told = description(mx.sym.load(str(tmp_path / "out" / "n-symbol.json")))
    assert told == dict(
        method="cian",
        backbone="resnet10",
        classes=["background", "a", "b", "c"],
        output="probabilities",
        size=[65, 97],
        enlarged=True,
        scales=[0.75, 1.0, 1.25],
        flip=True,
        group=0,
    )
    result = subprocess.run(command + ["--labels"], capture_output=True, text=True, env=environment)
    assert result.returncode == 2 and "exists with other contents" in result.stderr


def test_exports_are_verified_on_random_pixels_and_a_photograph(tmp_path):
    spec = importlib.util.spec_from_file_location("export", str(ROOT / "tools" / "export.py"))
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    free = tool.inputs(None, [], 0)
    assert [x.shape for x in free] == [(1, 3, 129, 129), (1, 3, 161, 97), (1, 3, 297, 449)]
    np.testing.assert_allclose(free[2][0].mean(axis=(1, 2)), chelsea().mean(axis=(0, 1)), atol=1)  # a cat
    assert 60 < free[0].std() < 90 and not np.array_equal(free[0][0, 0, :97, :97], free[1][0, 0, :97, :97])
    write_label(tmp_path / "x.png", np.ones((20, 30), np.uint8))
    more = tool.inputs((65, 97), [str(tmp_path / "x.png")], 2)
    assert [x.shape for x in more] == [(1, 2, 3, 65, 97)] * 3 and {x.dtype for x in more} == {np.dtype("float32")}
    np.testing.assert_array_equal(more[1][0, 1], np.roll(more[1][0, 0], 7, axis=-1))


def test_wrong_options_are_named(net):
    with pytest.raises(ValueError, match="kind: 'scores', expected one of logits, probabilities, labels"):
        inference_block(net, "scores")
    with pytest.raises(ValueError, match="method: 'fcn', expected one of cian, largefov, cam"):
        build("fcn", "resnet10", 3)
    with pytest.raises(ValueError, match="are for segmentation networks of single images"):
        exported_block(net, "cian", group=2, flip=True)

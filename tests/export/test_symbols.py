"""Networks by name: the committed graphs made again, the published names, and checkpoints that tell their network."""

import json

import numpy as np
import pytest
from small_exports import initialised, random_images
from small_training import ROOT

from cian.base.runtime import mx
from cian.export.export import Output, trace
from cian.export.exported import CLASSIFIERS
from cian.export.symbols import CATALOGUE, build, committed_symbol, network_of_checkpoint, network_of_published
from cian.models.checkpoint import named_arrays, save_checkpoint
from cian.models.cian import CIAN


@pytest.fixture(scope="module")
def net():
    return initialised(CIAN("resnet10", 4))


@pytest.mark.parametrize("name", CATALOGUE)
def test_committed_symbol_is_regenerated(name):
    text = (ROOT / "symbols" / f"{name}-symbol.json").read_text(encoding="utf-8")
    assert text == committed_symbol(name), "run python tools/export.py --symbols symbols"
    nodes = json.loads(text)["nodes"]
    names = [node["name"] for node in nodes]
    assert len(set(names)) == len(names)
    method, backbone, group = CATALOGUE[name]
    net = build(method, backbone, 20 if method in CLASSIFIERS else 21)
    symbol = mx.sym.load_json(text)
    kinds = {"arg:" + key for key in symbol.list_arguments()} | {"aux:" + key for key in symbol.list_auxiliary_states()}
    wanted = {("aux:" if "_moving_" in key else "arg:") + key for key in net.collect_params()}
    assert kinds == wanted | {"arg:data"}
    shape = (3, group, 3, 65, 97) if group else (2, 3, 65, 97)
    arguments, outputs, _ = symbol.infer_shape(data=shape)
    shapes = dict(zip(symbol.list_arguments(), arguments))
    assert all(shapes[key] == p.shape for key, p in net.collect_params().items() if key in shapes)
    if method == "comnet" and group:
        assert symbol.list_outputs() == ["scores_output"] and outputs == [(3, 2, 20)]
    elif method in CLASSIFIERS:
        grid = (9, 13) if method == "cam" else (5, 7)  # stride 8, of ResNet-50 in COMNet 16
        assert symbol.list_outputs() == ["scores_output", "maps_output"] and outputs == [(2, 20), (2, 20, *grid)]
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
    for method in CLASSIFIERS:
        started = network_of_published(tmp_path / "zoo.params", "resnet10", method=method, classes=6)[0].collect_params()
        assert np.array_equal(started["conv0_weight"].data().asnumpy(), net.collect_params()["conv0_weight"].data().asnumpy())
        assert started["classifier_weight"].shape == (6, 128, 1, 1) and ("conv_match_weight" in started) == (method == "comnet")
    with pytest.raises(ValueError, match="does not fit the network"):
        network_of_published(tmp_path / "cian.params", "resnet50")

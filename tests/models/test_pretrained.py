"""ImageNet weights of others: their networks' features from converted files, in every way that Gluon writes them."""

import gluoncv
import numpy as np
import pytest
from source_networks import CLOSE, deviation, gluoncv2_network, our_features, photograph, randomise, scaled, stored, through

from cian.base.runtime import mx
from cian.models.checkpoint import named_arrays
from cian.models.cian import CIAN
from cian.models.layers import EPSILON, IMAGENET_MEAN, IMAGENET_STD
from cian.models.pretrained import converted, load_pretrained
from cian.models.sources import Source
from cian.models.weight_cache import Chosen

#: backbone -> gluoncv's network, how many of its `features` come before the classifier's pooling; v1b has none of that name
GLUON = {"resnet50": ("resnet50_v2", 11), "resnet101": ("resnet101_v2", 11), "resnet50v1": ("resnet50_v1", 8),
         "vgg16": ("vgg16", 31), "squeezenet1.1": ("squeezenet1.1", 13), "resnet50v1b": ("resnet50_v1b", None),
         "resnet101v1b": ("resnet101_v1b", None)}  # fmt: skip
#: gluoncv2's network -> backbone
GLUONCV2 = {"preresnet50b": "resnet50", "preresnet101b": "resnet101", "resnet50b": "resnet50v1b", "resnet101b": "resnet101v1b",
            "vgg16": "vgg16", "squeezenet_v1_1": "squeezenet1.1"}  # fmt: skip


def layers_of(net, count):
    if count is None:
        return [net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2, net.layer3, net.layer4]
    return list(net.features._children.values())[:count]


def write_export(net, path):
    net.hybridize()
    net(mx.nd.zeros((1, 3, 224, 224)))
    net.export(str(path)[: -len("-0000.params")])


def write_module(net, path):
    symbol = net(mx.sym.var("data"))
    module = mx.mod.Module(symbol, label_names=None)
    module.bind([("data", (1, 3, 224, 224))], for_training=False)
    values = {p.name: p.data() for p in net.collect_params().values()}
    module.set_params({n: values[n] for n in symbol.list_arguments() if n != "data"},
                      {n: values[n] for n in symbol.list_auxiliary_states()})  # fmt: skip
    module.save_checkpoint(str(path)[: -len("-0000.params")], 0)


WRITERS = {"counts": lambda net, path: net.collect_params().save(str(path)), "export": write_export, "module": write_module}


@pytest.mark.parametrize("backbone", [name for name in GLUON if "101" not in name])
def test_features_equal_those_of_gluons_network(backbone, tmp_path):
    name, count = GLUON[backbone]
    theirs, x, path = gluoncv.model_zoo.get_model(name), photograph(), tmp_path / "w.params"
    layers = layers_of(theirs, count)
    mx.nd.save(str(path), stored(randomise(theirs, layers)))
    assert deviation(our_features(backbone, path, x), through(layers, scaled(x))) < CLOSE


@pytest.mark.parametrize("backbone", GLUON)
def test_counts_name_the_same_layers_as_places(backbone):
    theirs = gluoncv.model_zoo.get_model(GLUON[backbone][0])
    by_place, numbers = theirs._collect_params_with_prefix(), {}
    for number, parameter in enumerate(by_place.values()):
        numbers[parameter.name] = np.float32(number)
    one, unknown, _ = converted({place: numbers[p.name] for place, p in by_place.items()}, backbone, ())
    other, more, label = converted(numbers, backbone, ())
    assert unknown == more == [] and "collect_params" in label
    assert {n: v.tolist() for n, v in one.items()} == {n: v.tolist() for n, v in other.items()} and len(one) > 20


@pytest.mark.parametrize("way", WRITERS)
def test_every_way_that_gluon_and_module_write(way, tmp_path):
    theirs, path, net = randomise(gluoncv.model_zoo.squeezenet1_1()), tmp_path / "w-0000.params", CIAN("squeezenet1.1", 3)
    net.initialize()
    WRITERS[way](theirs, path)
    load_pretrained(net, path, "squeezenet1.1")
    wanted, found = stored(theirs), net.collect_params()
    places = {"conv0": "features.0", "fire2_squeeze": "features.3.0.0", "fire9_expand3x3": "features.12.1.1.0"}
    for ours, place in places.items():
        for kind in ("weight", "bias"):
            assert np.array_equal(found[f"{ours}_{kind}"].data().asnumpy(), wanted[f"{place}.{kind}"].asnumpy())


@pytest.mark.parametrize("name", GLUONCV2)
def test_features_equal_those_of_gluoncv2s_network(name, tmp_path):
    theirs, x, path = gluoncv2_network(name), photograph(), tmp_path / "w.params"
    layers = list(theirs.features._children.values())
    layers = layers if name == "vgg16" else layers[:-1]  # without the classifier's pooling or dropout
    randomise(theirs, layers).save_parameters(str(path))
    assert deviation(our_features(GLUONCV2[name], path, x), through(layers, scaled(x))) < CLOSE


def test_the_input_of_a_source_is_folded_in(tmp_path):
    mean, std = (0.5, 0.4, 0.3), (0.25, 0.5, 0.2)
    source = Source("x:y", "squeezenet1.1", "http://x/y.params", None, None, 0.0, "MIT", mean, std)
    theirs, x, path = randomise(gluoncv.model_zoo.squeezenet1_1()), photograph(), tmp_path / "w.params"
    theirs.save_parameters(str(path))
    found = our_features("squeezenet1.1", Chosen("x:y", path, "", source), x)
    own = ((x / 255 - np.reshape(mean, (1, 3, 1, 1))) / np.reshape(std, (1, 3, 1, 1))).astype("float32")
    assert deviation(found, through(layers_of(theirs, 13), own)) < CLOSE


def test_bn_data_of_rgb_in_closed_form():
    arrays = {"features.0.gamma": np.ones(3), "features.0.beta": np.zeros(3), "features.0.running_mean": np.array([1.0, 0, 0]),
              "features.0.running_var": np.full(3, 4.0)}  # fmt: skip
    found, unknown, label = converted(arrays, "resnet50", ())
    assert not unknown and label == "Gluon's resnet50_v2 (save_parameters)"
    np.testing.assert_allclose(found["bn_data_moving_mean"], np.array(IMAGENET_MEAN) + [IMAGENET_STD[0], 0, 0], rtol=1e-6)
    np.testing.assert_allclose(found["bn_data_moving_var"], np.square(IMAGENET_STD) * (4 + EPSILON) - EPSILON, rtol=1e-6)


def test_names_that_do_not_belong(tmp_path):
    path, net = tmp_path / "x.params", CIAN("squeezenet1.1", 3)
    net.initialize()
    mx.nd.save(str(path), {"features.77.weight": mx.nd.zeros((1,)), "features.0.weight": mx.nd.zeros((64, 3, 3, 3))})
    with pytest.raises(ValueError, match="x.params: not weights of squeezenet1.1: 1 of 2 parameters are unknown, such as feat"
                       ".*77.*known are the names of .*torchvision's"):
        load_pretrained(net, path, "squeezenet1.1")
    with pytest.raises(ValueError, match="gluoncv:vgg16 is for the backbone vgg16, not resnet50; known for resnet50: imgcls"):
        load_pretrained(net, "gluoncv:vgg16", "resnet50")
    with pytest.raises(ValueError, match="timm:vgg is unknown; known for vgg16: imgclsmob:vgg16, torchvision:vgg16, timm"):
        load_pretrained(net, "timm:vgg", "vgg16")


def test_half_precision_becomes_single(tmp_path):
    path, net = tmp_path / "half.params", CIAN("squeezenet1.1", 3)
    net.initialize(mx.init.Xavier())
    arrays = {n: a.astype("float16") for n, a in named_arrays(net).items()}
    mx.nd.save(str(path), arrays)
    load_pretrained(net, path, "squeezenet1.1")
    loaded = net.collect_params()["conv0_weight"].data()
    assert loaded.dtype == np.float32 and np.array_equal(loaded.asnumpy(), arrays["arg:conv0_weight"].asnumpy())


def test_real_squeezenet_weights(shared):
    net = CIAN("squeezenet1.1", 21)
    net.initialize()
    load_pretrained(net, shared / "pretrained" / "gluon_squeezenet1_1.params", "squeezenet1.1")
    stored = mx.nd.load(str(shared / "pretrained" / "gluon_squeezenet1_1.params"))
    values = {name: p.data().asnumpy() for name, p in net.collect_params().items()}
    assert np.array_equal(values["conv0_weight"], stored["features.0.weight"].asnumpy())
    assert np.array_equal(values["fire9_expand3x3_bias"], stored["features.12.1.1.0.bias"].asnumpy())
    np.testing.assert_allclose(values["bn_data_moving_mean"], IMAGENET_MEAN, rtol=1e-6)

"""The post-activation ResNet against gluoncv's and Gluon's own, whose weights it loads; what of it is trained."""

import numpy as np
import pytest

from cian.base.runtime import mx
from cian.models.checkpoint import save_checkpoint
from cian.models.comnet import COMNet, backbone
from cian.models.layers import IMAGENET_MEAN, IMAGENET_STD
from cian.models.pretrained import from_gluon, load_pretrained
from cian.models.resnet_v1 import CLASSIFIER_STRIDES, ResNetV1


def randomise(net, seed):
    """Give every parameter of an initialised network a value of its own, running variances positive."""
    random = np.random.RandomState(seed)
    for name, parameter in sorted(net.collect_params().items()):
        value = random.uniform(-1, 1, parameter.shape)
        if name.endswith("weight"):
            value *= np.sqrt(6.0 / np.prod(parameter.shape[1:]))
        elif name.endswith(("gamma", "var")):
            value = 1 + 0.3 * value
        parameter.set_data(mx.nd.array(value))


def images(sides=(64, 96)):
    return np.random.RandomState(5).randint(0, 256, (1, 3) + sides).astype(np.float32)


def scaled(x):
    shape = (1, 3, 1, 1)
    return mx.nd.array((x - np.reshape(IMAGENET_MEAN, shape)) / np.reshape(IMAGENET_STD, shape))


def gluoncv_v1b():
    from gluoncv.model_zoo import resnet50_v1b

    net = resnet50_v1b()
    net.initialize()
    net(mx.nd.zeros((1, 3, 32, 32)))
    randomise(net, 1)

    def features(x):
        for layer in (net.conv1, net.bn1, net.relu, net.maxpool, net.layer1, net.layer2, net.layer3, net.layer4):
            x = layer(x)
        return x

    return net, features


def gluon_v1():
    net = mx.gluon.model_zoo.vision.resnet50_v1()
    net.initialize()
    net(mx.nd.zeros((1, 3, 32, 32)))
    randomise(net, 2)

    def features(x):
        for layer in list(net.features)[:8]:
            x = layer(x)
        return x

    return net, features


@pytest.mark.parametrize("name, stride_in, make", [("resnet50v1b", "3x3", gluoncv_v1b), ("resnet50v1", "1x1", gluon_v1)])
def test_features_equal_those_of_the_network_whose_weights_are_loaded(name, stride_in, make, tmp_path):
    theirs, features = make()
    path = tmp_path / "their.params"
    arrays = {key: value.data() for key, value in theirs._collect_params_with_prefix().items()}
    save_checkpoint(path, arrays)
    ours = ResNetV1(50, stride_in, strides=CLASSIFIER_STRIDES)
    ours.initialize()
    load_pretrained(ours, path, name)
    x = images()
    expected, found = features(scaled(x)).asnumpy(), ours(mx.nd.array(x)).asnumpy()
    assert found.shape == expected.shape == (1, 2048, 2, 3) and expected.std() > 0.01
    assert np.abs(found - expected).max() < 2e-4 * np.abs(expected).max()


def test_torchvisions_names_mean_the_same():
    shapes = {"gamma": "weight", "beta": "bias", "running_mean": "running_mean", "running_var": "running_var"}
    gluon, torch = {"conv1.weight": mx.nd.ones((64, 3, 7, 7)), "fc.bias": mx.nd.ones((9,))}, {}
    for number, layer in enumerate(("bn1", "layer1.0.bn3", "layer4.0.downsample.1")):
        for place, kind in enumerate(shapes):
            gluon[f"{layer}.{kind}"] = mx.nd.array([10 * number + place])
    for name, value in gluon.items():
        layer, kind = name.rsplit(".", 1)
        torch[f"{layer}.{shapes.get(kind, kind)}"] = value
        torch[f"{layer}.num_batches_tracked"] = mx.nd.array([7])
    one, other = from_gluon(gluon, "resnet50v1b", "x"), from_gluon(torch, "resnet50v1b", "x")
    assert set(one) == set(other) and "stage4_unit1_sc_bn_moving_var" in one and "bn0_gamma" in one and len(one) == 1 + 12 + 4
    assert all(np.array_equal(one[name].asnumpy(), other[name].asnumpy()) for name in one)


def test_weights_of_another_layout_are_refused(tmp_path):
    save_checkpoint(tmp_path / "v1.params", {"features.0.weight": mx.nd.ones((64, 3, 7, 7))})
    net, _ = backbone("resnet50v1b")
    net.initialize()
    with pytest.raises(ValueError, match="v1.params: not Gluon's resnet50_v1b: unknown parameters features.0.weight"):
        load_pretrained(net, tmp_path / "v1.params", "resnet50v1b")


def test_output_stride_is_16():
    net, stride = backbone("resnet50v1b")
    shapes = net(mx.sym.Variable("data")).infer_shape(data=(1, 3, 512, 512))[1]
    assert stride == 16 and shapes == [(1, 2048, 32, 32)]
    assert net(mx.sym.Variable("data")).infer_shape(data=(1, 3, 321, 193))[1] == [(1, 2048, 21, 13)]


@pytest.mark.parametrize(
    "mode, trained, moves", [("statistics", True, False), ("frozen", False, False), ("trained", True, True)]
)
def test_what_of_the_batch_normalisation_is_trained(mode, trained, moves):
    net = COMNet("resnet50v1b", 3, "none", batchnorm=mode)
    net.initialize(mx.init.Xavier())
    before = {name: p.data().asnumpy() for name, p in net.collect_params().items()}
    with mx.autograd.record():
        net(mx.nd.array(images((33, 33))[None])).sum().backward()
    mx.nd.waitall()
    gradients = {}
    for name, parameter in net.collect_params().items():
        if name.endswith(("_gamma", "_beta")):
            assert (parameter.grad_req != "null") == (trained and not name.startswith("bn_data")), name
            if parameter.grad_req != "null":
                gradients[name] = float(np.abs(parameter.grad().asnumpy()).sum())
        elif "moving" in name and not name.startswith("bn_data"):
            assert np.array_equal(parameter.data().asnumpy(), before[name]) != moves, name
    assert all(value > 0 for value in gradients.values()) and len(gradients) == (2 * 53 if trained else 0)


def test_unknown_backbones_and_modes_are_named():
    with pytest.raises(ValueError, match="backbone: 'vgg', expected one of resnet50v1b, .*squeezenet1.1"):
        backbone("vgg")
    with pytest.raises(ValueError, match="batchnorm: 'free', expected one of statistics, frozen, trained"):
        backbone("resnet50v1b", "free")
    with pytest.raises(ValueError, match="stride_in: '5x5'"):
        ResNetV1(50, "5x5")

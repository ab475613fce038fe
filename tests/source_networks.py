"""Networks that others publish ImageNet weights for, with random parameters: what converted weights are compared with."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from skimage.data import chelsea

from cian.base.runtime import mx
from cian.models.layers import IMAGENET_MEAN, IMAGENET_STD
from cian.models.pretrained import load_pretrained
from cian.models.resnet import ResNet
from cian.models.resnet_v1 import CLASSIFIER_STRIDES, ResNetV1
from cian.models.squeezenet import SqueezeNet
from cian.models.vgg import VGG16

#: backbone -> our ImageNet network
UNDILATED = {
    "resnet50": lambda: ResNet(50, dilated=False),
    "resnet101": lambda: ResNet(101, dilated=False),
    "resnet50v1b": lambda: ResNetV1(50, strides=CLASSIFIER_STRIDES),
    "resnet101v1b": lambda: ResNetV1(101, strides=CLASSIFIER_STRIDES),
    "resnet50v1": lambda: ResNetV1(50, "1x1", strides=CLASSIFIER_STRIDES),
    "vgg16": lambda: VGG16(dilated=False),
    "squeezenet1.1": lambda: SqueezeNet(dilated=False),
}
CLOSE = 5e-5  # of the largest value


def photograph(side=96):
    """A cat, float32 (1, 3, side, side) RGB 0..255."""
    picture = chelsea()[60 : 60 + 2 * side : 2, 60 : 60 + 2 * side : 2]
    return picture.transpose(2, 0, 1)[None].astype("float32")


def scaled(x):
    """What others' networks take: (RGB / 255 - mean) / std."""
    shape = (1, 3, 1, 1)
    return ((np.float64(x) - np.reshape(IMAGENET_MEAN, shape)) / np.reshape(IMAGENET_STD, shape)).astype("float32")


def randomise(net, layers=None, seed=0):
    """Give every parameter of a Gluon network, or of its layers alone, a value of its own, running variances positive."""
    net.initialize(mx.init.Zero())
    side = 224 if layers is None else 64
    through(layers or [net], np.zeros((1, 3, side, side), "float32"))  # which shapes depend on
    random = np.random.RandomState(seed)
    chosen = {p.name: p for layer in layers or [net] for p in layer.collect_params().values()}
    for parameter in chosen.values():
        value = random.uniform(-1, 1, parameter.shape)
        if parameter.name.endswith("weight"):
            value *= np.sqrt(6.0 / np.prod(parameter.shape[1:]))
        elif parameter.name.endswith(("gamma", "var")):
            value = 1 + 0.3 * value
        else:
            value *= 0.1
        parameter.set_data(mx.nd.array(value))
    return net


def stored(net, way="places"):
    """{name: array} of a network, by `places` or `counts`; of a layer that has no values yet, an array of one."""
    found = net._collect_params_with_prefix() if way == "places" else {p.name: p for p in net.collect_params().values()}
    return {name: mx.nd.zeros((1,)) if 0 in p.shape else p.data() for name, p in found.items()}


def through(layers, x):
    """NumPy features of layers, one after the other."""
    x = mx.nd.array(x)
    for layer in layers:
        x = layer(x)
    return x.asnumpy()


def our_features(backbone, weights, x):
    """Features of our ImageNet network, started from a file."""
    net = UNDILATED[backbone]()
    net.initialize()
    load_pretrained(net, weights, backbone)
    return net(mx.nd.array(x)).asnumpy()


def deviation(found, expected):
    """Largest difference, relative to the largest value."""
    assert found.shape == expected.shape and expected.std() > 1e-3 * np.abs(expected).max() > 0
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def gluoncv2_network(name):
    """A network of gluoncv2 0.0.64, found in $CIAN_GLUONCV2 or installed; the test skips where it is absent."""
    folder = os.environ.get("CIAN_GLUONCV2")
    if folder:
        sys.path.append(folder)
    provider = pytest.importorskip("gluoncv2.model_provider", reason="no gluoncv2 (pip install --target DIR gluoncv2, "
                                   "CIAN_GLUONCV2=DIR)")  # fmt: skip
    return provider.get_model(name)


def python_of_torch():
    """The Python of a virtual environment with torch and torchvision, $CIAN_TORCH; the test skips without it."""
    path = os.environ.get("CIAN_TORCH")
    if not path or not Path(path).exists():
        pytest.skip("no PyTorch (CIAN_TORCH=python of a virtual environment with torch and torchvision)")
    return path

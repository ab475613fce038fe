"""The post-activation ResNet against gluoncv's and Gluon's own, whose weights it loads; what of it is trained."""

import numpy as np
import pytest
from gluoncv.model_zoo import resnet50_v1b
from source_networks import CLOSE, deviation, photograph, randomise, scaled, stored, through

from cian.base.runtime import mx
from cian.models.checkpoint import save_checkpoint
from cian.models.cian import backbone as cian_backbone
from cian.models.comnet import COMNet, backbone
from cian.models.pretrained import converted, load_pretrained
from cian.models.resnet_v1 import CLASSIFIER_STRIDES, ResNetV1


def images(sides=(64, 96)):
    return np.random.RandomState(5).randint(0, 256, (1, 3) + sides).astype(np.float32)


@pytest.mark.parametrize("dilated, make", [
    (False, lambda: ResNetV1(50, strides=CLASSIFIER_STRIDES)), (True, lambda: cian_backbone("resnet50v1b"))])  # fmt: skip
def test_features_equal_gluoncvs_with_and_without_dilation(dilated, make, tmp_path):
    theirs, x, path = resnet50_v1b(dilated=dilated), photograph(), tmp_path / "w.params"
    layers = (theirs.conv1, theirs.bn1, theirs.relu, theirs.maxpool, theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4)
    mx.nd.save(str(path), stored(randomise(theirs, layers)))
    ours = make()
    ours.initialize()
    load_pretrained(ours, path, "resnet50v1b")
    found = ours(mx.nd.array(x)).asnumpy()
    assert found.shape == (1, 2048, 12 if dilated else 3, 12 if dilated else 3)
    assert deviation(found, through(layers, scaled(x))) < CLOSE


def test_torchvisions_names_mean_the_same():
    shapes = {"gamma": "weight", "beta": "bias", "running_mean": "running_mean", "running_var": "running_var"}
    gluon, torch = {"conv1.weight": np.ones((64, 3, 7, 7)), "fc.bias": np.ones(9)}, {}
    for number, layer in enumerate(("bn1", "layer1.0.bn3", "layer4.0.downsample.1")):
        for place, kind in enumerate(shapes):
            gluon[f"{layer}.{kind}"] = np.array([10.0 * number + place])
    for name, value in gluon.items():
        layer, kind = name.rsplit(".", 1)
        torch[f"{layer}.{shapes.get(kind, kind)}"] = value
        torch[f"{layer}.num_batches_tracked"] = np.array([7])
    one, other = converted(gluon, "resnet50v1b", ())[0], converted(torch, "resnet50v1b", ())[0]
    assert set(one) == set(other) and "stage4_unit1_sc_bn_moving_var" in one and "bn0_gamma" in one and len(one) == 1 + 12 + 4
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_weights_of_another_layout_are_refused(tmp_path):
    save_checkpoint(tmp_path / "v1.params", {"features.0.weight": mx.nd.ones((64, 3, 7, 7))})
    net, _ = backbone("resnet50v1b")
    net.initialize()
    with pytest.raises(ValueError, match="v1.params: not weights of resnet50v1b: .* unknown, such as features.0.weight"):
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

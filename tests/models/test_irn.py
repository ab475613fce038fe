"""IRN's network: sizes, one branch against NumPy, what is trained and what is not, and boundary maps of images."""

import cv2
import numpy as np
import pytest

from cian.base.runtime import mx
from cian.config import BoundaryTraining
from cian.data.boundary_examples import random_span
from cian.inference.boundary import boundary_map, load_boundary_network
from cian.models.checkpoint import FAST, named_arrays, save_checkpoint
from cian.models.irn import IRN, MAPS, Branch, enlarge
from cian.training.boundary import BoundaryObjective


def network(backbone="squeezenet1.1", displacement=True, seed=0):
    mx.random.seed(seed)
    net = IRN(backbone, displacement)
    net.initialize(mx.init.Xavier(rnd_type="uniform", factor_type="in", magnitude=1))
    net.hybridize()
    return net


@pytest.mark.parametrize("backbone", ["squeezenet1.1", "resnet10", "resnet50v1b", "resnet50"])
def test_sizes(backbone):
    boundary, field = network(backbone)(mx.nd.zeros((2, 3, 64, 96)))
    assert boundary.shape == (2, 1, 16, 24) and field.shape == (2, 2, 16, 24)
    make, channels, strides = MAPS[backbone]
    maps = make(network(backbone).backbone, mx.nd, mx.nd.zeros((1, 3, 64, 96)))
    assert [y.shape for y in maps] == [(1, c, 64 // s, 96 // s) for c, s in zip(channels, strides)]


@pytest.mark.parametrize("backbone", ["squeezenet1.1", "resnet10", "resnet50v1b"])
def test_the_last_map_is_the_backbones_result(backbone):
    net, x = network(backbone).backbone, mx.nd.random.uniform(0, 255, (1, 3, 48, 64))
    np.testing.assert_allclose(MAPS[backbone][0](net, mx.nd, x)[-1].asnumpy(), net(x).asnumpy(), rtol=1e-4, atol=1e-5)


def test_a_branch_against_numpy():
    rng = np.random.default_rng(0)
    branch = Branch("a", 6, 5, 3)
    branch.initialize()
    x, weight = rng.normal(size=(2, 5, 3, 4)), rng.normal(size=(6, 5, 1, 1))
    gamma, beta = rng.normal(size=6), rng.normal(size=6)
    for name, value in (("weight", weight), ("gamma", gamma), ("beta", beta)):
        branch.collect_params()["a_" + name].set_data(mx.nd.array(value))
    y = np.einsum("oc,nchw->nohw", weight[:, :, 0, 0], x)
    groups = y.reshape(2, 3, -1)  # (N, 6, h, w) -> (N, 3, 2 h w)
    groups = (groups - groups.mean(2, keepdims=True)) / np.sqrt(groups.var(2, keepdims=True) + 1e-5)
    y = groups.reshape(y.shape) * gamma[:, None, None] + beta[:, None, None]
    np.testing.assert_allclose(branch(mx.nd.array(x)).asnumpy(), np.maximum(y, 0), atol=1e-5)
    large = np.array([[cv2.resize(plane, (8, 6), interpolation=cv2.INTER_LINEAR) for plane in one] for one in y])
    found = branch(mx.nd.array(x), mx.nd.zeros((1, 1, 6, 8))).asnumpy()
    np.testing.assert_allclose(found, np.maximum(large, 0), atol=1e-5)


@pytest.mark.parametrize("size, like", [
    ((8, 6), (32, 24)), ((5, 7), (17, 28)), ((9, 4), (5, 4)), ((1, 3), (4, 3)), ((2, 1), (2, 1)),
])
@pytest.mark.parametrize("hybrid", [False, True])
def test_enlarging_is_the_operators_with_its_gradient(size, like, hybrid):
    class Enlarge(mx.gluon.HybridBlock):
        def hybrid_forward(self, F, x, like):
            return enlarge(F, x, like)

    rng, results = np.random.default_rng(0), []
    x, into = rng.normal(size=(2, 3, *size)), mx.nd.array(rng.normal(size=(2, 3, *like)), dtype="float64")
    block, wanted = Enlarge(), mx.nd.zeros((2, 1, *like), dtype="float64")  # MXNet's operator asks for the same N
    block.hybridize(hybrid)
    for resize in (block, lambda *two: mx.nd.contrib.BilinearResize2D(*two, mode="like", align_corners=False)):
        data = mx.nd.array(x, dtype="float64")
        data.attach_grad()
        with mx.autograd.record():
            large = resize(data, wanted)
        large.backward(into)
        results.append((large.asnumpy(), data.grad.asnumpy()))
    exact = all(side % part == 0 and (side // part) & (side // part - 1) == 0 for side, part in zip(like, size))
    for found, expected in zip(*results):  # the operator finds places in single precision: exact for powers of two
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14 if exact else 2e-6)


def test_only_the_branches_are_trained_and_each_for_itself():
    names, gradients, saved = {}, {}, {}
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (2, 3, 64, 64)).astype(np.uint8)
    labels = rng.choice([0, 3, 255], (2, 4, 4)).repeat(4, 1).repeat(4, 2)
    for displacement in (True, False):
        settings = BoundaryTraining.preset("animals", displacement=displacement, crop=64, radius=4)
        objective = BoundaryObjective(settings, [mx.cpu()])
        objective.net(mx.nd.zeros((1, 3, 64, 64)))
        for name, parameter in objective.net.collect_params().items():  # the same parameters both times
            parameter.set_data(saved.setdefault(name, parameter.data()))
        with mx.autograd.record():
            total = sum(objective((images, labels), mx.cpu()).values())
        total.backward()
        trained = {n: p for n, p in objective.net.collect_params().items() if p.grad_req != "null"}
        names[displacement] = set(trained)
        gradients[displacement] = {n: p.grad().asnumpy() for n, p in trained.items() if n.startswith("boundary")}
    assert {name.split("_")[0].rstrip("0123456789") for name in names[True]} == {"boundary", "displace"}
    assert {name.split("_")[0].rstrip("0123456789") for name in names[False]} == {"boundary"}
    assert all(np.abs(value).max() > 0 for value in gradients[True].values())
    for name, value in gradients[True].items():
        np.testing.assert_allclose(gradients[False][name], value, rtol=1e-4, atol=1e-7)


def test_the_displacement_branch_learns_faster():
    names = list(network().collect_params())
    assert {name for name in names if name.startswith(FAST)} == {name for name in names if name.startswith("displace")}


def test_boundary_map_is_the_mirrored_images_mirrored():
    net = network(displacement=False)
    image = np.random.default_rng(1).integers(0, 255, (45, 70, 3)).astype(np.uint8)
    found = boundary_map(net, image, 80)
    assert found.shape == (12, 18) and found.dtype == np.float32 and 0 < found.min() < found.max() < 1
    # without padding the map of the mirror is the mirror of the map: both views take part alike
    image = np.random.default_rng(1).integers(0, 255, (48, 64, 3)).astype(np.uint8)
    found, mirrored = boundary_map(net, image, 16), boundary_map(net, image[:, ::-1], 16)
    np.testing.assert_allclose(found, mirrored[:, ::-1], atol=1e-6)
    x = mx.nd.array(image.transpose(2, 0, 1)[None].astype(np.float32))
    np.testing.assert_allclose(boundary_map(net, image, 16, flip=False), net(x).sigmoid().asnumpy()[0, 0], atol=1e-6)


def test_padding_has_the_mean_colour():
    net = network(displacement=False)
    image = np.random.default_rng(2).integers(0, 255, (32, 32, 3)).astype(np.uint8)
    framed = np.tile(net.backbone.bn_data.moving_mean.data().asnumpy(), (64, 64, 1)).astype(np.float32)
    framed[:32, :32] = image
    expected = net(mx.nd.array(framed.transpose(2, 0, 1)[None])).sigmoid().asnumpy()[0, 0, :8, :8]
    np.testing.assert_allclose(boundary_map(net, image, 64, flip=False), expected, atol=1e-6)


def test_checkpoints(tmp_path):
    net = network("resnet10", displacement=True)
    net(mx.nd.zeros((1, 3, 32, 32)))
    path = tmp_path / "irn_resnet10-0000.params"
    save_checkpoint(path, named_arrays(net))
    image = np.random.default_rng(0).integers(0, 255, (32, 48, 3)).astype(np.uint8)
    loaded = load_boundary_network(path, "resnet10")
    np.testing.assert_array_equal(boundary_map(loaded, image, 32), boundary_map(net, image, 32))
    with pytest.raises(FileNotFoundError, match=r"settings.json: no settings of a run, expected beside the checkpoint"):
        load_boundary_network(path)
    with pytest.raises(ValueError, match="does not fit the network"):
        load_boundary_network(path, "squeezenet1.1")
    save_checkpoint(path, {"arg:fc1_weight": mx.nd.zeros((1, 2))})
    with pytest.raises(ValueError, match="not a checkpoint of `cian train_irn`"):
        load_boundary_network(path, "resnet10")


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="backbone: 'vgg16', expected one of squeezenet1.1, resnet10"):
        IRN("vgg16")
    with pytest.raises(ValueError, match="crop: 64, expected at least 76 pixels for radius 10"):
        BoundaryObjective(BoundaryTraining.preset("animals", crop=64), [mx.cpu()])


def set_random(net):
    """Give every parameter but bn_data's numbers that depend on its name's place and its shape alone."""
    rng, parameters = np.random.RandomState(0), net.collect_params()
    for name in sorted(name for name in parameters if not name.startswith("bn_data")):
        shape = parameters[name].shape
        if name.endswith("_weight"):
            value = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        elif name.endswith(("_gamma", "_moving_var")):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = rng.standard_normal(shape) * 0.2
        parameters[name].set_data(mx.nd.array(value))


def test_the_published_network_gives_the_same():
    """Some of its results (github jiwoon-ahn/irn, run with PyTorch 2.13) for the same parameters and the same image."""
    net = network("resnet50v1b")
    image = mx.nd.array(np.random.RandomState(1).randint(0, 256, (1, 3, 64, 96)))
    net(image)
    set_random(net)
    boundary, field = (result.asnumpy()[0] for result in net(image))
    published = [
        [-0.3956475, -0.9658899, -0.9146039],
        [-1.6103551, -1.2503077, -0.8541599],
        [-0.9992365, -2.3265352, -0.7463921],
        [-1.2765312, -1.1234810, -1.5851723],
    ]
    np.testing.assert_allclose(boundary[0, ::5, ::8], published, atol=2e-5)
    published = [[[0.0107364, -0.4668228], [-0.6876629, 0.6063641]], [[-0.9321767, -0.6203688], [-0.9012209, -0.0752271]]]
    np.testing.assert_allclose(field[:, ::8, ::12], published, atol=2e-5)


@pytest.mark.parametrize("preset", ["voc12", "animals", "scenes"])
def test_every_preset_makes_a_training(preset):
    settings = BoundaryTraining.preset(preset)
    objective = BoundaryObjective(settings, [mx.cpu()])
    assert settings.crop % 16 == 0 and len(objective.loss.terms) == (5 if settings.displacement else 3)


def test_published_training_settings():
    s = BoundaryTraining.preset("voc12")
    assert (s.radius, s.confident_foreground, s.confident_background, s.crop, s.train_scales) == (
        10,
        0.3,
        0.05,
        512,
        (0.5, 1.5),
    )
    assert (s.batch, s.epochs, s.lr, s.fast_lr_mult, s.momentum, s.weight_decay) == (32, 3, 0.1, 10, 0, 1e-4)
    assert (s.schedule, s.power, s.displacement, s.backbone) == ("iteration", 0.9, True, "resnet50v1b")


def test_random_spans():
    rng = np.random.default_rng(0)
    assert {str(random_span(5, 3, rng)) for _ in range(50)} == {
        f"(slice({a}, {a + 3}, None), slice(0, 3, None))" for a in (0, 1, 2)
    }
    assert {str(random_span(3, 5, rng)) for _ in range(50)} == {
        f"(slice(0, 3, None), slice({a}, {a + 3}, None))" for a in (0, 1, 2)
    }

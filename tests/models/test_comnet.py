"""COMNet's classifier: its network against its parts, its symbol, its loss and its settings."""

import numpy as np
import pytest
from small_comnet import network

from cian.base.runtime import mx
from cian.config import Matching
from cian.export.export import trace
from cian.models.cam import CAM
from cian.models.checkpoint import named_arrays, save_checkpoint
from cian.models.comnet import COMNet
from cian.seeds.activation import activation_maps
from cian.training.engine import learning_rate, make_trainer
from cian.training.objectives import MatchingObjective

nd = mx.nd


def groups(count, size, side=41, seed=3):
    return nd.array(np.random.RandomState(seed).randint(0, 256, (count, size, 3, side, side)))


def test_without_matching_it_is_the_plain_classifier():
    net, plain = network("none"), CAM("resnet10", 3)
    plain.initialize()
    assert set(plain.collect_params()) == set(net.collect_params())
    for name, parameter in net.collect_params().items():
        plain.collect_params()[name].set_data(parameter.data())
    x = groups(2, 3)
    expected = plain(x.reshape((-3, -2))).asnumpy().reshape(2, 3, 3)
    np.testing.assert_allclose(net(x).asnumpy(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net.maps(x[0]).asnumpy(), plain.maps(x[0]).asnumpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [2, 3])
def test_the_network_is_the_sequence_of_its_parts(size):
    net, x = network(alpha=1.7, k=5), groups(2, size)
    features = net.backbone(x.reshape((-3, -2)))
    scores = net.classifier(features).asnumpy()
    features = features.asnumpy().reshape((2, size) + features.shape[1:])
    shape = (2, size, 1) + features.shape[3:]
    masks = net.inter(nd.array(features), nd.array(scores.max(axis=1).reshape(shape))).asnumpy()
    enhanced = nd.array(np.where(masks > 0, 1.7 * features, features).reshape((-1,) + features.shape[2:]))
    maps = net.classifier(net.intra(enhanced)).asnumpy()
    expected = maps.mean(axis=(2, 3)).reshape(2, size, 3)
    for hybrid in (False, True):
        net.hybridize(hybrid)
        np.testing.assert_allclose(net(x).asnumpy(), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(net.maps(x[1]).asnumpy(), maps[size:], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(net.masks(x[1]).asnumpy(), masks[1, :, 0], atol=1e-5)
    found, grid = net.matched_points(x[1])
    assert grid == features.shape[3:] == (6, 6)
    wanted = net.intra.nearest(nd, enhanced)[size:].asnumpy()
    assert (found.asnumpy() == wanted).mean() > 0.99  # of a batch of another size: rounding may decide between two points


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("matching", ["inter", "intra", "both"])
def test_hybridized_gradients_with_the_80_classes_of_coco(matching, residual):
    """A multiple of 8 channels: oneDNN then keeps the gradient of the maps' convolution in a layout of its own."""
    net, x = network(matching, classes=80, residual=residual), groups(2, 2, side=65)
    gradients = []
    for hybrid in (False, True):
        net.hybridize(hybrid)
        with mx.autograd.record():
            loss = (net(x) ** 2).sum()
        loss.backward()
        gradients.append({name: p.grad().asnumpy() for name, p in net.collect_params().items() if p.grad_req != "null"})
    for name, expected in gradients[0].items():
        np.testing.assert_allclose(gradients[1][name], expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max(), err_msg=name)


@pytest.mark.parametrize("padding", ["matched", "ignored"])
def test_its_symbol_runs_without_this_code(padding, tmp_path):
    net, x = network(padding=padding), groups(2, 2)
    path = tmp_path / "comnet-symbol.json"
    path.write_text(trace(net, ["logits"]))
    save_checkpoint(tmp_path / "comnet-0000.params", named_arrays(net))
    block = mx.gluon.SymbolBlock.imports(str(path), ["data"], str(tmp_path / "comnet-0000.params"))
    for one in (x, groups(1, 3, side=57)):  # the graph takes groups and images of any size
        np.testing.assert_allclose(block(one).asnumpy(), net(one).asnumpy(), rtol=1e-4, atol=1e-5)


def test_a_group_changes_its_members_only_through_inter_matching():
    x = groups(1, 2)
    other = nd.concat(x[:, :1], groups(1, 1, seed=9), dim=1)
    for matching, changes in (("none", False), ("intra", False), ("inter", True), ("both", True)):
        net = network(matching)
        assert (np.abs((net(x) - net(other)).asnumpy()[0, 0]).max() > 1e-6) == changes, matching


def test_padding_can_be_left_out_of_the_masks():
    x = groups(1, 2, side=49).asnumpy()
    mean = network().backbone.bn_data.moving_mean.data().asnumpy()
    x[0, 0, :, 26:], x[0, 1, :, :, :13] = mean[:, None, None], mean[:, None, None]
    for hybrid in (False, True):
        net = network("inter", padding="ignored")
        net.hybridize(hybrid)
        mask = net.masks(nd.array(x[0])).asnumpy()
        empty = np.zeros((2, 7, 7), bool)
        empty[0, 4:], empty[1, :, :2] = True, True  # features lie at every eighth pixel
        assert np.array_equal(mask == 0, empty)
        assert np.abs(network("inter").masks(nd.array(x[0])).asnumpy()[empty]).min() > 0
        with mx.autograd.record():
            net(nd.array(x)).sum().backward()
        assert np.isfinite(net.classifier.weight.grad().asnumpy()).all()
    with pytest.raises(ValueError, match="padding: 'cut', expected one of matched, ignored"):
        network(padding="cut")


def test_what_a_network_lacks_is_named():
    with pytest.raises(ValueError, match="matching: 'all', expected one of none, inter, intra, both"):
        COMNet("resnet10", 3, "all")
    with pytest.raises(ValueError, match="no inter-matching, hence no masks"):
        network("intra").masks(groups(1, 2)[0])
    with pytest.raises(ValueError, match="no intra-matching, hence no matched points"):
        network("inter").matched_points(groups(1, 2)[0])


@pytest.mark.parametrize("size", [(1, 1), (3, 40)])
def test_tiny_images_have_activation_maps(size):
    net = network(k=8)
    image = np.random.RandomState(0).randint(0, 256, size + (3,)).astype(np.uint8)
    maps, scores = activation_maps(net, image, (1, 3), (0.5, 1.0))
    assert maps.shape == (2, 1, (size[1] + 7) // 8) and np.isfinite(scores).all() and net.least_side == 17


def test_activation_maps_take_image_and_mirror_as_the_pair():
    net = network()
    image = np.random.RandomState(5).randint(0, 256, (33, 49, 3)).astype(np.uint8)
    pair = nd.array(np.stack([image, image[:, ::-1]]).transpose(0, 3, 1, 2))
    maps = net.maps(pair).asnumpy()
    summed = np.maximum(maps[0], 0) + np.maximum(maps[1], 0)[:, :, ::-1]
    found, scores = activation_maps(net, image, (2,), (1.0,))
    np.testing.assert_allclose(found[0], summed[1] / max(summed[1].max(), 1e-5), atol=1e-5)
    np.testing.assert_allclose(scores, net(pair.expand_dims(0)).asnumpy()[0].mean(axis=0), atol=1e-5)


def test_the_loss_is_the_multi_label_soft_margin_loss():
    settings = Matching.preset("scenes", matching="inter")
    objective = MatchingObjective(settings, 4, [mx.cpu()])
    x, tags = groups(2, 2).asnumpy(), np.random.RandomState(1).randint(0, 2, (2, 2, 4))
    logits = objective.net(nd.array(x)).asnumpy()
    sigmoid = 1 / (1 + np.exp(-logits.astype(np.float64)))
    expected = -np.mean(tags * np.log(sigmoid) + (1 - tags) * np.log(1 - sigmoid))
    assert float(objective((x, tags), mx.cpu())["tags"].asscalar()) == pytest.approx(expected, rel=1e-5)


def test_published_settings():
    s = Matching.preset("voc12")
    assert (s.backbone, s.lr, s.fast_lr_mult, s.momentum, s.weight_decay, s.batch, s.epochs) == (
        "resnet50v1b", 0.1, 10, 0, 1e-4, 16, 5)  # fmt: skip
    assert (s.long_side, s.crop, s.group_size, s.alpha, s.k, s.distance, s.side) == ((320, 640), 512, 2, 1.5, 8, "l2", "cam")
    assert learning_rate(s, 2, 0.5) == pytest.approx(0.1 * (1 - 2.5 / 5) ** 0.9)
    net = MatchingObjective(s, 20, [mx.cpu()]).net
    make_trainer(net, s, "local")
    trained = {name: p for name, p in net.collect_params().items() if p.grad_req != "null"}
    assert not [name for name in trained if name.startswith(("bn_data", "conv0", "bn0", "stage1", "stage2"))]
    assert {name for name, p in trained.items() if p.lr_mult == 10} == {"classifier_weight"}
    assert {"stage3_unit1_sc_weight", "stage3_unit1_sc_bn_gamma", "stage4_unit3_bn3_beta"} < set(trained)
    assert len(trained) == 3 + 3 * (6 * 3 + 3 * 3) + 2 * 3  # weights, gammas and betas of 9 units and 2 projections
    start = {name: trained[f"conv_match_{name}"].data().asnumpy() for name in ("weight", "bias")}  # as PyTorch starts a Conv2d
    for values in start.values():
        assert 0.97 < np.abs(values).max() * 2048**0.5 <= 1 and values.std() == pytest.approx((3 * 2048) ** -0.5, rel=0.05)


def test_groups_come_with_inter_matching_unless_said():
    of = {m: Matching.preset("voc12", matching=m, group_size=3) for m in ("none", "inter", "intra", "both")}
    together = {matching: settings.images_together for matching, settings in of.items()}
    assert together == {"none": 1, "inter": 3, "intra": 1, "both": 3}
    assert Matching.preset("voc12", matching="none", grouping="common").images_together == 2
    assert Matching.preset("voc12", matching="inter", grouping="random").images_together == 2


@pytest.mark.parametrize("preset", ["animals", "scenes"])
def test_crops_show_as_much_of_an_image_as_the_published_ones(preset):
    published, small = Matching.preset("voc12"), Matching.preset(preset)
    for one, other in zip(published.long_side, small.long_side):
        assert other / small.crop == pytest.approx(one / published.crop, abs=0.01)

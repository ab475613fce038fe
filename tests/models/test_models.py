"""Networks: sizes, the affinity against a slow NumPy oracle, groups against single images."""

import numpy as np
import pytest

from cian.base.runtime import mx
from cian.models.affinity import Affinity
from cian.models.cam import CAM
from cian.models.cian import BACKBONES, CIAN, GroupCIAN, backbone
from cian.models.multi_scale import MultiScale


def random_images(*shape):
    return mx.nd.array(np.random.RandomState(0).uniform(0, 255, shape))


def initialised(net):
    mx.random.seed(0)
    net.initialize(mx.init.Xavier())
    for name, p in net.collect_params().items():
        if name in ("conv_embed_q_weight", "conv_embed_k_weight", "conv_embed_v_weight", "conv_out_weight"):
            p.set_data(mx.nd.random.normal(0, 0.3, p.shape))
    return net


@pytest.mark.parametrize("name", sorted(set(BACKBONES) - {"resnet101", "resnet101v1b"}))
@pytest.mark.parametrize("size", [65, 100])
def test_stride_eight(name, size):
    net = initialised(backbone(name))
    assert net(random_images(1, 3, size, size)).shape == (1, net.channels, (size - 1) // 8 + 1, (size - 1) // 8 + 1)


def test_unknown_choices_are_named():
    with pytest.raises(ValueError, match="backbone: 'alexnet', expected one of resnet10, resnet18"):
        backbone("alexnet")
    with pytest.raises(ValueError, match="similarity: 'l2'"):
        Affinity(8, "l2")
    net = CIAN("squeezenet1.1", 3)
    with pytest.raises(ValueError, match="merge: 'sum'"):
        GroupCIAN(net, merge="sum")
    with pytest.raises(ValueError, match="group_size: 1, expected 2 or more"):
        GroupCIAN(net, 1)
    with pytest.raises(ValueError, match="without affinity"):
        GroupCIAN(CIAN("squeezenet1.1", 3, affinity=False))


def slow_message(block, query_map, reference_map, cosine):
    """Eq. 1-3 pixel by pixel in NumPy, from one image's features (C, h, w) and its reference's."""

    def embed(conv, x, pool=False):
        weight = conv.weight.data().asnumpy()[:, :, 0, 0]
        y = np.einsum("dc,chw->dhw", weight, x)
        if pool:
            side = (y.shape[1] - 1) // 2 + 1
            padded = np.pad(y, ((0, 0), (1, 2), (1, 2)), constant_values=-np.inf)
            y = np.stack(
                [
                    [padded[:, 2 * r : 2 * r + 3, 2 * c : 2 * c + 3].max(axis=(1, 2)) for c in range(side)]
                    for r in range(side)
                ]
            )
            y = y.transpose(2, 0, 1)
        return y.reshape(len(y), -1)

    q, k, v = (
        embed(block.query, query_map),
        embed(block.key, reference_map, True),
        embed(block.value, reference_map, True),
    )
    if cosine:
        q, k = q / np.linalg.norm(q, axis=0), k / np.linalg.norm(k, axis=0)
    message = np.zeros_like(q)
    for i in range(q.shape[1]):
        affinity = np.exp(q[:, i] @ k - (q[:, i] @ k).max())
        message[:, i] = v @ (affinity / affinity.sum())
    return message


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("merge, with_self", [("max", True), ("max", False), ("avg", True), ("avg", False)])
@pytest.mark.parametrize("group", [2, 3])
def test_messages_equal_the_slow_oracle(similarity, merge, with_self, group):
    block = initialised(Affinity(6, similarity))
    features = np.random.RandomState(1).standard_normal((2, group, 6, 5, 5)).astype("float32")
    own, cross = block.group_messages(mx.nd, mx.nd.array(features.reshape(-1, 6, 5, 5)), group, merge, with_self)
    own, cross = (m.asnumpy().reshape(2, group, 3, 25) for m in (own, cross))
    for p, g in np.ndindex(2, group):
        messages = [slow_message(block, features[p, g], features[p, r], similarity == "cosine") for r in range(group)]
        np.testing.assert_allclose(own[p, g], messages[g], rtol=1e-4, atol=1e-4)
        merged = [m for r, m in enumerate(messages) if with_self or r != g]
        wanted = np.max(merged, axis=0) if merge == "max" else np.mean(merged, axis=0)
        np.testing.assert_allclose(cross[p, g], wanted, rtol=1e-4, atol=1e-4)


def test_group_network_shares_every_parameter_and_its_self_logits_are_the_single_network():
    net = initialised(CIAN("squeezenet1.1", 4))
    group = GroupCIAN(net, 2)
    assert set(group.collect_params()) == set(net.collect_params())
    group.hybridize()
    net.hybridize()
    x = random_images(2, 2, 3, 65, 65)
    own, cross = group(x)
    assert own.shape == cross.shape == (2, 2, 4, 9, 9)
    single = net(x.reshape((-3, -2)))
    np.testing.assert_allclose(own.asnumpy().reshape(4, 4, 9, 9), single.asnumpy(), atol=1e-4)
    assert np.abs(own.asnumpy() - cross.asnumpy()).max() > 1e-4


def test_bn_data_gamma_is_not_overwritten():
    net = initialised(backbone("resnet18"))
    gamma = net.collect_params()["bn_data_gamma"]
    gamma.set_data(mx.nd.array([0.5, 0.6, 0.7]))
    net.hybridize()
    with mx.autograd.record():
        net(random_images(1, 3, 33, 33)).sum().backward()
    mx.nd.waitall()
    np.testing.assert_allclose(gamma.data().asnumpy(), [0.5, 0.6, 0.7], rtol=1e-6)


def test_classifier_scores_are_the_mean_of_its_maps():
    net = initialised(CAM("squeezenet1.1", 7))
    x = random_images(2, 3, 65, 65)
    np.testing.assert_allclose(net(x).asnumpy(), net.maps(x).asnumpy().mean(axis=(2, 3)), atol=1e-5)


def test_multi_scale_is_the_mean_of_scales_maximum_and_mirror():
    net = initialised(CIAN("squeezenet1.1", 3))
    x = random_images(1, 3, 65, 65)

    def merged(image):
        maps = [net(image).asnumpy()]
        small = net(mx.nd.contrib.BilinearResize2D(image, height=33, width=33))  # int((65 - 1) 0.5) + 1
        maps.append(mx.nd.contrib.BilinearResize2D(small, height=9, width=9).asnumpy())
        return (maps[0] + maps[1] + np.maximum(*maps)) / 3

    wanted = (merged(x) + merged(x[:, :, :, ::-1])[:, :, :, ::-1]) / 2
    block = MultiScale(net, (65, 65), (0.5, 1.0))
    block.hybridize()
    np.testing.assert_allclose(block(x).asnumpy(), wanted, atol=1e-4)
    with pytest.raises(ValueError, match="scales: .*expected 1 among them"):
        MultiScale(net, (65, 65), (0.5,))

"""The affinity opened up: every intermediate value against Eq. 1-5 written out in NumPy, and against the networks."""

import numpy as np
import pytest

from cian.base.runtime import mx
from cian.figures.affinity_probe import AffinityProbe, observe, pooled
from cian.models.affinity import Affinity
from cian.models.cian import CIAN, GroupCIAN
from cian.models.layers import conv

CHANNELS, CLASSES = 6, 3


class SmallNet(mx.gluon.HybridBlock):
    """A stand-in for CIAN with a backbone of one convolution of stride 8."""

    def __init__(self, similarity="dot"):
        super().__init__(prefix="")
        self.backbone = mx.gluon.nn.Conv2D(CHANNELS, 1, strides=8, in_channels=3, prefix="conv0_")
        self.affinity = Affinity(CHANNELS, similarity)
        self.fc1 = conv("fc1", CLASSES, CHANNELS, 3, dilation=12)


def filled(net, scale=0.4):
    """Random parameters everywhere, running statistics too."""
    net.initialize()
    random = np.random.RandomState(0)
    for name, parameter in sorted(net.collect_params().items()):
        values = random.normal(0, scale, parameter.shape)
        parameter.set_data(mx.nd.array(np.abs(values) + 0.1 if name.endswith("_var") else values))
    return net


def parameter(net, name):
    return net.collect_params()[name].data().asnumpy().astype(np.float64)


def one_by_one(net, name, x):
    return np.einsum("dc,chw->dhw", parameter(net, f"{name}_weight")[:, :, 0, 0], x)


def max_pooled(x):
    """3x3, stride 2, one pixel of padding: (D, h, w) -> (D, p, q)."""
    result = np.zeros((len(x),) + pooled(x.shape[1:]))
    for _, r, c in np.ndindex(result.shape):
        window = x[:, max(2 * r - 1, 0) : 2 * r + 2, max(2 * c - 1, 0) : 2 * c + 2]
        result[:, r, c] = window.max(axis=(1, 2))
    return result


def affinity_of(net, x, reference, cosine):
    """Normalised affinity (h, w, p, q) and message (D, h, w) of Eq. 1-3, pixel by pixel."""
    query = one_by_one(net, "conv_embed_q", x)
    key, value = (max_pooled(one_by_one(net, f"conv_embed_{name}", reference)) for name in "kv")
    weights, message = np.zeros(x.shape[1:] + key.shape[1:]), np.zeros_like(query)
    for r, c in np.ndindex(x.shape[1:]):
        scores = np.zeros(key.shape[1:])
        for place in np.ndindex(scores.shape):
            one, other = query[:, r, c], key[(slice(None),) + place]
            scores[place] = one @ other / (np.linalg.norm(one) * np.linalg.norm(other) if cosine else 1)
        powers = np.exp(scores)  # Eq. 1
        weights[r, c] = powers / powers.sum()
        message[:, r, c] = (weights[r, c] * value).sum(axis=(1, 2))  # Eq. 2, 3
    return weights, message


def residual_of(net, message):
    """phi_o of Eq. 4: a 1x1 convolution, then batch normalisation on running statistics."""
    y = one_by_one(net, "conv_out", message)
    gamma, beta, mean, variance = (
        parameter(net, f"bn_out_{name}")[:, None, None] for name in ("gamma", "beta", "moving_mean", "moving_var")
    )
    return (y - mean) / np.sqrt(variance + 1e-5) * gamma + beta


def classified(net, x):
    """fc1: 3x3, dilation 12."""
    weight, padded = parameter(net, "fc1_weight"), np.pad(x, ((0, 0), (12, 12), (12, 12)))
    height, width = x.shape[1:]
    return sum(
        np.einsum("kc,chw->khw", weight[:, :, r, c], padded[:, 12 * r : 12 * r + height, 12 * c : 12 * c + width])
        for r, c in np.ndindex(3, 3)
    )


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("merge, with_self", [("max", True), ("avg", True), ("max", False)])
@pytest.mark.parametrize("hybrid", [False, True])
def test_every_value_equals_the_equations(similarity, merge, with_self, hybrid):
    net = filled(SmallNet(similarity))
    probe = AffinityProbe(net, merge, with_self)
    if hybrid:
        probe.hybridize()
    random = np.random.RandomState(1)
    x, reference = random.standard_normal((CHANNELS, 4, 5)), random.standard_normal((CHANNELS, 6, 3))
    found = [y.asnumpy()[0] for y in probe(mx.nd.array(x[None]), mx.nd.array(reference[None]))]
    own, own_message = affinity_of(net, x, x, similarity == "cosine")
    cross, cross_message = affinity_of(net, x, reference, similarity == "cosine")
    assert own.shape == (4, 5, 2, 3) and cross.shape == (4, 5, 3, 2)
    if with_self:  # Eq. 5
        both = np.stack([own_message, cross_message])
        cross_message = both.max(axis=0) if merge == "max" else both.mean(axis=0)
    residuals = [residual_of(net, message) for message in (own_message, cross_message)]
    wanted = [own.reshape(20, 6), cross.reshape(20, 6)] + residuals
    wanted += [classified(net, x)] + [classified(net, x + residual) for residual in residuals]
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("merge, with_self", [("max", True), ("avg", True), ("avg", False)])
def test_logits_are_those_of_testing_and_of_training_in_pairs(merge, with_self):
    mx.random.seed(0)
    net = CIAN("squeezenet1.1", 4)
    net.initialize(mx.init.Xavier())
    for name in ("conv_embed_q_weight", "conv_embed_k_weight", "conv_embed_v_weight", "conv_out_weight", "fc1_weight"):
        weight = net.collect_params()[name]
        weight.set_data(mx.nd.random.normal(0, 3, weight.shape))
    images = np.random.RandomState(0).randint(0, 256, (2, 57, 73, 3)).astype(np.uint8)
    images[0] //= 3
    probe = AffinityProbe(net, merge, with_self)
    assert set(probe.collect_params()) == set(net.affinity.collect_params()) | {"fc1_weight"}
    pair = mx.nd.array(images.transpose(0, 3, 1, 2)[None])
    own, cross = (y.asnumpy()[0] for y in GroupCIAN(net, 2, merge, with_self)(pair))
    single = net(pair[0]).asnumpy()
    size = np.abs(own).max()
    assert np.abs(own - cross).max() > 0.01 * size
    for number, maps in enumerate(observe(probe, net.backbone, list(images))):
        assert 0.01 < maps.cross[0, 0].max() < 0.9  # neither even nor on a single key
        np.testing.assert_allclose(maps.self_logits, own[number], atol=1e-4 * size)
        np.testing.assert_allclose(maps.self_logits, single[number], atol=1e-4 * size)
        np.testing.assert_allclose(maps.cross_logits, cross[number], atol=1e-4 * size)


def test_observing_looks_both_ways_at_images_of_any_size():
    net = filled(SmallNet())
    net.backbone.weight.set_data(net.backbone.weight.data() / 255)
    random = np.random.RandomState(0)
    images = [random.randint(0, 256, shape).astype(np.uint8) for shape in ((9, 30, 3), (26, 17, 3))]
    there, back = observe(AffinityProbe(net), net.backbone, images)
    assert there.features.shape == (CHANNELS, 2, 5) and back.features.shape == (CHANNELS, 5, 3)  # 30 -> 33, 26 -> 33
    assert there.cross.shape == (2, 5, 3, 2) and there.own.shape == (2, 5, 1, 3)
    assert back.cross.shape == (5, 3, 1, 3) and back.own.shape == (5, 3, 3, 2)
    for maps in (there, back):
        np.testing.assert_allclose(maps.cross.sum(axis=(2, 3)), 1, rtol=1e-5)
        np.testing.assert_allclose(maps.own.sum(axis=(2, 3)), 1, rtol=1e-5)
    padded = np.pad(images[0], ((0, 0), (0, 3), (0, 0)))
    weights, _ = affinity_of(net, there.features.astype(np.float64), back.features.astype(np.float64), False)
    np.testing.assert_allclose(there.cross, weights, rtol=1e-3, atol=1e-6)
    alone = net.backbone(mx.nd.array(padded.transpose(2, 0, 1)[None].astype(np.float32)))
    np.testing.assert_allclose(there.features, alone[0].asnumpy(), rtol=1e-5)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="net: a network without affinity"):
        AffinityProbe(CIAN("squeezenet1.1", 3, affinity=False))
    with pytest.raises(ValueError, match="merge: 'sum', expected one of max, avg"):
        AffinityProbe(SmallNet(), "sum")

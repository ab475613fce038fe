"""COMNet's inter-matching against slow oracles: the derivation of its objective, the eigenvector, signs, gradients."""

import itertools

import numpy as np
import pytest

from cian.base.runtime import mx
from cian.data.groups import common_class_groups
from cian.data.images import read_image
from cian.data.transforms import random_crop
from cian.data.voc import open_dataset
from cian.models.comnet import COMNet
from cian.models.matching import InterMatching, apply_affinity, enhance, leading_eigenvector
from cian.models.pretrained import load_pretrained

nd = mx.nd


def unit_points(seed, shape, positive=False):
    """Random points (P, C, n) float32 of unit norm, after a ReLU if positive."""
    points = np.random.RandomState(seed).randn(*shape)
    points = np.maximum(points, 0) if positive else points
    return (points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def affinity(points):
    """D = X'X - 11' (Eq. 4) of points (C, n), float64."""
    return points.astype(np.float64).T @ points - 1


def cosines(points, found):
    """|cos| between found rows (P, 1, n) and numpy's eigenvector of the largest eigenvalue, for each problem."""
    return [abs(np.linalg.eigh(affinity(x))[1][:, -1] @ v[0]) / np.linalg.norm(v[0]) for x, v in zip(points, found)]


def test_eq_1_equals_eq_4_up_to_the_constant_for_every_binary_mask():
    n = 10
    points = unit_points(0, (1, 4, n))
    x = points[0].astype(np.float64)
    distances = ((x[:, :, None] - x[:, None, :]) ** 2).sum(axis=0)  # D of Eq. 1
    foreground = np.array(list(itertools.product((False, True), repeat=n)))  # (2^n, n)
    alike = foreground[:, :, None] == foreground[:, None, :]
    eq_1 = np.where(alike, distances, -distances).sum(axis=(1, 2))
    masks = np.where(foreground, 1, -1)[None] / np.sqrt(n)  # Eq. 2, (1, 2^n, n)
    eq_4 = -(apply_affinity(nd, nd.array(masks), nd.array(points)).asnumpy() * masks)[0].sum(axis=1)  # -M' D M
    assert -eq_4.min() <= np.linalg.eigvalsh(affinity(x))[-1] + 1e-5  # the relaxation is a bound
    # Eq. 3: L = n M'DM with D = 2 - 2 X'X = -2 (X'X - 11'), so L = 2 n (-M' D^ M): a factor, and no other term
    np.testing.assert_allclose(eq_1, 2 * n * eq_4, atol=1e-3)
    assert np.ptp(eq_1) > 10 and eq_4[np.argmin(eq_1)] == pytest.approx(eq_4.min(), abs=1e-5)


@pytest.mark.parametrize("group", [2, 3, 4, 5])
@pytest.mark.parametrize("positive", [False, True])
def test_leading_eigenvector_of_random_features(group, positive):
    points = unit_points(group, (3, 24, group * 64), positive)
    found = leading_eigenvector(nd, nd.array(points)).asnumpy()
    assert min(cosines(points, found)) > 0.999
    np.testing.assert_allclose(np.linalg.norm(found, axis=2), 1, atol=1e-4)
    for x, v in zip(points, found):
        values = np.linalg.eigvalsh(affinity(x))
        assert values[0] < -10 * values[-1] < 0  # the most negative one is what plain power iteration would find
        assert v[0] @ affinity(x) @ v[0] == pytest.approx(values[-1], rel=1e-3)


@pytest.mark.parametrize("channels, count", [(2, 5), (3, 12), (40, 6), (1, 2), (5, 32)])
def test_leading_eigenvector_of_problems_smaller_than_the_krylov_space(channels, count):
    points = unit_points(7, (2, channels, count))
    if channels == 1:
        points[:, 0] = [1, -1]
    assert min(cosines(points, leading_eigenvector(nd, nd.array(points)).asnumpy())) > 0.9999


def test_equal_points_have_no_mask_and_dead_points_do_no_harm():
    same = np.full((1, 4, 9), 0.5, np.float32)
    assert np.abs(leading_eigenvector(nd, nd.array(same)).asnumpy()).max() == 0
    dead = unit_points(3, (1, 6, 40), True)
    dead[:, :, 5:9] = 0  # as after a ReLU
    assert min(cosines(dead, leading_eigenvector(nd, nd.array(dead)).asnumpy())) > 0.999


def test_points_that_take_no_part_change_nothing_and_have_no_mask():
    points = unit_points(11, (2, 12, 60), True)
    counted = np.ones((2, 1, 60), np.float32)
    counted[0, 0, 5:30] = counted[1, 0, ::3] = 0
    found = leading_eigenvector(nd, nd.array(points * counted), counted=nd.array(counted)).asnumpy()
    assert not found[counted == 0].any()
    for x, v, part in zip(points, found, counted[:, 0] > 0):
        assert cosines([x[:, part]], [v[:, part]])[0] > 0.9999


@pytest.fixture(scope="module")
def real_features(shared):
    """Features (5, C, h, w) of five real images with a common class, by SqueezeNet with ImageNet weights."""
    dataset = open_dataset(shared / "data" / "VOC2012-animals")
    ids = dataset.read_ids("val")
    group = next(common_class_groups(ids, dataset.read_tags(ids), 5))
    net = COMNet("squeezenet1.1", 20, "inter")
    net.initialize()
    load_pretrained(net, shared / "pretrained" / "gluon_squeezenet1_1.params", "squeezenet1.1")
    images = [
        random_crop(read_image(dataset.image_path(name)), None, 113, np.random.default_rng(1), (0.5,))[0] for name in group
    ]
    return net.backbone(nd.array(np.stack(images).transpose(0, 3, 1, 2))).asnumpy()


@pytest.mark.parametrize("group", [2, 3, 4, 5])
def test_masks_of_real_features(real_features, group):
    features = real_features[:group]
    points = features.transpose(1, 0, 2, 3).reshape(features.shape[1], -1)  # (C, G h w)
    points = points / np.linalg.norm(points, axis=0)
    shape = (1, group, 1) + features.shape[2:]
    mask = InterMatching()(nd.array(features[None]), nd.ones(shape)).asnumpy()
    assert mask.shape == shape and points.shape[1] == group * 225
    assert min(cosines(points[None], mask.reshape(1, 1, -1))) > 0.9999


def two_kinds():
    """Features (1, 2, 3, 1, 4): in each image two points near the first axis, short, and two near the second, long."""
    kinds = np.array([[1, 0.1, 0], [1, 0, 0.1], [0, 5, 0.5], [0.5, 5, 0]], np.float32)
    return np.stack([kinds, kinds[::-1]]).transpose(0, 2, 1).reshape(1, 2, 3, 1, 4)


@pytest.mark.parametrize("side, strong, expected", [("cam", 0, 0), ("cam", 1, 1), ("norm", 0, 1), ("norm", 1, 1)])
def test_the_sign_follows_the_larger_mean_response(side, strong, expected):
    features = two_kinds()
    second = (features[:, :, 1:2] > 3).astype(np.float32)  # (1, 2, 1, 1, 4): points of the second kind
    responses = np.where(second == strong, 2.0, -1.0)
    both = [nd.array(np.concatenate([array, array[:, ::-1]])) for array in (features, responses)]  # P = 2
    mask = InterMatching(side)(*both).asnumpy()
    assert np.array_equal(mask[:1] > 0, second == expected)
    np.testing.assert_allclose(mask[1, ::-1], mask[0], atol=1e-5)
    assert (mask != 0).all() and (mask**2).sum(axis=(1, 2, 3, 4)) == pytest.approx(1, abs=1e-5)


def test_only_alpha_carries_a_gradient_and_hybridizing_changes_nothing():
    features, responses = nd.array(two_kinds()), nd.array(np.random.RandomState(1).rand(1, 2, 1, 1, 4))
    weights = nd.array(np.random.RandomState(2).randn(*features.shape))
    block, gradients = InterMatching(), []
    for hybrid in (False, True):
        block.hybridize(hybrid)
        for array in (features, responses):
            array.attach_grad()
        with mx.autograd.record():
            mask = block(features, responses)
            total = (enhance(nd, features, mask, 1.5) * weights).sum()
        total.backward()
        factor = np.where(mask.asnumpy() > 0, 1.5, 1.0)
        assert set(np.unique(factor)) == {1.0, 1.5} and not responses.grad.asnumpy().any()
        np.testing.assert_allclose(features.grad.asnumpy(), factor * weights.asnumpy(), rtol=1e-6)
        gradients.append(mask.asnumpy())
    np.testing.assert_allclose(*gradients, atol=1e-6)


def test_a_wrong_side_is_named():
    with pytest.raises(ValueError, match="side: 'left', expected one of cam, norm"):
        InterMatching("left")

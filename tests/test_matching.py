"""COMNet's matchings against slow oracles: the derivation of its objective, the eigenvector, signs, nearest points, maxima."""

import itertools

import numpy as np
import pytest

from cian.data.groups import common_class_groups
from cian.data.images import read_image
from cian.data.transforms import random_crop
from cian.data.voc import open_dataset
from cian.models.comnet import COMNet
from cian.models.matching import (
    InterMatching,
    IntraMatching,
    apply_affinity,
    enhance,
    largest_of,
    leading_eigenvector,
    nearest_points,
)
from cian.models.pretrained import load_pretrained
from cian.runtime import mx

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


def slow_nearest(points, k, distance):
    """Indices (n, k) for points (C, n), by sorting every pair."""
    chosen = []
    for i in range(points.shape[1]):
        scored = []
        for j in range(points.shape[1]):
            if j != i:
                apart = np.sum((points[:, i] - points[:, j]) ** 2) if distance == "l2" else -(points[:, i] @ points[:, j])
                scored.append((apart, j))
        chosen.append([j for _, j in sorted(scored)[:k]])
    return np.array(chosen)


@pytest.mark.parametrize("distance", ["l2", "dot"])
@pytest.mark.parametrize("k", [1, 4, 10, 11])
def test_nearest_points_against_sorting(distance, k):
    points = np.random.RandomState(k).randn(2, 5, 12).astype(np.float32) * np.linspace(0.5, 3, 12, dtype=np.float32)
    found = nearest_points(nd, nd.array(points), k, distance).asnumpy().astype(int)
    for one, chosen in zip(points, found):
        assert np.array_equal(chosen, slow_nearest(one.astype(np.float64), k, distance))


def test_a_point_is_never_its_own_match_even_among_equal_ones():
    points = np.zeros((1, 2, 9), np.float32)
    points[0, :, 7:] = 3
    for k in (1, 3, 8):
        found = nearest_points(nd, nd.array(points), k).asnumpy().astype(int)[0]
        for own, row in enumerate(found):
            assert own not in row and len(set(row)) == k
            assert (points[0, 0, row[: min(k, 6)]] == points[0, 0, own]).all() or own >= 7
        assert found[7, 0] == 8 and found[8, 0] == 7


def test_distance_and_inner_product_differ_by_hand():
    points = nd.array([[[0.0, 1.0, 2.0, 9.0]]])  # four points on a line
    assert nearest_points(nd, points, 2, "l2").asnumpy().tolist() == [[[1, 2], [0, 2], [1, 0], [2, 1]]]
    assert nearest_points(nd, points, 1, "dot").asnumpy()[0, 1:].tolist() == [[3], [3], [2]]


def test_maximum_over_chosen_points_and_its_gradient_to_one_winner():
    points = nd.array([[[3, 1, 2]], [[5, 5, 0]]])  # two images, one channel, three points
    chosen = nd.array([[[1, 2], [0, 2], [0, 1]], [[1, 2], [0, 2], [0, 1]]])
    points.attach_grad()
    with mx.autograd.record():
        largest = largest_of(nd, points, chosen, 2)
        (largest * nd.array([[[1, 10, 100]], [[1, 10, 100]]])).sum().backward()
    assert largest.asnumpy().tolist() == [[[2, 3, 3]], [[5, 5, 5]]]
    assert points.grad.asnumpy().tolist() == [[[110, 0, 1]], [[110, 1, 0]]]  # of equal ones the nearer wins


def slow_intra(x, weight, k, distance, residual):
    """Eq. 8 in NumPy for x (N, C, h, w) and weight (C, C)."""
    result = []
    for image in x.astype(np.float64):
        points = image.reshape(len(image), -1)
        learned, nearest = weight @ points, slow_nearest(points, k, distance)
        matched = np.stack([learned[:, chosen].max(axis=1) for chosen in nearest], axis=1)
        result.append((points * residual + matched).reshape(image.shape))
    return np.stack(result)


@pytest.mark.parametrize("distance, residual", [("l2", True), ("dot", True), ("l2", False)])
def test_intra_matching_against_a_slow_oracle(distance, residual):
    random = np.random.RandomState(4)
    x, weight = random.randn(2, 6, 3, 5).astype(np.float32), random.randn(6, 6)
    block = IntraMatching(6, 4, distance, residual)
    block.initialize()
    start = block(nd.array(x)).asnumpy()
    assert np.array_equal(start, x) == residual  # the residual form begins at the plain classifier
    block.mlp.weight.set_data(nd.array(weight[:, :, None, None]))
    for hybrid in (False, True):
        block.hybridize(hybrid)
        np.testing.assert_allclose(block(nd.array(x)).asnumpy(), slow_intra(x, weight, 4, distance, residual), atol=1e-4)


def test_gradient_of_intra_matching_against_differences():
    random = np.random.RandomState(6)
    x, weight = random.randn(1, 3, 2, 4), random.randn(3, 3)
    into = random.randn(1, 3, 2, 4)
    block = IntraMatching(3, 3)
    block.initialize()
    block.mlp.weight.set_data(nd.array(weight[:, :, None, None]))
    block.hybridize()
    data = nd.array(x)
    data.attach_grad()
    with mx.autograd.record():
        (block(data) * nd.array(into)).sum().backward()
    step = 1e-5

    def slope(array, index):
        ends = []
        for sign in (1, -1):
            array[index] += sign * step
            ends.append((slow_intra(x, weight, 3, "l2", True) * into).sum())
            array[index] -= sign * step
        return (ends[0] - ends[1]) / (2 * step)

    for array, found in ((weight, block.mlp.weight.grad().asnumpy()[:, :, 0, 0]), (x, data.grad.asnumpy())):
        expected = [slope(array, index) for index in np.ndindex(array.shape)]
        np.testing.assert_allclose(found.ravel(), expected, atol=1e-3)


def test_wrong_choices_are_named():
    with pytest.raises(ValueError, match="side: 'left', expected one of cam, norm"):
        InterMatching("left")
    with pytest.raises(ValueError, match="distance: 'l1', expected one of l2, dot"):
        IntraMatching(4, distance="l1")
    with pytest.raises(ValueError, match="k: 0, expected 1 or more"):
        IntraMatching(4, 0)

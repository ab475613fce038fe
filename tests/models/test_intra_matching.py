"""COMNet's intra-matching against slow oracles: nearest points (Eq. 6), maxima over them (Eq. 7, 8), and the gradient."""

import json

import numpy as np
import pytest

from cian.base.runtime import mx
from cian.models.comnet import COMNet
from cian.models.matching import IntraMatching, largest_of, nearest_points

nd = mx.nd


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


FORMS = pytest.mark.parametrize("parallel", [False, True])  # of the operators: for CPUs, and for GPUs


@FORMS
@pytest.mark.parametrize("distance", ["l2", "dot"])
@pytest.mark.parametrize("k", [1, 4, 10, 11])
def test_nearest_points_against_sorting(distance, k, parallel):
    points = np.random.RandomState(k).randn(2, 5, 12).astype(np.float32) * np.linspace(0.5, 3, 12, dtype=np.float32)
    found = nearest_points(nd, nd.array(points), k, distance, parallel).asnumpy().astype(int)
    for one, chosen in zip(points, found):
        assert np.array_equal(chosen, slow_nearest(one.astype(np.float64), k, distance))


@FORMS
def test_a_point_is_never_its_own_match_even_among_equal_ones(parallel):
    points = np.zeros((1, 2, 9), np.float32)
    points[0, :, 7:] = 3
    for k in (1, 3, 8):
        found = nearest_points(nd, nd.array(points), k, parallel=parallel).asnumpy().astype(int)[0]
        for own, row in enumerate(found):
            assert own not in row and len(set(row)) == k
            assert (points[0, 0, row[: min(k, 6)]] == points[0, 0, own]).all() or own >= 7
        assert found[7, 0] == 8 and found[8, 0] == 7


@FORMS
def test_distance_and_inner_product_differ_by_hand(parallel):
    points = nd.array([[[0.0, 1.0, 2.0, 9.0]]])  # four points on a line
    assert nearest_points(nd, points, 2, "l2", parallel).asnumpy().tolist() == [[[1, 2], [0, 2], [1, 0], [2, 1]]]
    assert nearest_points(nd, points, 1, "dot", parallel).asnumpy()[0, 1:].tolist() == [[3], [3], [2]]


@FORMS
def test_maximum_over_chosen_points_and_its_gradient_to_one_winner(parallel):
    points = nd.array([[[3], [1], [2]], [[5], [5], [0]]])  # two images, three points, one channel
    chosen = nd.array([[[1, 2], [0, 2], [0, 1]], [[1, 2], [0, 2], [0, 1]]])
    points.attach_grad()
    with mx.autograd.record():
        largest = largest_of(nd, points, chosen, 2, parallel)
        (largest * nd.array([[[1], [10], [100]]] * 2)).sum().backward()
    assert largest.asnumpy()[:, :, 0].tolist() == [[2, 3, 3], [5, 5, 5]]
    assert points.grad.asnumpy()[:, :, 0].tolist() == [[110, 0, 1], [110, 1, 0]]  # of equal ones the nearer wins


def slow_intra(x, weight, k, distance, residual, bias=0.0):
    """Eq. 8 in NumPy for x (N, C, h, w), weight (C, C) and bias (C, 1)."""
    result = []
    for image in x.astype(np.float64):
        points = image.reshape(len(image), -1)
        learned, nearest = weight @ points + bias, slow_nearest(points, k, distance)
        matched = np.stack([learned[:, chosen].max(axis=1) for chosen in nearest], axis=1)
        result.append((points * residual + matched).reshape(image.shape))
    return np.stack(result)


@pytest.mark.parametrize("distance, residual", [("l2", True), ("dot", True), ("l2", False)])
def test_intra_matching_against_a_slow_oracle(distance, residual):
    random = np.random.RandomState(4)
    x, weight = random.randn(2, 6, 3, 5).astype(np.float32), random.randn(6, 6)
    bias = random.randn(6)
    for start in ("zero", "default"):
        block = IntraMatching(6, 4, distance, residual, start)
        block.initialize()
        begun = block(nd.array(x)).asnumpy()
        assert np.array_equal(begun, x) == (residual and start == "zero")  # that form begins at the plain classifier
        assert (block.mlp.bias is None) == (start == "zero")
        block.mlp.weight.set_data(nd.array(weight[:, :, None, None]))
        expected = slow_intra(x, weight, 4, distance, residual)
        if start == "default":
            block.mlp.bias.set_data(nd.array(bias))
            expected = slow_intra(x, weight, 4, distance, residual, bias[:, None])
        for hybrid in (False, True):
            block.hybridize(hybrid)
            np.testing.assert_allclose(block(nd.array(x)).asnumpy(), expected, atol=1e-4)


def test_gradient_of_intra_matching_against_differences():
    random = np.random.RandomState(6)
    x, weight = random.randn(1, 3, 2, 4), random.randn(3, 3)
    into = random.randn(1, 3, 2, 4)
    block = IntraMatching(3, 3, start="zero")
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


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_forms_are_the_same_to_the_bit(dtype):
    random, found = np.random.RandomState(8), {}
    x, into, weight, bias = (random.randn(*shape) for shape in ((2, 7, 5, 6), (2, 7, 5, 6), (7, 7, 1, 1), (7,)))
    for parallel in (False, True):
        block = IntraMatching(7, 4)
        block.parallel = parallel
        block.cast(dtype)
        block.initialize()
        block.mlp.weight.set_data(nd.array(weight, dtype=dtype))
        block.mlp.bias.set_data(nd.array(bias, dtype=dtype))
        block.hybridize()
        data = nd.array(x, dtype=dtype)
        data.attach_grad()
        with mx.autograd.record():
            result = block(data)
        result.backward(nd.array(into, dtype=dtype))
        found[parallel] = [a.asnumpy() for a in (result, data.grad, block.mlp.weight.grad(), block.mlp.bias.grad())]
        assert all(array.dtype == dtype for array in found[parallel])
        graph = block(mx.sym.var("x"))  # as exported: the same result without the block
        values = {name: parameter.data() for name, parameter in block.collect_params().items()}
        bound = graph.bind(mx.cpu(), {"x": data, **values})
        assert np.array_equal(bound.forward()[0].asnumpy(), found[parallel][0])
        operators = {node["op"] for node in json.loads(graph.tojson())["nodes"]}
        assert ("topk" in operators, "argmax" in operators) == (not parallel, parallel)
    for serial, other in zip(found[False], found[True]):
        np.testing.assert_array_equal(other, serial)


def test_the_form_follows_the_devices():
    net = COMNet("resnet10", 3, "intra")
    assert not net.intra.parallel
    for device in (mx.gpu(), mx.cpu()):
        net.suit([device])
        assert net.intra.parallel == (device.device_type == "gpu")
    COMNet("resnet10", 3, "inter").suit([mx.gpu()])  # has nothing to choose


def test_wrong_choices_are_named():
    with pytest.raises(ValueError, match="distance: 'l1', expected one of l2, dot"):
        IntraMatching(4, distance="l1")
    with pytest.raises(ValueError, match="k: 0, expected 1 or more"):
        IntraMatching(4, 0)
    with pytest.raises(ValueError, match="match_init: 'one', expected one of default, zero"):
        IntraMatching(4, start="one")

"""The random walk against dense matrices made by explicit loops, hand-computed steps, and what a walk must keep."""

import tracemalloc

import numpy as np
import pytest
from walk_oracle import affinity_by_loops

from cian.data.cams import resize_maps
from cian.inference.paths import destinations, paths, shared_paths
from cian.inference.random_walk import (
    affinities,
    propagate,
    squaring_pays,
    transition,
    walk_scores,
    walk_squared,
    walk_stepwise,
)


def walk_by_matrices(scores, boundary, radius, beta, exponent):
    """The published formula: columns of A^beta sum to 1, the matrix is squared, scores are multiplied from the left."""
    power = affinity_by_loops(boundary, radius) ** beta
    matrix = np.linalg.matrix_power(power / power.sum(axis=0, keepdims=True), 2**exponent)
    start = (scores * (1 - boundary)).reshape(len(scores), -1)
    return (start @ matrix).reshape(scores.shape)


def random_case(height, width, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((classes, height, width)).astype(np.float32), (rng.random((height, width)) ** 2).astype(np.float32)


def test_paths_of_small_radii():
    assert destinations(2) == ((0, 1), (1, -1), (1, 0), (1, 1))
    assert [set(path) for path in paths(2)] == [
        {(0, 0), (0, 1)},
        {(0, 0), (0, -1), (1, 0), (1, -1)},  # both corners are 0.71 off the line
        {(0, 0), (1, 0)},
        {(0, 0), (0, 1), (1, 0), (1, 1)},
    ]
    by_goal = {path[-1]: set(path) for path in paths(3)}
    assert by_goal[0, 2] == {(0, 0), (0, 1), (0, 2)}
    assert by_goal[1, 2] == {(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)}  # (0, 2) and (1, 0) are 0.89 off the line
    by_goal = {path[-1]: set(path) for path in paths(5)}
    beside = {(0, 3), (0, 4), (2, 0), (2, 1)}  # 1.34 or 1.79 off the line
    assert by_goal[2, 4] == {(y, x) for y in range(3) for x in range(5)} - beside


@pytest.mark.parametrize("radius, neighbours", [(2, 4), (5, 34), (10, 152)])
def test_every_pair_is_met_once(radius, neighbours):
    goals = destinations(radius)
    assert len(goals) == len(set(goals)) == neighbours
    around = [(y, x) for y in range(-radius, radius + 1) for x in range(-radius, radius + 1) if 0 < y * y + x * x < radius**2]
    assert sorted(goals + tuple((-y, -x) for y, x in goals)) == sorted(around)


@pytest.mark.parametrize("radius", [2, 5, 10])
def test_shared_paths_are_the_paths(radius):
    found = {}
    for goal, part, cells in shared_paths(radius):
        found[goal] = set(cells) | (found[part] if part is not None else set())
    assert found == {path[-1]: set(path) for path in paths(radius)}


@pytest.mark.parametrize("radius", [1, 0, 2.5, True])
def test_wrong_radius(radius):
    with pytest.raises(ValueError, match="radius: .* expected a whole number of pixels, 2 or more"):
        paths(radius)


def test_affinities_by_hand():
    boundary = np.array([[0.0, 0.5, 0.25, 0.0]])
    found = affinities(boundary, 4)
    assert {goal: value.tolist() for goal, value in found.items()} == {
        (0, 1): [[0.5, 0.5, 0.75]],
        (0, 2): [[0.5, 0.5]],
        (0, 3): [[0.5]],
    }


def test_two_pixels_by_hand():
    boundary, scores = np.array([[0.0, 0.5]]), np.array([[[1.0, 0.0]]])
    # A = .5, A^2 = .25; both rows are (1, .25) / 1.25
    np.testing.assert_allclose(transition(boundary, 2, 2.0).toarray(), [[0.8, 0.2], [0.2, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(propagate(scores, boundary, 2, 2.0, 0), [[[0.8, 0.2]]], rtol=1e-6)
    np.testing.assert_allclose(propagate(scores, boundary, 2, 2.0, 1), [[[0.68, 0.32]]], rtol=1e-6)
    # the second pixel's own score counts by 1 - boundary
    np.testing.assert_allclose(propagate(np.array([[[0.0, 1.0]]]), boundary, 2, 2.0, 0), [[[0.1, 0.4]]], rtol=1e-6)


@pytest.mark.parametrize("shape", [(7, 9), (1, 8), (8, 1), (4, 3), (6, 2), (1, 1)])
@pytest.mark.parametrize("radius", [2, 5])
def test_against_loops(shape, radius):
    scores, boundary = random_case(*shape)
    dense = affinity_by_loops(boundary, radius) ** 10.0
    np.testing.assert_allclose(
        transition(boundary, radius, 10.0).toarray(), (dense / dense.sum(axis=0)).T, rtol=2e-5, atol=1e-9
    )
    for exponent in (0, 3, 8):
        expected = walk_by_matrices(scores.astype(np.float64), boundary, radius, 10.0, exponent)
        np.testing.assert_allclose(propagate(scores, boundary, radius, 10.0, exponent), expected, rtol=2e-4, atol=1e-6)


def test_stepwise_and_squared_are_the_same():
    scores, boundary = random_case(9, 11, classes=3)
    start, matrix = scores.reshape(3, -1), transition(boundary)
    np.testing.assert_allclose(walk_stepwise(start, matrix, 6), walk_squared(start, matrix, 6), rtol=2e-4)


def test_squaring_only_where_it_is_less_work():
    assert squaring_pays(100, 34, 1, 8) and not squaring_pays(94 * 125, 34, 20, 8)
    assert squaring_pays(94 * 125, 34, 20, 20)  # a million steps


def test_constants_stay_and_mass_stays():
    scores, boundary = random_case(12, 10)
    matrix = transition(boundary)
    np.testing.assert_allclose(matrix @ np.ones(120, np.float32), 1, rtol=1e-6)
    power = affinity_by_loops(boundary, 5) ** 10.0
    degree = power.sum(axis=1)  # the walk's stationary weights, since affinity has no direction
    start = scores.reshape(2, -1)
    np.testing.assert_allclose(walk_stepwise(start, matrix, 8) @ degree, start @ degree, rtol=1e-4)


def test_values_stay_within_those_of_the_start_and_level_out():
    scores, boundary = random_case(10, 10)
    start = scores * (1 - boundary)
    spread = []
    for exponent in (0, 4, 8):
        found = propagate(scores, boundary, exponent=exponent)
        assert found.min() >= start.min() and found.max() <= start.max() * (1 + 1e-5)
        spread.append(np.ptp(found, axis=(1, 2)))
    assert (spread[0] > spread[1]).all() and (spread[1] > spread[2]).all()


def test_a_closed_boundary_holds_the_walk():
    boundary = np.zeros((12, 12), np.float32)
    boundary[:, 6] = 1
    scores = np.zeros((1, 12, 12), np.float32)
    scores[0, 5, 1] = 1
    found = propagate(scores, boundary)[0]
    assert (found[:, :6] > 1e-3).all() and (found[:, 6:] == 0).all()
    boundary[5, 6] = 0  # a gap
    assert propagate(scores, boundary)[0][:, 7:].max() > 1e-4


def test_scores_of_an_image():
    rng = np.random.default_rng(3)
    maps, boundary = rng.random((2, 5, 6)), rng.random((10, 11)) * 0.5
    scores = walk_scores(maps, boundary, (38, 42), exponent=2)
    spread = propagate(resize_maps(maps, (10, 11)), boundary, exponent=2)
    large = resize_maps(spread, (40, 44))[:, :38, :42]
    np.testing.assert_allclose(scores, large / large.max(), rtol=1e-6)
    assert scores.shape == (2, 38, 42) and scores.max() == 1
    assert walk_scores(np.zeros((0, 5, 6)), boundary, (38, 42)).shape == (0, 38, 42)
    assert (walk_scores(np.zeros((1, 5, 6)), boundary, (38, 42)) == 0).all()


def test_errors_name_the_argument():
    scores, boundary = random_case(6, 7)
    cases = [
        (r"boundary: expected shape \(h, w\), found \(1, 6, 7\)", (scores, boundary[None])),
        (r"boundary: expected values in \[0, 1\], found 0.0..1.5", (scores, np.where(boundary > 0.1, 1.5, 0))),
        (r"boundary: expected values in \[0, 1\], found nan", (scores, np.full((6, 7), np.nan))),
        (r"scores: expected \(C,\) \+ \(6, 7\), the boundary map's size, found \(2, 6, 6\)", (scores[..., 1:], boundary)),
        ("scores: expected finite values", (scores * np.inf, boundary)),
        ("exponent: -1, expected a whole number from 0 to 20", (scores, boundary, 5, 10.0, -1)),
        ("exponent: 2.0, expected", (scores, boundary, 5, 10.0, 2.0)),
    ]
    for message, arguments in cases:
        with pytest.raises(ValueError, match=message):
            propagate(*arguments)
    with pytest.raises(ValueError, match=r"boundary: expected \(10, 11\) for an image of \(38, 42\), found \(9, 11\)"):
        walk_scores(np.zeros((1, 5, 6)), np.zeros((9, 11)), (38, 42))


def test_an_image_of_500_by_375_takes_little(monkeypatch):
    """Two classes at the published settings: a sparse matrix, applied 2^8 times, and 17 MB; a dense one would take 552 MB."""
    rng, walks = np.random.default_rng(0), []
    maps, boundary = rng.random((2, 47, 63)), rng.random((94, 125)).astype(np.float32) * 0.3

    def stepwise(scores, matrix, exponent):
        walks.append((matrix.nnz, exponent))
        return walk_stepwise(scores, matrix, exponent)

    monkeypatch.setattr("cian.inference.random_walk.walk_stepwise", stepwise)
    tracemalloc.start()
    try:
        walk_scores(maps, boundary, (375, 500))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100e6
    ((entries, exponent),) = walks
    assert entries <= 69 * boundary.size and exponent == 8  # 34 destinations to either side, and the point itself

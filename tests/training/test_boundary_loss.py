"""IRN's losses against explicit loops over pairs, and against numbers found by hand."""

import numpy as np
import pytest
from walk_oracle import affinity_by_loops

from cian.base.runtime import mx
from cian.inference.paths import destinations
from cian.training.boundary_loss import EPSILON, TERMS, BoundaryLoss


def losses_by_loops(logits, label, field, radius):
    """The five terms: every source whose whole half-disc of neighbours lies inside, every neighbour."""
    count, _, height, width = logits.shape
    sums = {term: [0.0, 0] for term in TERMS}
    for n in range(count):
        affinity = affinity_by_loops(1 / (1 + np.exp(-logits[n, 0])), radius)
        for y in range(height - radius + 1):
            for x in range(radius - 1, width - radius + 1):
                for dy, dx in destinations(radius):
                    one, other = label[n, y, x], label[n, y + dy, x + dx]
                    if 255 in (one, other):
                        continue
                    a = affinity[y * width + x, (y + dy) * width + x + dx]
                    moved = field[n, :, y, x] - field[n, :, y + dy, x + dx]
                    if one != other:
                        add(sums, "boundary_different", -np.log(1 + EPSILON - a))
                    elif one == 0:
                        add(sums, "boundary_background", -np.log(a + EPSILON))
                        add(sums, "displace_background", np.abs(moved).mean())
                    else:
                        add(sums, "boundary_foreground", -np.log(a + EPSILON))
                        add(sums, "displace_foreground", np.abs(moved - (dy, dx)).mean())
    weights = dict(zip(TERMS, (0.25, 0.25, 0.5, 0.5, 0.5)))
    return [weights[term] * total / (pairs + EPSILON) for term, (total, pairs) in sums.items()]


def add(sums, term, value):
    sums[term][0] += value
    sums[term][1] += 1


def run(radius, *arrays, displacement=True, hybridize=True):
    loss = BoundaryLoss(radius, displacement)
    if hybridize:
        loss.hybridize()
    return [float(term.asscalar()) for term in loss(*(mx.nd.array(array) for array in arrays))]


@pytest.mark.parametrize("radius, size", [(2, (4, 5)), (3, (8, 9)), (4, (9, 12))])
def test_against_loops(radius, size):
    rng = np.random.default_rng(radius)
    logits, field = rng.normal(size=(2, 1, *size)), rng.normal(size=(2, 2, *size)) * 3
    label = rng.choice([0, 0, 3, 7, 255], (2, *size))
    expected = losses_by_loops(logits, label, field, radius)
    assert all(value > 0 for value in expected)
    np.testing.assert_allclose(run(radius, logits, label, field), expected, rtol=1e-5)
    np.testing.assert_allclose(run(radius, logits, label, field, hybridize=False), expected, rtol=1e-5)
    np.testing.assert_allclose(run(radius, logits, label, displacement=False), expected[:3], rtol=1e-5)


def test_by_hand():
    """Four columns, a boundary of probability 1/2 in the third; radius 2, so the sources are the two middle pixels of row 0."""
    logits = np.full((1, 1, 2, 4), -100.0)
    logits[0, 0, :, 2] = 0
    label = np.array([[[0, 0, 5, 5], [0, 0, 5, 5]]])
    # source (0, 1): to (0, 2) and (1, 2) different, affinity 1/2; to (1, 0) and (1, 1) alike, affinity 1
    # source (0, 2): to (1, 1) different, 1/2; to (0, 3), (1, 2), (1, 3) alike, all through the boundary, 1/2
    field = np.zeros((1, 2, 2, 4))
    wanted = [0, 0.25 * np.log(2), 0.5 * np.log(2), 0.5 * (1 + 1 + 2) / 2 / 3, 0]
    np.testing.assert_allclose(run(2, logits, label, field), wanted, atol=2e-5)


def test_an_object_that_leads_to_its_middle_has_no_displacement_loss():
    rows, columns = np.mgrid[:9, :12].astype(float)
    field = np.stack([4 - rows, 5 - columns])[None]  # pixel + displacement = (4, 5)
    found = run(4, np.zeros((1, 1, 9, 12)), np.full((1, 9, 12), 2), field)
    np.testing.assert_allclose(found[3:], 0, atol=1e-6)
    found = run(4, np.zeros((1, 1, 9, 12)), np.zeros((1, 9, 12)), np.full((1, 2, 9, 12), 7.5))
    np.testing.assert_allclose(found[3:], 0, atol=1e-6)


def test_unknown_labels_do_not_count():
    found = run(3, np.zeros((1, 1, 7, 9)), np.full((1, 7, 9), 255), np.ones((1, 2, 7, 9)))
    assert found == [0, 0, 0, 0, 0]


def test_gradient_against_differences():
    rng = np.random.default_rng(0)
    logits, field = rng.normal(size=(1, 1, 6, 8)), rng.normal(size=(1, 2, 6, 8))
    label = rng.choice([0, 4, 255], (1, 6, 8))
    x, d = mx.nd.array(logits), mx.nd.array(field)
    x.attach_grad()
    d.attach_grad()
    loss = BoundaryLoss(3)
    loss.hybridize()
    with mx.autograd.record():
        total = sum(loss(x, mx.nd.array(label), d))
    total.backward()
    for array, gradient in ((logits, x.grad.asnumpy()), (field, d.grad.asnumpy())):
        for index in [tuple(rng.integers(array.shape)) for _ in range(8)]:
            values = []
            for step in (1e-5, -1e-5):
                array[index] += step
                values.append(sum(losses_by_loops(logits, label, field, 3)))
                array[index] -= step
            np.testing.assert_allclose(gradient[index], (values[0] - values[1]) / 2e-5, rtol=1e-3, atol=1e-5)

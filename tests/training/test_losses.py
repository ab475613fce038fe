"""Losses against a slow NumPy oracle, and their gradients against the formulas of the published operators."""
import numpy as np
import pytest

from cian.base.runtime import mx
from cian.training.losses import TERMS, CIANLoss, TagLoss

N, K, S = 3, 5, 4


@pytest.fixture
def case():
    rng = np.random.RandomState(0)
    own, cross = rng.standard_normal((2, N, K, S, S)).astype("float32") * 2
    label = rng.choice([0, 1, 2, 255], size=(N, S, S)).astype("float32")
    label[1] = 255  # an image without any seed
    return own, cross, label


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def hot(label):
    return np.stack([label == k for k in range(K)], axis=1).astype("float64")  # (N, K, S, S)


def published_gradient(logits, target):
    """(softmax - target) x mask / (mask pixels / images), the published operators' backward."""
    mask = target.sum(axis=1, keepdims=True)
    return (softmax(logits) - target) * mask / max(mask.sum() / N, 1e-5)


def completed(cross, allowed):
    """Eq. 7, pixel by pixel."""
    target = np.zeros(cross.shape)
    for n, y, x in np.ndindex(N, S, S):
        best = cross[n, :, y, x].argmax()
        target[n, best, y, x] = allowed[n, best]
    return target


def run(loss, own, cross, label, tags=None):
    own, cross, label = (mx.nd.array(a) for a in (own, cross, label))
    own.attach_grad()
    cross.attach_grad()
    with mx.autograd.record():
        terms = loss(own, label, cross) if tags is None else loss(own, label, cross, mx.nd.array(tags))
        total = sum(terms) * N
    total.backward()
    return [float(t.asscalar()) for t in terms], own.grad.asnumpy(), cross.grad.asnumpy()


@pytest.mark.parametrize("hybridize", [False, True])
@pytest.mark.parametrize("class_set", ["seeds", "tags"])
def test_terms_and_gradients(case, class_set, hybridize):
    own, cross, label = case
    tags = np.eye(K)[[1, 2, 3]] + np.eye(K)[0]
    allowed = hot(label).max(axis=(2, 3)) if class_set == "seeds" else tags
    loss = CIANLoss(K, TERMS, class_set)
    if hybridize:
        loss.hybridize()
    values, own_grad, cross_grad = run(loss, own, cross, label, tags if class_set == "tags" else None)
    targets = {"ce": hot(label), "cp": completed(cross, allowed)}
    for term, value in zip(TERMS, values):
        target = targets[term[:2]]
        logp = np.log(softmax(own if term.endswith("self") else cross))
        assert value == pytest.approx(-(logp * target).sum() / target.sum(), rel=1e-5)
    for logits, gradient in ((own, own_grad), (cross, cross_grad)):
        wanted = published_gradient(logits, targets["ce"]) + published_gradient(logits, targets["cp"])
        np.testing.assert_allclose(gradient, wanted, atol=1e-5)


def test_nothing_labelled_costs_nothing(case):
    own, cross, label = case
    values, own_grad, cross_grad = run(CIANLoss(K), own, cross, np.full_like(label, 255))
    assert values == [0, 0, 0, 0]
    assert not own_grad.any() and not cross_grad.any()


def test_baseline_needs_no_cross_logits(case):
    own, _, label = case
    loss = CIANLoss(K, ("ce_self",))
    loss.hybridize()
    value = loss(mx.nd.array(own), mx.nd.array(label))[0].asscalar()
    assert value == pytest.approx(-(np.log(softmax(own)) * hot(label)).sum() / hot(label).sum(), rel=1e-5)


def test_wrong_choices_are_named():
    with pytest.raises(ValueError, match="ce_both.*expected some of ce_self"):
        CIANLoss(K, ("ce_both",))
    with pytest.raises(ValueError, match="class_set: 'all'"):
        CIANLoss(K, TERMS, "all")


def test_tag_loss():
    logits, tags = np.array([[2.0, -100.0], [100.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])
    wanted = np.mean([np.log1p(np.exp(-2.0)), 0.0, 100.0, np.log(2)])  # by hand: -log sigmoid, stable at +-100
    value = TagLoss()(mx.nd.array(logits), mx.nd.array(tags))
    assert value.shape == (1,) and value.asscalar() == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("hybridize", [False, True])
@pytest.mark.parametrize("class_set", ["seeds", "tags"])
def test_in_double_precision(case, class_set, hybridize):
    """Logits in float64 give losses and targets in float64, whatever the dtype of labels and tags."""
    own, cross = (array.astype("float64") for array in case[:2])
    tags = np.eye(K)[[1, 2, 3]] + np.eye(K)[0]
    allowed = hot(case[2]).max(axis=(2, 3)) if class_set == "seeds" else tags
    loss = CIANLoss(K, TERMS, class_set)
    if hybridize:
        loss.hybridize()
    logits = [mx.nd.array(array, dtype="float64") for array in (own, cross)]
    label = mx.nd.array(case[2], dtype="uint8")
    found = loss(logits[0], label, logits[1], mx.nd.array(tags, dtype="float32"))
    targets = {"ce": hot(case[2]), "cp": completed(cross, allowed)}
    for term, value in zip(TERMS, found):
        target, logp = targets[term[:2]], np.log(softmax(own if term.endswith("self") else cross))
        assert value.dtype == np.float64
        assert value.asscalar() == pytest.approx(-(logp * target).sum() / target.sum(), rel=1e-13)
    tag_loss = TagLoss()(logits[0].mean(axis=(2, 3)), mx.nd.array(np.zeros((N, K)), dtype="float32"))
    assert tag_loss.dtype == np.float64
    assert tag_loss.asscalar() == pytest.approx(np.log1p(np.exp(own.mean(axis=(2, 3)))).mean(), rel=1e-13)

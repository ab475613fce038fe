"""Everything that is trained runs in double precision once its network is cast to it, and a resumed run stays in it."""

import numpy as np
import pytest

from cian.base.runs import Run
from cian.base.runtime import mx
from cian.config import BoundaryTraining, Classifier, Matching, Segmentation
from cian.training.boundary import BoundaryObjective
from cian.training.engine import Fit, optimizer_arrays
from cian.training.objectives import ClassifierObjective, MatchingObjective, SegmentationObjective

RNG = np.random.RandomState(0)
CLASSES, SIZE = 3, 33
IMAGES = RNG.randint(0, 255, (2, 2, 3, SIZE, SIZE)).astype("uint8")
LABELS = RNG.choice([0, 1, 2, 255], (2, 2, 5, 5)).astype("uint8")
TAGS = RNG.randint(0, 2, (2, 2, CLASSES)).astype("float32")
WALK_IMAGES, WALK_LABELS = RNG.randint(0, 255, (2, 3, 48, 48)).astype("uint8"), RNG.randint(0, 3, (2, 12, 12))


def segmentation(**changes):
    settings = Segmentation.preset("scenes", batch=4, **changes)
    return settings, SegmentationObjective(settings, CLASSES, [mx.cpu()]), (IMAGES, LABELS, TAGS)


def classifier():
    settings = Classifier.preset("scenes", batch=2)
    return settings, ClassifierObjective(settings, CLASSES, [mx.cpu()]), (IMAGES[0], TAGS[0])


def matching():
    settings = Matching.preset("scenes", batch=4)
    return settings, MatchingObjective(settings, CLASSES, [mx.cpu()]), (IMAGES, TAGS)


def boundary():
    settings = BoundaryTraining.preset("scenes", batch=2, radius=2, crop=48, displacement=True)
    return settings, BoundaryObjective(settings, [mx.cpu()]), (WALK_IMAGES, WALK_LABELS)


MADE = {
    "groups": segmentation,
    "groups, classes of the tags": lambda: segmentation(class_set="tags"),
    "single images": lambda: segmentation(losses="baseline"),
    "classifier": classifier,
    "comnet": matching,
    "irn": boundary,
}


@pytest.mark.parametrize("what", MADE)
def test_a_resumed_step_stays_in_double_precision(what, tmp_path):
    settings, objective, batch = MADE[what]()

    def fit():
        objective.net.cast("float64")
        return Fit(objective, None, Run(tmp_path, "x"), settings, [mx.cpu()])

    def state(fit):
        mx.nd.waitall()
        arrays = {name: p.data().asnumpy() for name, p in objective.net.collect_params().items()}
        return dict(arrays, **optimizer_arrays(fit.trainer)[0])

    first = fit()
    with mx.autograd.record():
        losses = objective(batch, mx.cpu())
    assert {loss.dtype for loss in losses.values()} == {np.float64}
    first.step(0, 0, 2, ["?"], batch)
    first.save_state(0, 1)
    first.step(0, 1, 2, ["?"], batch)
    wanted, (settings, objective, _) = state(first), MADE[what]()
    again = fit()
    assert again.resume() == (0, 1)
    again.step(0, 1, 2, ["?"], batch)
    found = state(again)
    assert {array.dtype for array in found.values()} == {np.dtype("float64")}
    assert set(found) == set(wanted)
    assert settings.momentum == 0 or any(name.startswith("opt:") for name in found)
    for name in wanted:
        # a passage through single precision would cost 1e-8; the walk's group normalisation sums in no fixed order
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-10, atol=1e-14, err_msg=name)
    assert {value.dtype for value in again.epoch_arrays(0).values()} == {np.float64}

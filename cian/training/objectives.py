"""What the trainings minimise: CIAN's four terms over groups, and the classifiers' multi-label loss."""
from typing import Any, Dict, List, Mapping, Protocol, Sequence, Tuple

import numpy as np

from cian.base.runtime import mx
from cian.config import Classifier, Matching, Segmentation
from cian.models.cam import CAM
from cian.models.cian import CIAN, GroupCIAN
from cian.seeds.classifiers import comnet
from cian.training.losses import TERMS, CIANLoss, TagLoss

#: setting `losses` -> terms of Eq. 9 (the rows of Table 2)
LOSSES = {"baseline": TERMS[:1], "ce": TERMS[:2], "ce+cp": TERMS}


class Objective(Protocol):
    """What a training minimises: `net`, a HybridBlock, is what is trained and saved; called, it gives the losses of a batch."""

    net: Any

    def __call__(self, batch: Tuple[np.ndarray, ...], device: Any) -> Dict[str, Any]:
        """{name: (1,) NDArray} of a device's share of a batch, NumPy arrays with the images first; recorded by the caller."""


def prepare(
    net: Any, others: Sequence[Any], seed: int, devices: Sequence[Any], rnd_type: str = "gaussian", magnitude: float = 2
) -> None:
    """Give `net` random weights on every device, and hybridize it and `others`: the loss, and what else the objective runs.

    The weights are drawn with `seed` by Xavier's rule over a layer's inputs: rnd_type "gaussian" with variance magnitude /
    inputs, "uniform" within +- sqrt(magnitude / inputs).
    """
    mx.random.seed(seed)
    net.initialize(mx.init.Xavier(rnd_type=rnd_type, factor_type="in", magnitude=magnitude), ctx=devices)
    for block in (net, *others):
        block.hybridize()


def to_device(batch: Tuple[np.ndarray, ...], net: Any, device: Any) -> List[Any]:
    """The arrays of a batch as NDArrays on `device`, of the dtype of the network's parameters.

    Bytes are copied as such and converted there: a quarter of the way for images.
    """
    dtype = next(iter(net.collect_params().values())).dtype
    carried = ["uint8" if array.dtype == np.uint8 else dtype for array in batch]
    return [mx.nd.array(array, ctx=device, dtype=kind).astype(dtype, copy=False) for array, kind in zip(batch, carried)]


def filled(images: Any, covered: Any, fill: Any) -> Any:
    """Images (N, 3, S, S), 0 outside their covered parts (N, 4: see data.long_side), with the colour `fill` (3,) there.

    NDArrays of one dtype; the values are those of images that were filled before.
    """
    place = mx.nd.contrib.arange_like(images, axis=2)  # (S,)
    from_row, to_row, from_column, to_column = covered.reshape((0, 4, 1)).split(4, axis=1, squeeze_axis=True)  # (N, 1) each
    rows, columns = (
        mx.nd.broadcast_greater_equal(place.expand_dims(0), first) * mx.nd.broadcast_lesser(place.expand_dims(0), end)
        for first, end in ((from_row, to_row), (from_column, to_column))
    )
    inside = rows.reshape((0, 1, -1, 1)) * columns.reshape((0, 1, 1, -1))  # (N, 1, S, S)
    return images + (1 - inside) * fill.reshape((1, 3, 1, 1))


class SegmentationObjective:
    """CIAN's loss of groups: batches are images (P, G, 3, S, S), labels (P, G, s, s), tags (P, G, K).

    `net` is the single-image network. The baseline needs no cross logits, so it runs `net` alone.
    """

    def __init__(self, settings: Segmentation, classes: int, devices: Sequence[Any]) -> None:
        s = settings
        if not s.affinity and s.losses != "baseline":
            raise ValueError(f"losses: {s.losses!r} needs the affinity block; with affinity no, use losses baseline")
        self.net = CIAN(s.backbone, classes, s.affinity, s.similarity, frozen_bn=s.batchnorm == "frozen")
        self.group = None if s.losses == "baseline" else GroupCIAN(self.net, s.group_size, s.merge, s.merge_self)
        self.loss = CIANLoss(classes, LOSSES[s.losses], s.class_set)
        prepare(self.net, [self.loss] if self.group is None else [self.loss, self.group], s.seed, devices)

    def __call__(self, batch: Tuple[np.ndarray, ...], device: Any) -> Dict[str, Any]:
        images, labels, tags = to_device(batch, self.net, device)
        labels, tags = labels.reshape((-3, -2)), tags.reshape((-3, -2))  # (P, G, ...) -> (P G, ...)
        if self.group is None:
            losses = self.loss(self.net(images.reshape((-3, -2))), labels)
        else:
            own, cross = (logits.reshape((-3, -2)) for logits in self.group(images))
            losses = self.loss(own, labels, cross, tags) if self.loss.needs_tags else self.loss(own, labels, cross)
        return dict(zip(self.loss.terms, losses if isinstance(losses, (list, tuple)) else [losses]))


class ClassifierObjective:
    """The classifier's loss: batches are images (N, 3, S, S) and tags (N, C), background not among the classes."""

    def __init__(self, settings: Classifier, classes: int, devices: Sequence[Any]) -> None:
        self.net = CAM(settings.backbone, classes, frozen_bn=settings.batchnorm == "frozen")
        self.loss = TagLoss(prefix="")
        prepare(self.net, [self.loss], settings.seed, devices)

    def __call__(self, batch: Tuple[np.ndarray, ...], device: Any) -> Dict[str, Any]:
        images, tags = to_device(batch, self.net, device)
        return {"tags": self.loss(self.net(images), tags)}


class MatchingObjective:
    """COMNet's classification loss: batches are images (P, G, 3, S, S) and tags (P, G, C), background not among the classes.

    Its Eq. 9 is misprinted; meant is the multi-label soft margin loss, which is TagLoss. Where a batch has a third array, the
    covered parts of its images (P, G, 4), the rest gets the colour that normalises to zero (see `filled`).
    """

    def __init__(self, settings: Matching, classes: int, devices: Sequence[Any]) -> None:
        self.net = comnet(settings, classes)
        self.net.suit(devices)
        self.loss = TagLoss(prefix="")
        prepare(self.net, [self.loss], settings.seed, devices)

    def __call__(self, batch: Tuple[np.ndarray, ...], device: Any) -> Dict[str, Any]:
        images, tags, *covered = to_device(batch, self.net, device)
        if covered:
            fill = self.net.backbone.bn_data.moving_mean.data(device)  # frozen: the one of the beginning
            flat, parts = images.reshape((-3, -2)), covered[0].reshape((-3, 0))  # (P G, 3, S, S), (P G, 4)
            images = filled(flat, parts, fill).reshape_like(images)
        logits = self.net(images)  # (P, G, C)
        return {"tags": self.loss(logits.reshape((-3, 0)), tags.reshape((-3, 0)))}  # (P G, C)


def multi_hot(ids: Sequence[str], tags: Mapping[str, Sequence[int]], classes: int) -> np.ndarray:
    """Tags {id: class indices} of some images as float32 (N, classes)."""
    hot = np.zeros((len(ids), classes), np.float32)
    for row, image_id in enumerate(ids):
        hot[row, list(tags[image_id])] = 1
    return hot

"""Memory that the trainings need on a device, as MXNet's own planner lays it out: bound, but never run.

Counted are the arrays of the forward and backward pass of a share of the batch, and the weights three times (with gradients and
momentum). To be added on a GPU: about 0.5 GB for the CUDA libraries, and cuDNN's workspace, at most 1 GB a convolution.
"""

import re
from typing import NamedTuple

from cian.base import environment
from cian.base.runtime import mx
from cian.config import BoundaryTraining, Classifier, Matching, Segmentation
from cian.models.comnet import MATCHINGS
from cian.training.boundary import BoundaryObjective
from cian.training.objectives import ClassifierObjective, MatchingObjective, SegmentationObjective

CARDS = (8, 11, 16, 24, 40)  # GB
ASIDE = 1.5  # GB of a card that libraries and workspace take
CLASSES = 21  # of VOC


class Training(NamedTuple):
    """A training: name, its settings' class, and function(settings, devices) that makes its objective."""

    name: str
    settings: type
    objective: object


TRAININGS = (
    Training("train_cam", Classifier, lambda s, devices: ClassifierObjective(s, CLASSES - 1, devices)),
    Training("train", Segmentation, lambda s, devices: SegmentationObjective(s, CLASSES, devices)),
    Training("train_cam --method comnet", Matching, lambda s, devices: MatchingObjective(s, CLASSES - 1, devices)),
    Training("train_irn", BoundaryTraining, BoundaryObjective),
)


def group_size(settings):
    """Images that stay together in a share of the batch."""
    return getattr(settings, "group_size", 1) if MATCHINGS.get(getattr(settings, "matching", "inter"), (True,))[0] else 1


def loss_symbol(objective, settings, groups):
    """The loss of an objective as a Symbol, and the shapes of its inputs {name: shape} for so many groups of images."""
    images, crop = groups * group_size(settings), settings.crop
    data, net = mx.sym.var("images"), objective.net
    if isinstance(objective, SegmentationObjective):
        side = (crop - 1) // 8 + 1
        shapes = {"images": (groups, settings.group_size, 3, crop, crop), "labels": (images, side, side)}
        flat, labels = data.reshape((-3, -2)), mx.sym.var("labels")
        if objective.group is None:
            return mx.sym.Group(list(objective.loss(net(flat), labels))), shapes
        own, cross = (logits.reshape((-3, -2)) for logits in objective.group(data))
        arguments = (own, labels, cross)
        if objective.loss.needs_tags:
            arguments, shapes["tags"] = (*arguments, mx.sym.var("tags")), (images, CLASSES)
        return mx.sym.Group(list(objective.loss(*arguments))), shapes
    if isinstance(objective, BoundaryObjective):
        side, outputs = (crop - 1) // 4 + 1, net(data)
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        losses = objective.loss(outputs[0], mx.sym.var("labels"), *outputs[1:])
        return mx.sym.Group(list(losses)), {"images": (images, 3, crop, crop), "labels": (images, side, side)}
    grouped = isinstance(objective, MatchingObjective)
    shape = (groups, group_size(settings), 3, crop, crop) if grouped else (images, 3, crop, crop)
    logits = net(data).reshape((-3, 0)) if grouped else net(data)
    return objective.loss(logits, mx.sym.var("tags")), {"images": shape, "tags": (images, CLASSES - 1)}


def planned(symbol, shapes, parameters):
    """Bytes that the planner lays out for forward and backward pass, without the parameters themselves."""
    kinds = {name: parameters[name].grad_req if name in parameters else "null" for name in symbol.list_arguments()}
    with environment.temporarily("MXNET_SUBGRAPH_BACKEND", "NONE"):  # else oneDNN plans other arrays than a GPU has
        bound = symbol.simple_bind(ctx=mx.cpu(), grad_req=kinds, **shapes)
    return 2**20 * float(re.search(r"Total (\d+) MB allocated", bound.debug_str()).group(1))


def measure(training, preset="voc12", backbone=None):
    """Memory of one training, plain values; in bytes: weights, three times the parameters; group, what each group of a share
    adds; batch, all of it for the whole batch on one device. shares: {card in GB: least number of shares with which it fits,
    None where not even one group does}.
    """
    changes = {} if backbone is None else {"backbone": backbone}
    settings = training.settings.preset(preset, **changes)
    objective = training.objective(settings, [mx.cpu()])
    if isinstance(objective, MatchingObjective):
        objective.net.suit([mx.gpu()])  # only planned, so there need not be one
    parameters = objective.net.collect_params()
    weights = 3 * sum(4 * parameter.data().size for parameter in parameters.values())
    one, two = (planned(*loss_symbol(objective, settings, groups), parameters) for groups in (1, 2))
    group, groups = two - one, settings.batch // group_size(settings)

    def needed(of):  # bytes of a share of so many groups
        return weights + one + group * (of - 1)

    fitting = {}
    for card in CARDS:
        cuts = [parts for parts in range(1, groups + 1) if groups % parts == 0]
        fitting[card] = next((parts for parts in cuts if needed(groups // parts) <= (card - ASIDE) * 1e9), None)
    return {
        "training": training.name,
        "backbone": settings.backbone,
        "crop": settings.crop,
        "images": settings.batch,
        "groups": groups,
        "weights": weights,
        "group": group,
        "batch": needed(groups),
        "shares": fitting,
    }


def memory_table(measured):
    """Markdown: a row a training."""
    cards = " | ".join(f"{card} GB" for card in CARDS)
    lines = [f"| training | backbone | crop | batch | MB a group | GB in all | {cards} |", "|" + "---|" * (6 + len(CARDS))]
    for one in measured:
        of = "" if one["images"] == one["groups"] else f" in {one['groups']} groups"
        shares = " | ".join("-" if one["shares"][card] is None else str(one["shares"][card]) for card in CARDS)
        lines.append(
            f"| {one['training']} | {one['backbone']} | {one['crop']} | {one['images']}{of} | "
            f"{one['group'] / 1e6:.0f} | {(one['batch'] + 1e9 * ASIDE) / 1e9:.1f} | {shares} |"
        )
    told = f"GB in all: with {ASIDE} GB for libraries and workspace. Behind it the least --shares with which a card is enough."
    return "\n".join([*lines, "", told])

"""What COMNet's matchings do with a group of images: masks and how good they are, matched points and class activation."""

from typing import List, NamedTuple, Optional, Tuple

import cv2
import numpy as np

from cian.base.runtime import devices, mx
from cian.base.workers import Each
from cian.data.images import read_image, read_label
from cian.evaluation.masks import MaskScore, score_masks
from cian.seeds.activation import activation_maps
from cian.seeds.classifiers import load_classifier


class Matched(NamedTuple):
    """Of one image of a group. mask: M (h, w), None without inter-matching. points: of each point its k matched points as
    (row, column), int (h, w, k, 2), None without intra-matching. cams: class activation of the common classes, (C, h', w')
    in [0, 1], of the image and its mirror as at test.
    """

    mask: Optional[np.ndarray]
    points: Optional[np.ndarray]
    cams: np.ndarray


class MatchedGroup(NamedTuple):
    """A group: images uint8 (H, W, 3), true labels uint8 (H, W) and Matched of each, its common classes, background counted,
    and the score of its masks, None without inter-matching.
    """

    images: Tuple[np.ndarray, ...]
    labels: Tuple[np.ndarray, ...]
    matched: List[Matched]
    class_ids: List[int]
    score: Optional[MaskScore]


def measure_group(net, dataset, group, class_ids, side, device=None):
    """The MatchedGroup of some ids of a data set. net, class_ids, side, device: see observe_group."""
    images, labels = zip(*((read_image(dataset.image_path(name)), read_label(dataset.mask_path(name))) for name in group))
    matched = observe_group(net, images, class_ids, side, device)
    score = None if net.inter is None else score_masks([one.mask for one in matched], labels, class_ids)
    return MatchedGroup(images, labels, matched, class_ids, score)


def group_worker(checkpoint, dataset, side, device):
    """A worker that returns (ids of a group, its MatchedGroup) of such ids with their common classes; see measure_group."""
    context = devices(device)[0]
    net = load_classifier(checkpoint, "comnet", None, len(dataset.classes) - 1, context)
    return Each(lambda item: (item[0], measure_group(net, dataset, *item, side, context)))


def observe_group(net, images, class_ids, side, device=None):
    """One Matched for each of a group's images, uint8 (H, W, 3), which are brought to side x side pixels for the matching.

    net: COMNet; class_ids: the classes of the activation maps, background counted.
    """
    squares = [cv2.resize(image, (side, side)) for image in images]
    x = mx.nd.array(np.stack(squares).transpose(0, 3, 1, 2), ctx=device, dtype="float32")  # (G, H, W, 3) -> (G, 3, H, W)
    masks = [None] * len(images) if net.inter is None else net.masks(x).asnumpy()
    points = [None] * len(images)
    if net.intra is not None:
        indices, size = net.matched_points(x)
        indices = indices.asnumpy().astype(int).reshape((len(images),) + size + (-1,))  # (G, h w, k) -> (G, h, w, k)
        points = np.stack(np.unravel_index(indices, size), axis=-1)
    found = []
    for image, mask, point in zip(images, masks, points):
        found.append(Matched(mask, point, activation_maps(net, image, class_ids, (1.0,), device=device)[0]))
    return found

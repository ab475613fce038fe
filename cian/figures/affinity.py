"""Figure 3 of the CIAN paper: what a query pixel looks at in a reference, and what that changes, as rows of a contact sheet.

The paper shows "the activation of the raw representation, the cross-affinity residual, and the final augmented representation"
and does not say which. Here it is, by choice of ACTIVATIONS: the norm over the channels; or the response of the classifier
`fc1` to the query pixel's class, less its mean over the classes. `fc1` is linear and has no bias, so that response of the
augmented representation is the sum of the other two.
"""

from typing import NamedTuple, Tuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

from cian.data.images import IGNORE
from cian.data.transforms import align_corners_weights
from cian.figures.affinity_maps import KEY_STEP, PREDICTIONS, QUERY_STEP, grid_label
from cian.figures.sheet import colour_label, heat_map, legend_of, overlay, sheet

COLUMNS = ("query", "reference: its affinity", "raw x", "cross-affinity residual", "augmented x^")


class Query(NamedTuple):
    """A query pixel: its class and its (row, column) among the features."""

    class_id: int
    pixel: Tuple[int, int]


def norm_activation(maps, class_id):
    """Norm over the channels of x, cross residual and x + cross residual: three (h, w), whatever the class."""
    parts = (maps.features, maps.cross_residual, maps.features + maps.cross_residual)
    return [np.sqrt((part.astype(np.float64) ** 2).sum(axis=0)) for part in parts]


def class_activation(maps, class_id):
    """Response of the classifier to a class, less its mean over the classes, of x, cross residual and sum: three (h, w)."""
    raw, augmented = (logits[class_id] - logits.mean(axis=0) for logits in (maps.raw_logits, maps.cross_logits))
    return [raw, augmented - raw, augmented]


ACTIVATIONS = {"norm": norm_activation, "class": class_activation}


def choose_query(maps, common, query_label=None, reference_label=None):
    """The Query to draw: inside the common class that covers most of both images, where labels (H, W) show one; else the
    pixel that the network, on its own, takes most surely for one of `common`, the class indices of both images' tags.
    """
    best = None
    if query_label is not None and reference_label is not None:
        queries = grid_label(query_label, QUERY_STEP, maps.cross.shape[:2])
        keys = grid_label(reference_label, KEY_STEP, maps.cross.shape[2:])
        covered = {class_id: min((queries == class_id).mean(), (keys == class_id).mean()) for class_id in common}
        best = max(common, key=covered.get)
        if covered[best] > 0:
            inside = np.pad((queries == best).astype(np.uint8), 1)  # the image's edge is an edge of the object
            place = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1]
            return Query(best, _largest(place))
    surest = max(common, key=lambda class_id: maps.probability("self", class_id).max())
    return Query(surest, _largest(maps.probability("self", surest)))


def _largest(values):
    return tuple(int(i) for i in np.unravel_index(values.argmax(), values.shape))


def enlarge(values, step, shape):
    """Maps (h, w) whose points lie `step` pixels apart, from the first pixel on, as (H, W): bilinear, the edge continued."""
    rows, columns = (align_corners_weights(side, step * (side - 1) + 1) for side in values.shape)
    large = (rows @ values @ columns.T)[: shape[0], : shape[1]]
    return np.pad(large, [(0, side - had) for side, had in zip(shape, large.shape)], mode="edge")


def mark(image, row, column):
    """A copy of an image uint8 (H, W, 3) with a ring around a pixel and a dot on it."""
    picture = Image.fromarray(np.asarray(image))
    draw = ImageDraw.Draw(picture)
    radius = max(4, max(picture.size) // 28)
    width = max(2, radius // 4)
    for extra, colour in ((width // 2 + 1, (255, 255, 255)), (0, (230, 0, 0))):
        ring, dot = radius + extra, width + extra
        draw.ellipse((column - ring, row - ring, column + ring, row + ring), outline=colour, width=width + 2 * extra)
        draw.ellipse((column - dot, row - dot, column + dot, row + dot), fill=colour)
    return np.asarray(picture)


def outlined(picture, label, class_id):
    """A picture uint8 (H, W, 3) with a cased white line around the pixels of a class; as it is where label is None."""
    return picture if label is None else overlay(picture, (label == class_id).astype(np.uint8), opacity=0)


def draw_direction(maps, images, labels, names, classes, query, activation="norm"):
    """Two rows of five pictures, with their titles, for one query image and its reference.

    images: uint8 (H, W, 3), query and reference; labels: (H, W), or None where there is no truth; names: their ids.
    The first row shows COLUMNS, the second labels (without truth: what the network predicts for the query), and the probability
    of the query pixel's class by x alone, with the self and with the cross residual.
    """
    class_id, (row, column) = query
    shape, looked_at = images[0].shape[:2], maps.cross[row, column]
    marked = mark(images[0], min(row * QUERY_STEP, shape[0] - 1), min(column * QUERY_STEP, shape[1] - 1))
    focus = enlarge(looked_at / looked_at.max(), KEY_STEP, images[1].shape[:2])
    first = [marked, outlined(heat_map(images[1], focus.clip(0, 1)), labels[1], class_id)]
    peaks, activations = [], ACTIVATIONS[activation](maps, class_id)
    scales = [max(activations[0].max(), activations[2].max()), activations[1].max()] * 2  # x and x^ have one scale
    for values, scale in zip(activations, scales):
        painted = enlarge((values / max(scale, 1e-12)).clip(0, 1), QUERY_STEP, shape)
        first.append(heat_map(images[0], painted.clip(0, 1)))
        peaks.append(values.max())
    truths = [None if label is None else colour_label(label) for label in labels]
    if labels[0] is None:
        truths[0] = colour_label(_predicted(maps, shape))
    second = truths + [
        heat_map(images[0], enlarge(maps.probability(kind, class_id), QUERY_STEP, shape).clip(0, 1)) for kind in PREDICTIONS
    ]
    what = {"norm": "norm over channels", "class": f"response to {classes[class_id]}"}[activation]
    title = (
        f"{names[0]} looks at {names[1]}: {describe(looked_at, labels[1], class_id, classes)}; {what}, at most "
        + ", ".join(f"{peak:.3g}" for peak in peaks)
    )
    known = "truth" if labels[0] is not None else "prediction of the query"
    probabilities = ", ".join(f"{maps.probability(kind, class_id)[row, column]:.2f}" for kind in PREDICTIONS)
    explained = (
        f"below: {known}; then the probability of {classes[class_id]} from x alone, x + self residual, x + cross residual, "
        f"at the query pixel {probabilities}"
    )
    return [first, second], [title, explained]


def describe(looked_at, label, class_id, classes):
    """Words for the affinity (p, q) of one pixel: its strongest weight, and how much of it falls on the class."""
    text = f"strongest weight {looked_at.max():.2g}"
    if label is None:
        return text
    keys = grid_label(label, KEY_STEP, looked_at.shape)
    labelled = keys != IGNORE
    total = looked_at[labelled].sum()
    on_class = f"{100 * looked_at[keys == class_id].sum() / total:.0f} %" if total > 0 else "nothing known"
    share = (keys == class_id).sum() / max(labelled.sum(), 1)
    return f"{on_class} of the affinity on {classes[class_id]}, {100 * share:.0f} % of the reference; {text}"


def draw_pair(observed, images, labels, names, classes, common, activation="norm"):
    """Figure 3 for a pair: a sheet, uint8 (height, width, 3), with each image once as the query.

    observed: PairMaps of both directions (`cian.figures.affinity_probe.observe`); common: class indices of both images' tags.
    """
    rows, titles = [], []
    for maps, order in zip(observed, (slice(None), slice(None, None, -1))):
        turned = [part[order] for part in (list(images), list(labels), list(names))]
        query = choose_query(maps, common, *turned[1])
        drawn, text = draw_direction(maps, *turned, classes, query, activation)
        rows += drawn
        titles += text
    shown = [label for label in labels if label is not None]
    shown += [_predicted(maps, image.shape[:2]) for maps, image, label in zip(observed, images, labels) if label is None]
    return sheet(rows, COLUMNS, titles, legend_of(shown, classes), cell=(260, 195))


def _predicted(maps, shape):
    """What the network predicts on its own for the query, nearest, uint8 (H, W)."""
    label = maps.self_logits.argmax(axis=0).astype(np.uint8)
    large = label.repeat(QUERY_STEP, axis=0).repeat(QUERY_STEP, axis=1)
    return large[: shape[0], : shape[1]]

"""Contact sheet of a refinement: image, truth, class activation, boundary map and mask."""

import numpy as np

from cian.data.cams import resize_maps
from cian.figures.sheet import colour_label, heat_map, legend_of, overlay, sheet
from cian.inference.cam_labels import label_of_scores

COLUMNS = ("image", "truth", "class activation", "boundary", "mask")


def refinement_sheet(entries, classes, cam_threshold):
    """Picture uint8 (height, width, 3) with a row for each entry.

    entries: (name, image uint8 (H, W, 3), truth (H, W) or None, class ids, maps (C, h, w), boundary (h, w) or None, mask
    (H, W)); classes: names by index; cam_threshold: from which class activation is shown as a mask.
    """
    rows, labels = [], []
    for _, image, truth, class_ids, maps, boundary, mask in entries:
        cam = label_of_scores(resize_maps(maps, image.shape[:2]), class_ids, cam_threshold)
        labels += [label for label in (truth, cam, mask) if label is not None]
        rows.append(
            [
                image,
                None if truth is None else colour_label(truth),
                overlay(image, cam),
                None if boundary is None else boundary_picture(boundary, image.shape[:2]),
                overlay(image, mask),
            ]
        )
    return sheet(rows, COLUMNS, [entry[0] for entry in entries], legend_of(labels, classes))


def boundary_picture(boundary, size):
    """Boundary map (h, w) in [0, 1] enlarged to `size` (H, W), dark where there is none: uint8 (H, W, 3)."""
    large = resize_maps(np.asarray(boundary)[None], size)[0]
    return heat_map(np.zeros(large.shape + (3,), np.uint8), large, opacity=1.0, colours="magma")

"""COMNet's Figures 3 to 5 as contact sheets: masks M on groups of images, and the points that a point is matched with."""

import cv2
import numpy as np
from PIL import Image, ImageDraw

from cian.data.images import IGNORE
from cian.figures.sheet import colour_label, heat_map, legend_of, sheet

COLUMNS = ("image", "truth", "mask M", "matched: object", "matched: background", "class activation")
RED, GREEN, WHITE = (230, 0, 0), (40, 220, 40), (255, 255, 255)


def draw_mask(image, mask):
    """Image uint8 (H, W, 3) under M (h, w): red where it is positive, blue where negative, the largest |M| full."""
    size = image.shape[1::-1]
    signed = cv2.resize(np.asarray(mask, np.float32), size) / max(float(np.abs(mask).max()), 1e-12)
    return heat_map(image, ((signed + 1) / 2).clip(0, 1), opacity=0.65, colours="seismic")


def draw_points(image, points, chosen):
    """Image with a red cross on the chosen point (row, column) of the features, green ones on those it is matched with.

    points: int (h, w, k, 2), of each point its matched ones. The first and last points lie on the image's edges.
    """
    picture = Image.fromarray(np.asarray(image))
    draw = ImageDraw.Draw(picture)
    arm = max(5, max(picture.size) // 40)
    rows, columns = (np.linspace(0, side - 1, count) for side, count in zip(image.shape[:2], points.shape[:2]))
    marks = [(row, column, GREEN) for row, column in points[tuple(chosen)]] + [(*chosen, RED)]
    for row, column, colour in marks:
        x, y = columns[column], rows[row]
        for width, ink in ((max(3, arm // 2), WHITE), (max(1, arm // 4), colour)):
            draw.line((x - arm, y - arm, x + arm, y + arm), fill=ink, width=width)
            draw.line((x - arm, y + arm, x + arm, y - arm), fill=ink, width=width)
    return np.asarray(picture)


def innermost(member):
    """(row, column) of the point farthest from all that are not members, of bool (h, w); None without a member."""
    if not member.any():
        return None
    inside = np.pad(member.astype(np.uint8), 1)  # the image's edge is an edge
    return np.unravel_index(cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1].argmax(), member.shape)


def choose_points(label, class_ids, size):
    """The points to draw: innermost of the common classes and of the background in a label (H, W), on a grid of `size`."""
    rows, columns = (np.rint(np.linspace(0, side - 1, count)).astype(int) for side, count in zip(label.shape, size))
    small = label[np.ix_(rows, columns)]
    return innermost(np.isin(small, class_ids)), innermost((small == 0) & (small != IGNORE))


def draw_group(images, labels, matched, class_ids):
    """A row of COLUMNS for each image, uint8 (H, W, 3), with its label (H, W) and Matched; an empty cell is None."""
    rows = []
    for image, label, found in zip(images, labels, matched):
        crosses = [None, None]
        if found.points is not None:
            points = choose_points(label, class_ids, found.points.shape[:2])
            crosses = [None if point is None else draw_points(image, found.points, point) for point in points]
        mask = None if found.mask is None else draw_mask(image, found.mask)
        response = cv2.resize(found.cams.max(axis=0), image.shape[1::-1]).clip(0, 1)
        rows.append([image, colour_label(label), mask, *crosses, heat_map(image, response)])
    return rows


def draw_groups(groups, titles, classes):
    """One contact sheet of groups (cian.figures.matching_maps.MatchedGroup), with a title for each; classes: all names.

    A column that no image has, such as the masks without inter-matching, is left out.
    """
    rows, row_titles = [], []
    for group, title in zip(groups, titles):
        drawn = draw_group(group.images, group.labels, group.matched, group.class_ids)
        rows += drawn
        row_titles += [title] + [""] * (len(drawn) - 1)
    legend = legend_of([label for group in groups for label in group.labels], classes)
    filled = [column for column in range(len(COLUMNS)) if any(row[column] is not None for row in rows)]
    return sheet([[row[c] for c in filled] for row in rows], [COLUMNS[c] for c in filled], row_titles, legend)

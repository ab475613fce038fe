"""Straight paths between near pixels of a feature map, over which IRN measures affinity.

Ahn, Cho and Kwak, "Weakly Supervised Learning of Instance Segmentation with Inter-pixel Relations", CVPR 2019, Section 4: two
pixels are alike as far as no boundary lies between them, 1 - max of the boundary over the path that joins them.
"""

import functools


@functools.lru_cache(maxsize=None)
def paths(radius):
    """The paths from a pixel to the later half of its neighbours: tuple of tuples of cells (dy, dx), the neighbour's last.

    Neighbours are nearer than `radius` pixels and come later in reading order, so that every pair of pixels is met once. A
    path holds both its ends and the cells between them that are less than one pixel off the straight line. ValueError for a
    radius below 2, which has no neighbour.
    """
    if isinstance(radius, bool) or not isinstance(radius, int) or radius < 2:
        raise ValueError(f"radius: {radius!r}, expected a whole number of pixels, 2 or more")
    reach = range(-radius + 1, radius)
    neighbours = [(dy, dx) for dy in range(radius) for dx in reach if (dy, dx) > (0, 0) and dy * dy + dx * dx < radius * radius]
    return tuple(_path(dy, dx) for dy, dx in neighbours)


def _path(dy, dx):
    columns = range(min(0, dx), max(0, dx) + 1)
    near = [(y, x) for y in range(dy + 1) for x in columns if (dy * x - dx * y) ** 2 < dy * dy + dx * dx]
    return tuple(sorted(near, key=lambda cell: abs(cell[0]) + abs(cell[1])))


def destinations(radius):
    """The neighbours (dy, dx) that `paths` leads to, in its order."""
    return tuple(path[-1] for path in paths(radius))


@functools.lru_cache(maxsize=None)
def shared_paths(radius):
    """How to find the maximum over every path with few comparisons, in an order in which parts come first.

    A tuple of (destination, destination of the longest path that is a part of this one, or None, and the cells which that part
    lacks), one for each of `paths(radius)`. For radius 10 these are 798 terms instead of 2,134.
    """
    whole = {path[-1]: set(path) for path in paths(radius)}
    plan = []
    for goal in sorted(whole, key=lambda goal: len(whole[goal])):
        parts = [part for part, _, _ in plan if whole[part] <= whole[goal]]
        part = max(parts, key=lambda part: len(whole[part]), default=None)
        plan.append((goal, part, tuple(sorted(whole[goal] - whole.get(part, set())))))
    return tuple(plan)

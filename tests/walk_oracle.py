"""A slow oracle of IRN's affinity between pixels."""

import numpy as np


def affinity_by_loops(boundary, radius):
    """A, float64 (n, n): for every pair of pixels nearer than radius, 1 - max over the cells beside the straight line."""
    height, width = boundary.shape
    matrix = np.eye(height * width)
    for y0 in range(height):
        for x0 in range(width):
            for y1 in range(height):
                for x1 in range(width):
                    length = np.hypot(y1 - y0, x1 - x0)
                    if not 0 < length < radius:
                        continue
                    highest = 0.0
                    for y in range(min(y0, y1), max(y0, y1) + 1):
                        for x in range(min(x0, x1), max(x0, x1) + 1):
                            off_line = abs((y1 - y0) * (x - x0) - (x1 - x0) * (y - y0)) / length
                            if off_line < 1 - 1e-12:
                                highest = max(highest, boundary[y, x])
                    matrix[y0 * width + x0, y1 * width + x1] = 1 - highest
    return matrix

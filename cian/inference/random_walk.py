"""Random walk over a boundary map: class activation spreads to the object and stops at its boundary.

Ahn, Cho and Kwak, CVPR 2019: the walk's matrix is A^beta, element by element, with columns divided by their sums; A is the
affinity of near pixels (see paths.py) and 1 on the diagonal. The published code makes the dense matrix of all pairs and
squares it `exponent` times; here the sparse one is applied 2^exponent times, which is the same up to rounding. For an image
of 500 x 375 and two classes that is 1/30,000 of the multiplications, and 1/170 of the memory. Maps are squared where that
is less work: small ones, or many steps.
"""

import numpy as np
import scipy.sparse

from cian.data.cams import resize_maps
from cian.inference.paths import paths

STRIDE = 4  # of the boundary map: a side of S image pixels has (S - 1) // 4 + 1
SQUARING_GAIN = 20  # multiplications a second of a dense product, beside those of a sparse one


def affinities(boundary, radius=5):
    """Affinity of near pixels as {(dy, dx): float32 (h - dy, w - |dx|)}, 1 - max of the boundary over the path.

    boundary: (h, w) in [0, 1]. Entry [y, x] joins the x-th pixel of row y that has a neighbour at (dy, dx) to that neighbour.
    Neighbours that lie outside for all pixels are left out.
    """
    boundary = _checked(boundary)
    height, width = boundary.shape
    found = {}
    for path in paths(radius):
        dy, dx = path[-1]
        rows, columns = height - dy, width - abs(dx)
        if rows > 0 and columns > 0:
            left = max(0, -dx)  # first column that has the neighbour
            cells = (boundary[y : y + rows, left + x : left + x + columns] for y, x in path)
            found[dy, dx] = 1 - _largest(cells)
    return found


def transition(boundary, radius=5, beta=10.0):
    """The walk's transposed matrix for a boundary map (h, w): sparse float32 (h w, h w), whose rows sum to 1.

    Row j holds, for each near pixel i, A_ij^beta / sum_i A_ij^beta: the weight of i's score in j's score one step later.
    """
    boundary = _checked(boundary)
    count, width = boundary.size, boundary.shape[1]
    diagonals = {0: np.ones(count)}  # offset -> entries (h w,), each at its column, as scipy keeps them
    degree = np.ones(count)  # float64 up to the end: an error in a row's sum would grow with every step
    index = np.arange(count).reshape(boundary.shape)
    for (dy, dx), affinity in affinities(boundary, radius).items():
        weight = (affinity.astype(np.float64) ** beta).ravel()
        rows, columns, left = affinity.shape[0], affinity.shape[1], max(0, -dx)
        source = index[:rows, left : left + columns].ravel()
        offset = dy * width + dx  # two neighbours may share it in a narrow map; their pixels differ
        for column, at in ((source + offset, offset), (source, -offset)):
            diagonals.setdefault(at, np.zeros(count))[column] = weight
        degree[source] += weight
        degree[source + offset] += weight
    offsets = sorted(diagonals)
    matrix = scipy.sparse.dia_matrix((np.stack([diagonals[at] for at in offsets]), offsets), shape=(count, count))
    for at, entries in zip(offsets, matrix.data):  # divide each row by its sum; entry k of a diagonal is in row k - offset
        low, high = max(0, at), count + min(0, at)
        entries[low:high] /= degree[low - at : high - at]
    return matrix.astype(np.float32)


def propagate(scores, boundary, radius=5, beta=10.0, exponent=8):
    """Scores (C, h, w) after 2^exponent steps of the walk over a boundary map (h, w) in [0, 1]: float32 (C, h, w).

    Each step replaces a pixel's score by the weighted mean of its neighbourhood's, so values stay within those of the start;
    the start is the scores times 1 - boundary. ValueError names an argument of another shape or range.
    """
    scores = np.asarray(scores, np.float32)
    boundary = _checked(boundary)
    if scores.ndim != 3 or scores.shape[1:] != boundary.shape:
        raise ValueError(f"scores: expected (C,) + {boundary.shape}, the boundary map's size, found {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("scores: expected finite values")
    if isinstance(exponent, bool) or not isinstance(exponent, int) or not 0 <= exponent <= 20:
        raise ValueError(f"exponent: {exponent!r}, expected a whole number from 0 to 20")
    start = (scores * (1 - boundary)).reshape(len(scores), -1)  # (C, h, w) -> (C, h w)
    walk = walk_squared if squaring_pays(boundary.size, len(paths(radius)), len(scores), exponent) else walk_stepwise
    return walk(start, transition(boundary, radius, beta), exponent).reshape(scores.shape)


def squaring_pays(pixels, neighbours, classes, exponent):
    """Is squaring the dense matrix less work than applying the sparse one? In multiplications."""
    stepwise = 2**exponent * (2 * neighbours + 1) * pixels * classes
    return exponent * pixels**3 < SQUARING_GAIN * stepwise


def walk_stepwise(start, matrix, exponent):
    """2^exponent products of the sparse matrix with each row of `start` (C, n): float32 (C, n)."""
    result = np.empty_like(start)
    for number, vector in enumerate(start):
        for _ in range(2**exponent):
            vector = matrix @ vector
        result[number] = vector
    return result


def walk_squared(start, matrix, exponent):
    """The same by squaring the dense matrix `exponent` times: float32 (C, n)."""
    dense = matrix.toarray()
    for _ in range(exponent):
        dense = dense @ dense
    return start @ dense.T


def walk_scores(maps, boundary, size, radius=5, beta=10.0, exponent=8):
    """Class activation (C, h, w) of any resolution, spread over a boundary map: float32 (C, H, W), largest value 1.

    size: (H, W) of the image; boundary: ((H-1)//4+1, (W-1)//4+1) in [0, 1]. As published, the scores are enlarged bilinearly
    by 4, cut to the image and divided by the largest of all classes.
    """
    small = tuple((side - 1) // STRIDE + 1 for side in size)
    if np.shape(boundary) != small:
        raise ValueError(f"boundary: expected {small} for an image of {tuple(size)}, found {np.shape(boundary)}")
    if not len(maps):
        return np.zeros((0,) + tuple(size), np.float32)
    spread = propagate(resize_maps(maps, small), boundary, radius, beta, exponent)
    large = resize_maps(spread, [STRIDE * side for side in small])[:, : size[0], : size[1]]
    return large / max(float(large.max()), np.finfo(np.float32).tiny)


def _largest(arrays):
    arrays = iter(arrays)
    largest = next(arrays).copy()
    for array in arrays:
        np.maximum(largest, array, out=largest)
    return largest


def _checked(boundary):
    boundary = np.asarray(boundary, np.float32)
    if boundary.ndim != 2 or 0 in boundary.shape:
        raise ValueError(f"boundary: expected shape (h, w), found {boundary.shape}")
    if not (boundary.min() >= 0 and boundary.max() <= 1):
        raise ValueError(f"boundary: expected values in [0, 1], found {boundary.min()}..{boundary.max()}")
    return boundary

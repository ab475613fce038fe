"""COMNet's two matchings of features (Su et al., "COMNet: Co-Occurrent Matching for Weakly Supervised Semantic Segmentation").

Inter-matching (its Sec. III-A) finds what the images of a group have in common, intra-matching (III-B) carries features between
like points of one image. What the paper leaves open is decided as in FIDELITY.md.
"""

from cian.base.runtime import mx
from cian.models.layers import conv

KRYLOV_STEPS = 32  # real features need 12 for |cos| > 0.99999, random ones of 2048 points 32
TINY = 1e-12
TAKEN = 3e38  # less than the largest float32; no value comes near it
SIDES = ("cam", "norm")
DISTANCES = ("l2", "dot")
STARTS = ("default", "zero")


def apply_affinity(F, rows, points, counted=None):
    """rows D for D = X'X - 11' (Eq. 4), never forming D: rows (P, r, n), points X (P, C, n) -> (P, r, n).

    counted: ones and zeros (P, 1, n) in the place of 1, where not all points take part; those that do not are zero in X.
    """
    inner = F.batch_dot(rows, points, transpose_b=True)  # (P, r, n) x (P, n, C) -> (P, r, C)
    similar = F.batch_dot(inner, points)  # (P, r, C) x (P, C, n) -> (P, r, n)
    if counted is None:
        return F.broadcast_sub(similar, F.sum(rows, axis=2, keepdims=True))
    return similar - F.batch_dot(F.batch_dot(rows, counted, transpose_b=True), counted)  # (P, r, 1) x (P, 1, n)


def normalised(F, rows, at_least=TINY):
    """Rows (P, 1, n) of unit norm; zero where the norm is below `at_least`."""
    norm = F.sqrt(F.sum(F.square(rows), axis=2, keepdims=True))
    return F.broadcast_mul(rows, (norm >= at_least) / F.maximum(norm, at_least))


def leading_eigenvector(F, points, steps=KRYLOV_STEPS, counted=None):
    """Unit eigenvector of the largest algebraic eigenvalue of X'X - 11': points X (P, C, n) of unit norm -> (P, 1, n).

    counted: see apply_affinity; the vector is zero at points that do not take part.

    Lanczos with full reorthogonalisation: rows q of an orthonormal basis Q of the Krylov space, then the small eigenproblem of
    Q D Q' (Rayleigh-Ritz). The ends of the spectrum converge first, the largest eigenvalue (D has trace 0, so it is positive)
    as fast as the most negative one, which plain power iteration would find. A direction that the space holds already becomes
    zero, hence an eigenvalue 0, which never wins. Time and memory grow as steps C n.
    """
    phase = F.reshape(F.cos(2.4 * F.contrib.arange_like(points, axis=1)), (1, 1, -1))  # any fixed mixture of the channels
    mixture = F.batch_dot(F.broadcast_like(phase, points, lhs_axes=(0,), rhs_axes=(0,)), points)  # (P, 1, C) x (P, C, n)
    basis = normalised(F, apply_affinity(F, mixture, points, counted))
    newest = basis
    for _ in range(steps - 1):
        newest = apply_affinity(F, newest, points, counted)
        for at_least in (TINY, 0.5):  # twice is enough; what the second pass more than halves was rounding error
            inside = F.batch_dot(newest, basis, transpose_b=True)  # (P, 1, n) x (P, n, s) -> (P, 1, s)
            newest = normalised(F, newest - F.batch_dot(inside, basis), at_least)
        basis = F.concat(basis, newest, dim=1)  # (P, s + 1, n)
    small = F.batch_dot(apply_affinity(F, basis, points, counted), basis, transpose_b=True)  # (P, steps, steps)
    vectors, _ = F.linalg.syevd((small + F.transpose(small, axes=(0, 2, 1))) / 2)  # rows, eigenvalues ascending
    return F.batch_dot(F.slice_axis(vectors, axis=1, begin=-1, end=None), basis)  # (P, 1, steps) x (P, steps, n)


class InterMatching(mx.gluon.HybridBlock):
    """Co-occurrence masks M of groups: features (P, G, C, h, w), responses (P, G, 1, h, w) -> M (P, G, 1, h, w), no gradient.

    All G h w points of a group are one matching problem; M has unit norm over them. Its sign, which the eigenproblem leaves
    open, makes the side with the larger mean response positive. side "cam": the responses given; "norm": the feature norms.
    counted: where given, zeros (P, G, 1, h, w) at points that take no part, whose M is 0, and ones elsewhere.
    """

    def __init__(self, side="cam", steps=KRYLOV_STEPS):
        super().__init__(prefix="")
        if side not in SIDES:
            raise ValueError(f"side: {side!r}, expected one of {', '.join(SIDES)}")
        self._side, self._steps = side, steps

    def hybrid_forward(self, F, features, responses, counted=None):
        features, responses = F.stop_gradient(features), F.stop_gradient(responses)
        points = F.reshape(F.transpose(features, axes=(0, 2, 1, 3, 4)), (0, 0, -1))  # (P, G, C, h, w) -> (P, C, G h w)
        if self._side == "norm":
            responses = F.sqrt(F.sum(F.square(features), axis=2, keepdims=True))  # over the channels
        points = F.L2Normalization(points, mode="channel")  # over C
        if counted is not None:
            counted = F.reshape(F.stop_gradient(counted), (0, 1, -1))  # (P, G, 1, h, w) -> (P, 1, G h w)
            points = F.broadcast_mul(points, counted)
        mask = leading_eigenvector(F, points, self._steps, counted)
        mask = F.reshape_like(mask, responses)  # (P, 1, G h w) -> (P, G, 1, h, w)
        return F.stop_gradient(F.broadcast_mul(mask, self._sign(F, mask, responses)))

    @staticmethod
    def _sign(F, mask, responses):
        """1 or -1 of each group, (P, 1, 1, 1, 1)."""
        means = []
        for side in (mask > 0, mask < 0):
            members = F.sum(side, axis=(1, 2, 3, 4), keepdims=True)
            total = F.sum(side * responses, axis=(1, 2, 3, 4), keepdims=True)
            means.append(total / F.maximum(members, 1.0))
        return 2 * (means[0] >= means[1]) - 1


def enhance(F, features, mask, alpha):
    """Eq. 5: features (P, G, C, h, w) times alpha where the mask (P, G, 1, h, w) is positive."""
    return F.broadcast_mul(features, 1 + (alpha - 1) * (mask > 0))


def nearest_points(F, points, k, distance="l2", parallel=False):
    """Indices (N, n, k) of each point's k nearest others, nearest first, of points (N, C, n) (Eq. 6).

    distance "l2": the true Euclidean one; "dot": the largest inner product, as Eq. 6 is printed. parallel: see IntraMatching.
    """
    points = F.stop_gradient(points)
    left, right = points, points
    if distance == "l2":  # 2 xi'xj - |xj|^2, which is -|xi - xj|^2 but for what is the same for all j
        squares = F.sum(F.square(points), axis=1, keepdims=True)  # (N, 1, n)
        left, right = F.concat(2 * points, -F.ones_like(squares), dim=1), F.concat(points, squares, dim=1)
    if parallel:
        return largest_in_turn(F, F.batch_dot(right, left, transpose_a=True), k)  # (N, n, n), a point in each column
    closeness = F.batch_dot(left, right, transpose_a=True)  # (N, n, n), a point in each row
    return without_itself(F, F.topk(closeness, k=k + 1, axis=2, ret_typ="indices"))


def largest_in_turn(F, closeness, k):
    """Rows of the k largest values of every column but the one on the diagonal, of (N, n, n): (N, n, k), the largest first.

    One by one, each taken away when it is found: k readings of the array, where a GPU's `topk` of more than 5 sorts all of it
    three times, in six times its memory.
    """
    rows = F.reshape(F.contrib.arange_like(closeness, axis=1), (1, -1, 1))  # (1, n, 1)
    newest = F.reshape(F.contrib.arange_like(closeness, axis=2), (1, 1, -1))  # (1, 1, n), at first each its own number
    found = []
    for _ in range(k):
        closeness = F.broadcast_sub(closeness, TAKEN * F.broadcast_equal(rows, newest))
        newest = F.argmax(closeness, axis=1, keepdims=True)  # over the rows, (N, 1, n); of equal ones the first
        found.append(newest)
    return F.transpose(F.concat(*found, dim=1), axes=(0, 2, 1))  # (N, k, n) -> (N, n, k)


def without_itself(F, nearest):
    """Indices (N, n, k + 1) without each row's own number, or, where it is not among them, without the last: (N, n, k).

    Cheaper than a diagonal of -inf, which would need another array (N, n, n).
    """
    own = F.reshape(F.contrib.arange_like(nearest, axis=1), (1, -1, 1))  # (1, n, 1)
    place = F.reshape(F.contrib.arange_like(nearest, axis=2), (1, 1, -1))  # (1, 1, k + 1)
    itself = F.broadcast_equal(nearest, own)
    absent = 1e9 * (1 - F.sum(itself, axis=2, keepdims=True))
    found = F.sum(F.broadcast_mul(itself, place), axis=2, keepdims=True) + absent  # place of the own number, (N, n, 1)
    behind = F.broadcast_greater_equal(F.broadcast_like(place, nearest), found)
    head, tail = (F.slice_axis(nearest, axis=2, begin=first, end=last) for first, last in ((0, -1), (1, None)))
    return F.where(F.slice_axis(behind, axis=2, begin=0, end=-1), tail, head)


def largest_of(F, points, chosen, k, parallel=False):
    """Element-wise maximum over chosen points: points (N, n, C), chosen (N, n, k) -> (N, n, C); gradient to one winner.

    parallel: see IntraMatching.
    """
    count = F.max(F.contrib.arange_like(chosen, axis=1)) + 1  # n
    first = F.broadcast_mul(F.contrib.arange_like(chosen, axis=0), count)  # (N,), row number of each image's first point
    chosen = F.broadcast_add(chosen, F.reshape(first, (-1, 1, 1)))
    flat = F.reshape(points, (-3, 0))  # (N, n, C) -> (N n, C)
    if parallel:  # the gradient of `take` along any axis but the first sorts the indices and adds up each row for itself
        flat = F.expand_dims(flat, axis=0)  # (1, N n, C)
    largest = None
    for j in range(k):  # one by one: F.max over an axis of (N, n, k, C) is many times slower on a CPU
        one = F.squeeze(F.slice_axis(chosen, axis=2, begin=j, end=j + 1), axis=2)  # (N, n)
        one = F.take(flat, one, axis=1) if parallel else F.take(flat, one)  # (1, N, n, C) or (N, n, C)
        largest = one if largest is None else F.maximum(largest, one)
    return F.squeeze(largest, axis=0) if parallel else largest


class IntraMatching(mx.gluon.HybridBlock):
    """Features (N, C, h, w) -> the same shape: x_i + max over the k nearest points j of MLP(x_j) (Eq. 7 and 8).

    The MLP is one 1x1 convolution, `conv_match`. distance: see nearest_points. residual False leaves x_i out, as Eq. 8 is
    printed. start "default": with a bias, both uniform within 1 / sqrt(C), as PyTorch starts the convolution of the paper's
    source; "zero": without a bias and, where there is a residual, zero, so that training begins at the plain classifier.

    parallel, an attribute set before the first call: the operators whose kernels are parallel on a GPU (a maximum at a time
    instead of a full sort, a sorted instead of a serial gradient of `take`), with the same result. Slower on a CPU.
    """

    def __init__(self, channels, k=8, distance="l2", residual=True, start="default"):
        super().__init__(prefix="")
        if distance not in DISTANCES:
            raise ValueError(f"distance: {distance!r}, expected one of {', '.join(DISTANCES)}")
        if k < 1:
            raise ValueError(f"k: {k}, expected 1 or more points")
        if start not in STARTS:
            raise ValueError(f"match_init: {start!r}, expected one of {', '.join(STARTS)}")
        self._k, self._distance, self._residual, self.parallel = k, distance, residual, False
        uniform, zero = mx.init.Uniform(channels**-0.5), mx.init.Zero() if residual else None
        self.mlp = conv("conv_match", channels, channels, 1, **(
            dict(bias=True, weight_init=uniform, bias_init=uniform) if start == "default" else dict(weight_init=zero)
        ))  # fmt: skip

    def nearest(self, F, x):
        """Indices (N, h w, k) of the points that each point of features (N, C, h, w) is matched with."""
        points = F.reshape(x, (0, 0, -1))  # (N, C, h, w) -> (N, C, h w)
        return nearest_points(F, points, self._k, self._distance, self.parallel)

    def hybrid_forward(self, F, x):
        points = F.transpose(F.reshape(self.mlp(x), (0, 0, -1)), axes=(0, 2, 1))  # (N, C, h, w) -> (N, h w, C)
        matched = largest_of(F, points, self.nearest(F, x), self._k, self.parallel)
        # first (N, h, w, C), then the axes: the other way round oneDNN's layout of the gradient meets a shape it does not fit
        matched = F.reshape_like(matched, x, lhs_begin=1, lhs_end=2, rhs_begin=2, rhs_end=4)
        matched = F.transpose(matched, axes=(0, 3, 1, 2))
        return x + matched if self._residual else matched

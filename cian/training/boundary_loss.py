"""IRN's losses of boundaries and displacements over pairs of near pixels (Ahn, Cho and Kwak, CVPR 2019, Section 4).

A pair is alike if both pixels have the same confident class, and different if they have different ones; other pairs do not
count. Only sources whose whole neighbourhood lies inside the map take part, as in the published code.
"""

from cian.inference.paths import destinations, shared_paths
from cian.training.losses import Loss

EPSILON = 1e-5  # in logarithms and divisions, as published
IGNORE_FROM = 254.5  # labels above it are no class
TERMS = ("boundary_background", "boundary_foreground", "boundary_different", "displace_foreground", "displace_background")


class BoundaryLoss(Loss):
    """The terms of `terms`, each (1,); their sum is the published loss.

    Called with boundary logits (N, 1, h, w), labels (N, h, w) of class indices, 255 unknown, and, unless displacement is False,
    displacements (N, 2, h, w). Weights: 1/4 for alike pairs of background and as much for those of an object, 1/2 for different
    pairs, 1/2 for each displacement term. Each is a mean over its pairs in the device's batch. h must exceed radius - 1 and w
    twice that.
    """

    def __init__(self, radius=10, displacement=True):
        super().__init__(prefix="")
        self._radius, self._displacement = radius, displacement
        self.terms = TERMS if displacement else TERMS[:3]

    def hybrid_forward(self, F, logits, label, field=None):
        goals = destinations(self._radius)
        source = self._window(F, label.expand_dims(1), (0, 0))  # (N, 1, p, q): the sources
        target = F.concat(*[self._window(F, label.expand_dims(1), goal) for goal in goals], dim=1)  # (N, D, p, q)
        known = F.broadcast_mul(target < IGNORE_FROM, source < IGNORE_FROM)
        same = F.broadcast_equal(target, source) * known
        alike = {"background": F.broadcast_mul(same, source == 0), "foreground": F.broadcast_mul(same, source > 0)}
        different = known - same
        affinity = 1 - self._largest(F, F.sigmoid(logits))  # (N, D, p, q)
        losses = [mean_over(F, -F.log(affinity + EPSILON), alike[kind]) / 4 for kind in ("background", "foreground")]
        losses.append(mean_over(F, -F.log(1 + EPSILON - affinity), different) / 2)
        if self._displacement:
            losses += [self._off_object(F, field, alike["foreground"]), self._moved(F, field, alike["background"])]
        return losses

    def _largest(self, F, boundary):
        """Maximum of (N, 1, h, w) over the path to each neighbour: (N, D, p, q)."""
        windows, largest = {}, {}
        for goal, part, cells in shared_paths(self._radius):
            value = largest.get(part)
            for cell in cells:
                if cell not in windows:
                    windows[cell] = self._window(F, boundary, cell)
                value = windows[cell] if value is None else F.maximum(value, windows[cell])
            largest[goal] = value
        return F.concat(*[largest[goal] for goal in destinations(self._radius)], dim=1)

    def _pairs(self, F, field, axis):
        """D(source) - D(neighbour) of one coordinate of the displacements: (N, D, p, q)."""
        one = F.slice_axis(field, axis=1, begin=axis, end=axis + 1)
        neighbours = F.concat(*[self._window(F, one, goal) for goal in destinations(self._radius)], dim=1)
        return F.broadcast_sub(self._window(F, one, (0, 0)), neighbours)

    def _off_object(self, F, field, pairs):
        """Within an object both pixels lead to the same place: D(i) - D(j) = x_j - x_i."""
        total = 0
        zero = F.zeros_like(F.slice(field, begin=(0, 0, 0, 0), end=(1, 1, 1, 1)))  # of the field's dtype
        for axis in (0, 1):
            offsets = [float(goal[axis]) for goal in destinations(self._radius)]
            wanted = F.concat(*[zero + offset for offset in offsets], dim=1)  # (1, D, 1, 1)
            total = total + mean_over(F, F.abs(F.broadcast_sub(self._pairs(F, field, axis), wanted)), pairs) / 4
        return total

    def _moved(self, F, field, pairs):
        """Within the background nothing leads anywhere in particular: D(i) = D(j)."""
        return sum(mean_over(F, F.abs(self._pairs(F, field, axis)), pairs) / 4 for axis in (0, 1))

    def _window(self, F, x, cell):
        """(N, C, h, w) moved by `cell` (dy, dx), cut to the sources: (N, C, p, q), p = h - radius + 1, q = w - 2 radius + 2."""
        reach, (dy, dx) = self._radius - 1, cell
        begin, end = (None, None, dy, reach + dx), (None, None, (dy - reach) or None, (dx - reach) or None)
        return F.slice(x, begin=begin, end=end)


def mean_over(F, values, weights):
    """Mean of the values where weights are one, (1,); 0 where none is."""
    return F.reshape(F.sum(values * weights) / (F.sum(weights) + EPSILON), (1,))

"""The published test-time network: several scales, their maximum, and the mirrored image (FIDELITY rows 22 and 23)."""

from cian.base.runtime import mx
from cian.models.cian import STRIDE


class MultiScale(mx.gluon.HybridBlock):
    """Logits of (N, 3, H, W) images averaged over scales, their element-wise maximum and mirroring: (N, K, h, w) at stride 8.

    size is (H, W), or None for a graph that takes any odd sides and gives the same numbers. All resizing is bilinear with
    aligned corners. The published code averages after enlarging the four maps; that is linear, so averaging first gives the
    same at a fraction of the work.
    """

    def __init__(self, net, size, scales=(0.75, 1.0, 1.25), flip=True):
        super().__init__(prefix="")
        if 1 not in scales:
            raise ValueError(f"scales: {scales}, expected 1 among them: the others are brought to its size")
        self.net = net
        self._size, self._flip = size, flip
        self._scales = [scale for scale in scales if scale != 1]

    def hybrid_forward(self, F, x):
        merged = self._merge_scales(F, x)
        if self._flip:
            mirrored = self._merge_scales(F, F.reverse(x, axis=3))
            merged = (merged + F.reverse(mirrored, axis=3)) / 2
        return merged

    def _merge_scales(self, F, x):
        maps = [self.net(x)]
        for scale in self._scales:
            maps.append(self._fit(F, self.net(self._scaled(F, x, scale)), maps[0]))
        if len(maps) > 1:
            largest = maps[0]
            for other in maps[1:]:
                largest = F.maximum(largest, other)
            maps.append(largest)
        return sum(maps[1:], maps[0]) / len(maps)

    def _scaled(self, F, x, scale):
        """Images whose sides S become (S - 1) scale + 1, rounded down."""
        if self._size is None:
            return F.contrib.BilinearResize2D(x, mode="odd_scale", scale_height=scale, scale_width=scale)
        height, width = (int((side - 1) * scale) + 1 for side in self._size)
        return F.contrib.BilinearResize2D(x, height=height, width=width)

    def _fit(self, F, maps, like):
        """Maps brought to the size of those at scale 1."""
        if self._size is None:
            return F.contrib.BilinearResize2D(maps, like, mode="like")
        height, width = ((side - 1) // STRIDE + 1 for side in self._size)
        return F.contrib.BilinearResize2D(maps, height=height, width=width)

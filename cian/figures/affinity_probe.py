"""The affinity module opened up: what happens between a query image and a reference (CIAN paper, Eq. 1-5 and Fig. 3)."""

import cv2
import numpy as np

from cian.base.runtime import mx
from cian.figures.affinity_maps import PairMaps
from cian.models.affinity import MERGES
from cian.models.cian import STRIDE


class AffinityProbe(mx.gluon.HybridBlock):
    """The intermediate values of a query with features (N, C, h, w) and its reference with (N, C, h', w'), of any sizes.

    Shares the affinity block and fc1 of `net`, a CIAN with affinity; the features are those of `net.backbone`. Gives, for the L
    or L' pooled pixels of the query itself and of the reference: affinity to itself (N, hw, L), and to the reference
    (N, hw, L'), summing to 1 over the last axis (Eq. 1, 2); self and cross residual phi_o(m), (N, C, h, w) each (Eq. 3-5);
    logits (N, K, h, w) each of x alone, of x + self residual (testing) and of x + cross residual (training).
    merge and with_self: as of GroupCIAN.
    """

    def __init__(self, net, merge="max", with_self=True):
        super().__init__(prefix="")
        if net.affinity is None:
            raise ValueError("net: a network without affinity has no residuals; expected CIAN(affinity=True)")
        if merge not in MERGES:
            raise ValueError(f"merge: {merge!r}, expected one of {', '.join(MERGES)}")
        self.affinity, self.fc1 = net.affinity, net.fc1
        self._merge, self._with_self = merge, with_self

    def hybrid_forward(self, F, x, reference):
        affinity, fc1 = self.affinity, self.fc1
        query, *own = affinity.embed(F, x)
        _, *other = affinity.embed(F, reference)
        weights = [affinity.weights(F, query, key) for key, _ in (own, other)]
        messages = [F.batch_dot(value, w, transpose_b=True) for (_, value), w in zip((own, other), weights)]
        if self._with_self:  # Eq. 5: the image itself takes part
            messages[1] = F.maximum(*messages) if self._merge == "max" else (messages[0] + messages[1]) / 2
        residuals = [affinity.project(F, message, x) for message in messages]
        return weights + residuals + [fc1(x)] + [fc1(x + residual) for residual in residuals]


def observe(probe, backbone, images, device=None):
    """PairMaps of the first of two images, uint8 (H, W, 3) RGB, with the second as reference, and the other way round.

    backbone: of the network that the probe is made of. The images are padded with black at the bottom and right, by less than
    a stride. Testing pads to a fixed size instead; then affinity would go to the padding, which is no part of the reference.
    """
    features = [backbone(mx.nd.array(_fit(image)[None], ctx=device, dtype="float32")) for image in images]
    observed = []
    for x, reference in (features, features[::-1]):
        own, cross, *others = [output[0].asnumpy() for output in probe(x, reference)]
        own, cross = (w.reshape(x.shape[2:] + pooled(y.shape[2:])) for w, y in ((own, x), (cross, reference)))
        observed.append(PairMaps(x[0].asnumpy(), own, cross, *others))  # affinity (hw, L) -> (h, w, p, q)
    return tuple(observed)


def pooled(sides):
    """Sides (p, q) of the keys of a feature map with sides (h, w): 3x3 pooling, stride 2, one pixel of padding."""
    return tuple((side - 1) // 2 + 1 for side in sides)


def _fit(image):
    """uint8 (H, W, 3) -> (3, H', W'), the sides rounded up to a multiple of the stride plus 1."""
    bottom, right = (-(side - 1) % STRIDE for side in image.shape[:2])
    return cv2.copyMakeBorder(np.asarray(image), 0, bottom, 0, right, cv2.BORDER_CONSTANT).transpose(2, 0, 1)

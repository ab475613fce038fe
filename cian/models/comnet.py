"""COMNet's classifier (Su et al., Fig. 1): IRN's class activation network with matchings on its last features."""

import math

from cian.base.runtime import mx
from cian.models import cian
from cian.models.layers import conv
from cian.models.matching import InterMatching, IntraMatching, enhance
from cian.models.resnet_v1 import ResNetV1

#: matching -> (inter, intra); the rows of COMNet's Table II
MATCHINGS = {"none": (False, False), "inter": (True, False), "intra": (False, True), "both": (True, True)}
#: name -> (function(frozen_bn) making features of images, output stride)
STRIDE16 = {
    "resnet50v1b": (lambda frozen_bn: ResNetV1(50, "3x3", frozen_bn), 16),
    "resnet50v1": (lambda frozen_bn: ResNetV1(50, "1x1", frozen_bn), 16),
    "resnet101v1b": (lambda frozen_bn: ResNetV1(101, "3x3", frozen_bn), 16),
}
#: those, and of cian.models.cian, at stride 8, what is not among them
BACKBONES = {**STRIDE16, **{n: (make, cian.STRIDE) for n, make in cian.BACKBONES.items() if n not in STRIDE16}}
PADDINGS = ("matched", "ignored")
BATCHNORMS = ("statistics", "frozen", "trained")


def backbone(name, batchnorm="statistics"):
    """(network, output stride) of the backbone called `name`; ValueError lists the choices.

    batchnorm "statistics": global statistics, gamma and beta trained (IRN); "frozen": these fixed too; "trained": all trained.
    """
    if name not in BACKBONES:
        raise ValueError(f"backbone: {name!r}, expected one of {', '.join(BACKBONES)}")
    if batchnorm not in BATCHNORMS:
        raise ValueError(f"batchnorm: {batchnorm!r}, expected one of {', '.join(BATCHNORMS)}")
    make, stride = BACKBONES[name]
    net = make(batchnorm != "trained")
    if batchnorm == "statistics":
        for parameter in net.collect_params("(?!bn_data).*_(gamma|beta)$").values():
            parameter.grad_req = "write"
    return net, stride


class COMNet(mx.gluon.HybridBlock):
    """Class scores of groups of images: (P, G, 3, H, W) RGB 0..255 -> logits (P, G, classes), background not among the classes.

    matching: one of MATCHINGS; "none" is the plain class activation network. Inter-matching finds masks over each group and
    multiplies the features by alpha where they are positive, intra-matching follows; then a 1x1 convolution without bias, whose
    maps are the activation maps, and global average pooling. side: see InterMatching; k, distance, residual: IntraMatching,
    and match_init, its start.
    padding: pixels of the mean colour, "matched" like all others, or "ignored" by inter-matching, whose M is 0 there.
    """

    def __init__(self, backbone_name, classes=20, matching="both", alpha=1.5, k=8, side="cam", distance="l2", residual=True,
                 padding="matched", batchnorm="statistics", match_init="default"):  # fmt: skip
        super().__init__(prefix="")
        if matching not in MATCHINGS:
            raise ValueError(f"matching: {matching!r}, expected one of {', '.join(MATCHINGS)}")
        if padding not in PADDINGS:
            raise ValueError(f"padding: {padding!r}, expected one of {', '.join(PADDINGS)}")
        inter, intra = MATCHINGS[matching]
        self.backbone, self.stride = backbone(backbone_name, batchnorm)
        self.inter = InterMatching(side) if inter else None
        self.intra = IntraMatching(self.backbone.channels, k, distance, residual, match_init) if intra else None
        self.classifier = conv("classifier", classes, self.backbone.channels, 1, weight_init=mx.init.Normal(0.01))
        self._alpha, self._padding = alpha, padding
        #: smallest side of an image, pixels: intra-matching needs more than k points
        self.least_side = self.stride * math.isqrt(k) + 1 if intra else self.stride

    def suit(self, devices):
        """Choose the operators of intra-matching that are parallel where `devices` are GPUs; before the first call."""
        if self.intra is not None:
            self.intra.parallel = any(device.device_type == "gpu" for device in devices)

    def maps(self, x):
        """Score maps (G, classes, h, w) of the images of one group (G, 3, H, W); at test an image and its mirror."""
        return self._maps(mx.nd, *self._grouped(mx.nd, x.expand_dims(0)))

    def image_maps(self, F, x):
        """Score maps (N, classes, h, w) of images (N, 3, H, W), each in a group with its mirror, as at test."""
        if self.inter is None:  # no image has a part in the maps of another
            features = self.backbone(x)
        else:
            images = F.reshape(F.concat(x, F.flip(x, axis=3), dim=1), (-1, 3, 0, 0))  # (N, 6, H, W) -> (2 N, 3, H, W)
            features = self._enhanced(F, images, F.reshape(self.backbone(images), (-4, -1, 2, -2)))  # (N, 2, C, h, w)
            features = F.squeeze(F.slice_axis(features, axis=1, begin=0, end=1), axis=1)  # without the mirrors
        return self.classifier(features if self.intra is None else self.intra(features))

    def masks(self, x):
        """Co-occurrence masks M (G, h, w) of one group of images (G, 3, H, W); ValueError without inter-matching."""
        if self.inter is None:
            raise ValueError("matching: this network has no inter-matching, hence no masks")
        mask = self._mask(mx.nd, *self._grouped(mx.nd, x.expand_dims(0)))
        return mask.reshape((-3, -3, 0))  # (1, G, 1, h, w) -> (G, h, w)

    def matched_points(self, x):
        """Indices (G, h w, k) of the points that each point is matched with in its image, images (G, 3, H, W) of one group,
        and the size (h, w) of the features; ValueError without intra-matching.
        """
        if self.intra is None:
            raise ValueError("matching: this network has no intra-matching, hence no matched points")
        features = self._enhanced(mx.nd, *self._grouped(mx.nd, x.expand_dims(0)))[0]  # (1, G, C, h, w) -> (G, C, h, w)
        return self.intra.nearest(mx.nd, features), features.shape[2:]

    def hybrid_forward(self, F, x):
        scores = F.mean(self._maps(F, *self._grouped(F, x)), axis=(2, 3))  # (P G, classes)
        return F.reshape_like(scores, x, lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=2)  # (P, G, classes)

    def _grouped(self, F, x):
        """Groups (P, G, 3, H, W) -> images (P G, 3, H, W) and features (P, G, C, h, w)."""
        images = F.reshape(x, (-3, -2))
        features = self.backbone(images)  # (P G, C, h, w)
        return images, F.reshape_like(features, x, lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=2)

    def _maps(self, F, images, features):
        """Images (P G, 3, H, W), features (P, G, C, h, w) -> score maps (P G, classes, h, w)."""
        features = F.reshape(self._enhanced(F, images, features), (-3, -2))  # (P, G, C, h, w) -> (P G, C, h, w)
        return self.classifier(features if self.intra is None else self.intra(features))

    def _enhanced(self, F, images, features):
        """Images (P G, 3, H, W), features (P, G, C, h, w) -> features behind inter-matching, of the same shape."""
        return features if self.inter is None else enhance(F, features, self._mask(F, images, features), self._alpha)

    def _mask(self, F, images, features):
        """Images (P G, 3, H, W), features (P, G, C, h, w) -> M (P, G, 1, h, w); the strongest class's response decides its
        side.
        """

        def of_groups(maps):  # (P G, 1, h, w) -> (P, G, 1, h, w)
            return F.reshape_like(maps, features, lhs_begin=0, lhs_end=1, rhs_begin=0, rhs_end=2)

        scores = self.classifier(F.reshape(features, (-3, -2)))  # (P G, classes, h, w)
        strongest = of_groups(F.max(scores, axis=1, keepdims=True))
        if self._padding == "matched":
            return self.inter(features, strongest)
        normal = self.backbone.bn_data(images)  # exactly zero at padding
        step = (None, None, self.stride, self.stride)
        normal = F.slice(normal, begin=(None,) * 4, end=(None,) * 4, step=step)  # at the pixels of the features
        return self.inter(features, strongest, of_groups(F.max(normal != 0, axis=1, keepdims=True)))

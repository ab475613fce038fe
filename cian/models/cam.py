"""The classifier whose class activation maps are the seeds (Zhou et al., CVPR 2016; CIAN paper, "Initial Seeds")."""

from cian.base.runtime import mx
from cian.models.cian import STRIDE, backbone
from cian.models.layers import conv


class CAM(mx.gluon.HybridBlock):
    """Class scores of images: (N, 3, H, W) RGB 0..255 -> logits (N, classes), background not among the classes.

    A 1x1 convolution without bias scores each pixel, global average pooling makes the image's score; the score maps before
    pooling are the activation maps.
    """

    least_side = STRIDE  # of an image, pixels

    def __init__(self, backbone_name, classes=20, frozen_bn=True):
        super().__init__(prefix="")
        self.backbone = backbone(backbone_name, frozen_bn)
        self.classifier = conv("classifier", classes, self.backbone.channels, 1, weight_init=mx.init.Normal(0.01))

    def maps(self, x):
        """Score maps (N, classes, h, w) of images (N, 3, H, W), before ReLU and normalisation."""
        return self.classifier(self.backbone(x))

    def image_maps(self, F, x):
        """As `maps`, in arrays or symbols."""
        return self.maps(x)

    def hybrid_forward(self, F, x):
        scores = self.classifier(self.backbone(x))
        return F.mean(scores, axis=(2, 3))

"""DeepLab-LargeFOV with the cross-image affinity module: the network of one image, and of groups of images in training."""

from cian.base.runtime import mx
from cian.models.affinity import MERGES, Affinity
from cian.models.layers import conv
from cian.models.resnet import ResNet
from cian.models.resnet_v1 import DILATED_STRIDES, DILATIONS, ResNetV1
from cian.models.squeezenet import SqueezeNet
from cian.models.vgg import VGG16

#: name -> function(frozen_bn) making features (N, channels, h, w) of images (N, 3, H, W), RGB 0..255
BACKBONES = {
    "resnet10": lambda frozen_bn: ResNet(10, frozen_bn),
    "resnet18": lambda frozen_bn: ResNet(18, frozen_bn),
    "resnet50": lambda frozen_bn: ResNet(50, frozen_bn),
    "resnet101": lambda frozen_bn: ResNet(101, frozen_bn),
    "resnet50v1b": lambda frozen_bn: ResNetV1(50, "3x3", frozen_bn, DILATED_STRIDES, DILATIONS),
    "resnet101v1b": lambda frozen_bn: ResNetV1(101, "3x3", frozen_bn, DILATED_STRIDES, DILATIONS),
    "squeezenet1.1": lambda frozen_bn: SqueezeNet(),
    "vgg16": lambda frozen_bn: VGG16(),
}
STRIDE = 8  # of every backbone's features; a side of S pixels has (S - 1) // 8 + 1 of them


def backbone(name, frozen_bn=True):
    """The backbone called `name`; ValueError lists the choices."""
    if name not in BACKBONES:
        raise ValueError(f"backbone: {name!r}, expected one of {', '.join(BACKBONES)}")
    return BACKBONES[name](frozen_bn)


class CIAN(mx.gluon.HybridBlock):
    """Segmentation of single images: (N, 3, H, W) RGB 0..255 -> logits (N, classes, h, w) at stride 8.

    affinity False is the plain DeepLab-LargeFOV (Table 1's vanilla).
    """

    def __init__(self, backbone_name, classes=21, affinity=True, similarity="dot", frozen_bn=True):
        super().__init__(prefix="")
        self.backbone = backbone(backbone_name, frozen_bn)
        self.affinity = Affinity(self.backbone.channels, similarity) if affinity else None
        self.fc1 = conv("fc1", classes, self.backbone.channels, 3, dilation=12, weight_init=mx.init.Normal(0.01))

    def hybrid_forward(self, F, x):
        x = self.backbone(x)
        return self.fc1(x if self.affinity is None else x + self.affinity(x))


class GroupCIAN(mx.gluon.HybridBlock):
    """The training network over groups: (P, G, 3, H, W) -> self and cross logits, each (P, G, classes, h, w).

    Owns `net`, a CIAN with affinity, and shares every parameter with it. Running statistics of `bn_out` are updated twice, by
    the cross messages first: MXNet writes them in the backward pass (FIDELITY row 4).
    """

    def __init__(self, net, group_size=2, merge="max", with_self=True):
        super().__init__(prefix="")
        if net.affinity is None:
            raise ValueError("net: a network without affinity has no cross logits; expected CIAN(affinity=True)")
        if group_size < 2:
            raise ValueError(f"group_size: {group_size}, expected 2 or more images")
        if merge not in MERGES:
            raise ValueError(f"merge: {merge!r}, expected one of {', '.join(MERGES)}")
        self.net = net
        self._group_size, self._merge, self._with_self = group_size, merge, with_self

    def hybrid_forward(self, F, x):
        net = self.net
        x = net.backbone(F.reshape(x, (-3, -2)))  # (P, G, 3, H, W) -> (P G, 3, H, W) -> (P G, C, h, w)
        messages = net.affinity.group_messages(F, x, self._group_size, self._merge, self._with_self)
        logits = [net.fc1(x + net.affinity.project(F, message, x)) for message in messages]
        return [F.reshape(y, (-4, -1, self._group_size, -2)) for y in logits]  # (P G, K, h, w) -> (P, G, K, h, w)

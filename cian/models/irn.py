"""IRN's network: class boundaries and displacements from the frozen features of a classifier (Ahn et al., CVPR 2019, Fig. 4).

Both branches take five feature maps of the backbone, through which no gradient flows: only the branches are trained. Source of
widths, groups and joints: `net/resnet50_irn.py` of the published code, there for a ResNet-50 at output stride 16.
"""

from cian.base.runtime import mx
from cian.models import comnet
from cian.models.layers import conv
from cian.models.resnet import LAYOUTS
from cian.models.resnet_v1 import CHANNELS, UNITS

STRIDE = 4  # of both results; a side of S pixels has (S - 1) // 4 + 1
SIDE_MULTIPLE = 16  # sides of images should be multiples of it: the maps of all strides then cover the same area
GROUP_NORM_EPSILON = 1e-5


def resnet_maps(net, F, x, units):
    """The five maps of a ResNet: behind the stem and behind each of its stages, of `units` each."""
    maps = [net.pool0(F.relu(net.bn0(net.conv0(net.bn_data(x)))))]
    position = 0
    for count in units:
        y = maps[-1]
        for unit in range(position, position + count):
            y = net.stages[unit](y)
        position += count
        maps.append(y)
    if hasattr(net, "bn1"):  # pre-activation: the last normalisation is not part of a unit
        maps[-1] = F.relu(net.bn1(maps[-1]))
    return maps


def squeezenet_maps(net, F, x):
    """The five maps of SqueezeNet 1.1: behind the first pooling, fire3, fire5, fire7 and fire9."""
    y, maps = F.relu(net.conv0(net.bn_data(x))), []
    for position in range(len(net.fires)):
        y = net.fires[position](y)
        if position in (0, 2, 5, 8, 10):  # poolings stand at 0, 3 and 6
            maps.append(y)
    return maps


def _resnet(units, channels, strides):
    return (lambda net, F, x: resnet_maps(net, F, x, units)), channels, strides


#: backbone -> (function(net, F, images) making its five maps, their channels, their strides)
MAPS = {
    "squeezenet1.1": (squeezenet_maps, (64, 128, 256, 384, 512), (4, 4, 8, 8, 8)),
    **{f"resnet{depth}": _resnet(LAYOUTS[depth][0], LAYOUTS[depth][1], (4, 4, 8, 8, 8)) for depth in LAYOUTS},
    **{f"resnet{depth}v1b": _resnet(UNITS[depth], CHANNELS, (4, 4, 8, 16, 16)) for depth in UNITS},
    "resnet50v1": _resnet(UNITS[50], CHANNELS, (4, 4, 8, 16, 16)),
}


class Branch(mx.gluon.HybridBlock):
    """1x1 convolution, group normalisation, enlargement to the size of `like` if given, ReLU."""

    def __init__(self, name, channels, in_channels, groups):
        super().__init__(prefix=name + "_")
        self._groups = groups
        with self.name_scope():
            self.conv = mx.gluon.nn.Conv2D(channels, 1, use_bias=False, in_channels=in_channels, prefix="")
            self.gamma = self.params.get("gamma", shape=(channels,), init="ones")
            self.beta = self.params.get("beta", shape=(channels,), init="zeros")

    def hybrid_forward(self, F, x, like=None, gamma=None, beta=None):
        # the operator scales groups; scale and shift of single channels follow
        groups = F.slice_axis(gamma, axis=0, begin=0, end=self._groups)
        ones, zeros = F.ones_like(groups), F.zeros_like(groups)
        y = F.GroupNorm(self.conv(x), ones, zeros, num_groups=self._groups, eps=GROUP_NORM_EPSILON)
        y = F.broadcast_add(F.broadcast_mul(y, gamma.reshape((1, -1, 1, 1))), beta.reshape((1, -1, 1, 1)))
        return F.relu(y if like is None else enlarge(F, y, like))


def enlarge(F, x, like):
    """Resize (N, C, h, w) to the size of `like`, bilinearly, pixels taken as areas (corners not aligned), as published.

    Two products with interpolation matrices: what BilinearResize2D gives, whose gradient a GPU adds up in any order.
    """
    rows, columns = (interpolation(F, x, like, axis) for axis in (2, 3))
    x = F.dot(F.swapaxes(x, 2, 3), rows)  # (N, C, w, h) x (h, H) -> (N, C, w, H)
    return F.dot(F.swapaxes(x, 2, 3), columns)  # (N, C, H, w) x (w, W) -> (N, C, H, W)


def interpolation(F, x, like, axis):
    """Weights (n, m) of each of the n pixels of x along an axis in each of the m pixels of `like`; no gradient."""
    given, wanted = (F.contrib.arange_like(F.stop_gradient(of), axis=axis) for of in (x, like))  # (n,), (m,)
    last = F.max(given)  # n - 1
    place = F.broadcast_mul(wanted + 0.5, (last + 1) / (F.max(wanted) + 1)) - 0.5  # of the middle, in pixels of x
    place = F.broadcast_minimum(F.maximum(place, 0), last)
    apart = F.abs(F.broadcast_sub(F.reshape(given, (-1, 1)), F.reshape(place, (1, -1))))  # (n, m)
    return F.stop_gradient(F.maximum(1 - apart, 0))


class IRN(mx.gluon.HybridBlock):
    """Boundary logits (N, 1, h, w) and displacements (N, 2, h, w), rows first, of images (N, 3, H, W) RGB 0..255, at stride 4.

    displacement False leaves the second branch and result out. The semantic walk needs the boundary alone; the published code
    uses displacements, less their mean over the training images, only to find instances. The branches share no parameter that
    is trained, so the boundary branch is the same with and without the other.
    """

    def __init__(self, backbone_name, displacement=True):
        super().__init__(prefix="")
        if backbone_name not in MAPS:
            raise ValueError(f"backbone: {backbone_name!r}, expected one of {', '.join(MAPS)}")
        self.backbone = comnet.backbone(backbone_name, "frozen")[0]
        self.backbone.collect_params().setattr("grad_req", "null")
        self._maps, channels, strides = MAPS[backbone_name]
        self._strides = strides
        self.displacement = Displacement(channels, strides) if displacement else None
        self.boundaries = mx.gluon.nn.HybridSequential(prefix="")
        for number, count in enumerate(channels, 1):
            self.boundaries.add(Branch(f"boundary{number}", 32, count, 4))
        self.boundary6 = conv("boundary6", 1, 32 * len(channels), 1, bias=True)

    def hybrid_forward(self, F, x):
        maps = [F.stop_gradient(y) for y in self._maps(self.backbone, F, x)]
        joined = [
            branch(y) if stride == STRIDE else branch(y, maps[1])
            for branch, y, stride in zip(self.boundaries, maps, self._strides)
        ]
        boundary = self.boundary6(F.concat(*joined, dim=1))
        return boundary if self.displacement is None else (boundary, self.displacement(*maps))


class Displacement(mx.gluon.HybridBlock):
    """Vectors to the middle of a pixel's object, (N, 2, h, w) in pixels of the result, rows first, of five feature maps."""

    def __init__(self, channels, strides):
        super().__init__(prefix="")
        self._strides = strides
        widths, groups = (64, 128, 256, 256, 256), (8, 16, 16, 16, 16)
        self.branches = mx.gluon.nn.HybridSequential(prefix="")
        for number in range(5):
            self.branches.add(Branch(f"displace{number + 1}", widths[number], channels[number], groups[number]))
        self.deep = Branch("displace6", 256, sum(widths[2:]), 16)
        self.joint = Branch("displace7", 256, widths[0] + widths[1] + 256, 16)
        self.field = conv("displace8", 2, 256, 1)

    def hybrid_forward(self, F, *maps):
        near = [self.branches[number](maps[number]) for number in (0, 1)]
        far = []
        for number in (2, 3, 4):
            sizes = () if self._strides[number] == self._strides[2] else (maps[2],)
            far.append(self.branches[number](maps[number], *sizes))
        return self.field(self.joint(F.concat(*near, self.deep(F.concat(*far, dim=1), maps[1]), dim=1)))

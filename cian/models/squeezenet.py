"""SqueezeNet 1.1 at output stride 8 (Iandola et al., 2016): the backbone for machines without a GPU.

Against the classifier: every pooling and the first convolution are padded by one, so that a side of 8 n + 1 pixels gives
n + 1 features as in the ResNets; the last pooling has stride 1 and the units behind it dilation 2; no dropout, no classifier.
"""

from cian.base.runtime import mx
from cian.models.layers import InputNorm, conv

nn = mx.gluon.nn

#: (squeeze channels, expand channels of each branch) of fire2..fire9; a pooling stands before fire2, fire4 and fire6
FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
POOL_BEFORE = (0, 2, 4)


class Fire(mx.gluon.HybridBlock):
    """Squeeze to few channels, expand by a 1x1 and a 3x3 branch: (N, C, H, W) -> (N, 2 expand, H, W)."""

    def __init__(self, name, in_channels, squeeze, expand, dilation):
        super().__init__(prefix="")
        self.squeeze = conv(name + "_squeeze", squeeze, in_channels, 1, bias=True)
        self.expand1x1 = conv(name + "_expand1x1", expand, squeeze, 1, bias=True)
        self.expand3x3 = conv(name + "_expand3x3", expand, squeeze, 3, dilation=dilation, bias=True)

    def hybrid_forward(self, F, x):
        x = F.relu(self.squeeze(x))
        return F.relu(F.concat(self.expand1x1(x), self.expand3x3(x), dim=1))


class SqueezeNet(mx.gluon.HybridBlock):
    """Features of an RGB image 0..255: (N, 3, H, W) -> (N, 512, (H-1)//8+1, (W-1)//8+1) when dilated.

    dilated False is the ImageNet network up to fire9 (unpadded, ceiling poolings), to check converted weights.
    """

    channels = 512

    def __init__(self, dilated=True):
        super().__init__(prefix="")
        pad = 1 if dilated else 0
        self.bn_data = InputNorm()
        self.conv0 = conv("conv0", 64, 3, 3, stride=2, padding=pad, bias=True)
        self.fires = nn.HybridSequential(prefix="")
        in_channels = 64
        for index, (squeeze, expand) in enumerate(FIRES):
            last_pool = index == POOL_BEFORE[-1] and dilated
            if index in POOL_BEFORE:
                self.fires.add(nn.MaxPool2D(3, 1 if last_pool else 2, pad, ceil_mode=not dilated))
            behind = dilated and index >= POOL_BEFORE[-1]
            self.fires.add(Fire(f"fire{index + 2}", in_channels, squeeze, expand, 2 if behind else 1))
            in_channels = 2 * expand

    def hybrid_forward(self, F, x):
        return self.fires(F.relu(self.conv0(self.bn_data(x))))

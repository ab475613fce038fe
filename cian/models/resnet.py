"""Pre-activation ResNet at output stride 8 (He et al., ECCV 2016), the backbone of DeepLab-LargeFOV in the published code.

Strides 1, 2, 1, 1 and dilations 1, 1, 2, 4 replace the classifier's strides 1, 2, 2, 2 (FIDELITY row 7).
Source of the layout: the MXNet model zoo's symbolic ResNet, whose parameter names are kept.
"""

from cian.base.runtime import mx
from cian.models.layers import BatchNorm, InputNorm, conv

nn = mx.gluon.nn

#: depth -> units per stage, channels after the stem and after each stage, bottleneck units or not
LAYOUTS = {
    10: ((1, 1, 1, 1), (32, 32, 64, 96, 128), False),  # ours: small enough to be trained from scratch on generated scenes
    18: ((2, 2, 2, 2), (64, 64, 128, 256, 512), False),
    50: ((3, 4, 6, 3), (64, 256, 512, 1024, 2048), True),
    101: ((3, 4, 23, 3), (64, 256, 512, 1024, 2048), True),
}
DILATED = ((1, 2, 1, 1), (1, 1, 2, 4))  # strides, dilations of the stages: output stride 8
CLASSIFIER = ((1, 2, 2, 2), (1, 1, 1, 1))  # the ImageNet network: output stride 32


class Unit(mx.gluon.HybridBlock):
    """One residual unit, normalisation and ReLU before each convolution: (N, C_in, H, W) -> (N, C, H/stride, W/stride)."""

    def __init__(self, name, channels, in_channels, stride, dilation, project, bottleneck, frozen_bn):
        super().__init__(prefix="")
        self.bn1 = BatchNorm(name + "_bn1", in_channels, frozen_bn)
        self.sc = conv(name + "_sc", channels, in_channels, 1, stride) if project else None
        width = channels // 4 if bottleneck else channels
        first, second = (1, 3) if bottleneck else (3, 3)
        if bottleneck:
            self.conv1 = conv(name + "_conv1", width, in_channels, first)
            self.conv2 = conv(name + "_conv2", width, width, second, stride, dilation)
            self.bn3 = BatchNorm(name + "_bn3", width, frozen_bn)
            self.conv3 = conv(name + "_conv3", channels, width, 1)
        else:
            self.conv1 = conv(name + "_conv1", width, in_channels, first, stride, dilation)
            self.conv2 = conv(name + "_conv2", width, width, second)
            self.conv3 = None
        self.bn2 = BatchNorm(name + "_bn2", width, frozen_bn)

    def hybrid_forward(self, F, x):
        y = F.relu(self.bn1(x))
        shortcut = x if self.sc is None else self.sc(y)
        y = self.conv2(F.relu(self.bn2(self.conv1(y))))
        if self.conv3 is not None:
            y = self.conv3(F.relu(self.bn3(y)))
        return y + shortcut


class ResNet(mx.gluon.HybridBlock):
    """Features of an RGB image 0..255: (N, 3, H, W) -> (N, channels, (H-1)//8+1, (W-1)//8+1) when dilated.

    frozen_bn: batch normalisation on global statistics with gamma and beta fixed, as published; False trains it.
    """

    def __init__(self, depth, frozen_bn=True, dilated=True):
        super().__init__(prefix="")
        units, channels, bottleneck = LAYOUTS[depth]
        strides, dilations = DILATED if dilated else CLASSIFIER
        self.channels = channels[-1]
        self.bn_data = InputNorm()
        self.conv0 = conv("conv0", channels[0], 3, 7, stride=2)
        self.bn0 = BatchNorm("bn0", channels[0], frozen_bn)
        self.pool0 = nn.MaxPool2D(3, 2, 1)
        self.stages = nn.HybridSequential(prefix="")
        for stage in range(4):
            for unit in range(units[stage]):
                first = unit == 0
                self.stages.add(
                    Unit(
                        f"stage{stage + 1}_unit{unit + 1}",
                        channels[stage + 1],
                        channels[stage] if first else channels[stage + 1],
                        strides[stage] if first else 1,
                        dilations[stage],
                        first,
                        bottleneck,
                        frozen_bn,
                    )
                )
        self.bn1 = BatchNorm("bn1", channels[-1], frozen_bn)

    def hybrid_forward(self, F, x):
        x = self.pool0(F.relu(self.bn0(self.conv0(self.bn_data(x)))))
        return F.relu(self.bn1(self.stages(x)))

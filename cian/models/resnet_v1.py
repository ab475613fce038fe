"""ResNet with post-activation units (He et al., CVPR 2016), at output stride 16 as in IRN's classifier (Ahn et al., CVPR 2019),
or at 8 as in DeepLab.

At 16, strides 1, 2, 2, 1 behind the stem of stride 4 replace the classifier's 1, 2, 2, 2, without dilation (IRN
`net/resnet50.py`, in whose count the stem's first convolution is the first of the strides 2, 2, 2, 1). At 8, strides 1, 2, 1, 1
and dilations 1, 1, 2, 4, which a stage's first unit has half of: it stands where the stride was (gluon-cv `resnetv1b.py`,
torchvision `resnet.py`). Parameter names follow those of cian.models.resnet.
"""

from cian.base.runtime import mx
from cian.models.layers import BatchNorm, InputNorm, conv

nn = mx.gluon.nn

UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}  # depth -> units per stage
CHANNELS = (64, 256, 512, 1024, 2048)  # after the stem and after each stage
STRIDES = (1, 2, 2, 1)  # output stride 16
DILATED_STRIDES, DILATIONS = (1, 2, 1, 1), (1, 1, 2, 4)  # output stride 8
CLASSIFIER_STRIDES = (1, 2, 2, 2)  # the ImageNet network: output stride 32


class Unit(mx.gluon.HybridBlock):
    """One bottleneck, ReLU behind the sum: (N, C_in, H, W) -> (N, C, H/stride, W/stride).

    stride_in: the convolution that has the stride, "3x3" as in torchvision (v1b), or "1x1" as in the first paper (v1).
    dilation: of the 3x3 convolution.
    """

    def __init__(self, name, channels, in_channels, stride, project, stride_in, frozen_bn, dilation=1):
        super().__init__(prefix="")
        width = channels // 4
        first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
        self.conv1 = conv(name + "_conv1", width, in_channels, 1, first)
        self.bn1 = BatchNorm(name + "_bn1", width, frozen_bn)
        self.conv2 = conv(name + "_conv2", width, width, 3, second, dilation)
        self.bn2 = BatchNorm(name + "_bn2", width, frozen_bn)
        self.conv3 = conv(name + "_conv3", channels, width, 1)
        self.bn3 = BatchNorm(name + "_bn3", channels, frozen_bn)
        self.sc = conv(name + "_sc", channels, in_channels, 1, stride) if project else None
        self.sc_bn = BatchNorm(name + "_sc_bn", channels, frozen_bn) if project else None

    def hybrid_forward(self, F, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.sc is None else self.sc_bn(self.sc(x))))


class ResNetV1(mx.gluon.HybridBlock):
    """Features of an RGB image 0..255: (N, 3, H, W) -> (N, 2048, (H-1)//16+1, (W-1)//16+1) with the default strides.

    stride_in: see Unit. strides, dilations: of the stages; a stage whose dilation is larger than that of the one before begins
    with a unit of the smaller. frozen_bn: batch normalisation on global statistics with gamma and beta fixed; False trains it.
    """

    channels = CHANNELS[-1]

    def __init__(self, depth, stride_in="3x3", frozen_bn=True, strides=STRIDES, dilations=(1, 1, 1, 1)):
        super().__init__(prefix="")
        if stride_in not in ("1x1", "3x3"):
            raise ValueError(f"stride_in: {stride_in!r}, expected '1x1' or '3x3'")
        self.bn_data = InputNorm()
        self.conv0 = conv("conv0", CHANNELS[0], 3, 7, stride=2)
        self.bn0 = BatchNorm("bn0", CHANNELS[0], frozen_bn)
        self.pool0 = nn.MaxPool2D(3, 2, 1)
        self.stages = nn.HybridSequential(prefix="")
        for stage, count in enumerate(UNITS[depth]):
            channels = CHANNELS[stage + 1]
            for unit in range(count):
                name, first = f"stage{stage + 1}_unit{unit + 1}", unit == 0
                in_channels, stride = (CHANNELS[stage], strides[stage]) if first else (channels, 1)
                dilation = dilations[max(stage - 1, 0) if first else stage]
                self.stages.add(Unit(name, channels, in_channels, stride, first, stride_in, frozen_bn, dilation))

    def hybrid_forward(self, F, x):
        return self.stages(self.pool0(F.relu(self.bn0(self.conv0(self.bn_data(x))))))

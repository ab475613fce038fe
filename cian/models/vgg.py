"""VGG16 at output stride 8, the classifier behind the paper's seeds ("Initial Seeds"): the last two poolings at stride 1,
conv5 dilated by 2. As in DeepLab, the poolings are 3x3 padded by one, so that a side of 8 n + 1 pixels gives n + 1 features.
"""

from cian.base.runtime import mx
from cian.models.layers import InputNorm, conv

nn = mx.gluon.nn

STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # convolutions, channels


class VGG16(mx.gluon.HybridBlock):
    """Features of an RGB image 0..255: (N, 3, H, W) -> (N, 512, (H-1)//8+1, (W-1)//8+1) when dilated.

    dilated False is the ImageNet network up to its fifth pooling (2x2, stride 2), to check converted weights.
    """

    channels = 512

    def __init__(self, dilated=True):
        super().__init__(prefix="")
        self.bn_data = InputNorm()
        self.body = nn.HybridSequential(prefix="")
        in_channels = 3
        for stage, (count, channels) in enumerate(STAGES, 1):
            for index in range(1, count + 1):
                dilation = 2 if dilated and stage == 5 else 1
                self.body.add(
                    conv(f"conv{stage}_{index}", channels, in_channels, 3, dilation=dilation, bias=True),
                    nn.Activation("relu"),
                )
                in_channels = channels
            self.body.add(nn.MaxPool2D(3, 2 if stage <= 3 else 1, 1) if dilated else nn.MaxPool2D(2, 2))

    def hybrid_forward(self, F, x):
        return self.body(self.bn_data(x))

"""Layers under the published code's parameter names: `NAME_weight`, `NAME_gamma`, `NAME_moving_mean`, ...

The parameter names are the contract: a checkpoint of the published code, or of the MXNet model zoo, fits by name.
"""
import numpy as np

from cian.base.runtime import mx

nn = mx.gluon.nn
EPSILON = 1e-5  # of every batch normalisation; published value
IMAGENET_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)  # RGB, 0..255
IMAGENET_STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)


def conv(name, channels, in_channels, kernel, stride=1, dilation=1, padding=None, bias=False, weight_init=None,
         bias_init="zeros"):
    """A square convolution called `name`; `padding` None keeps the size at stride 1."""
    if padding is None:
        padding = dilation * (kernel - 1) // 2
    return nn.Conv2D(channels, kernel, strides=stride, padding=padding, dilation=dilation, use_bias=bias,
                     in_channels=in_channels, weight_initializer=weight_init, bias_initializer=bias_init,
                     prefix=name + "_")


class BatchNorm(mx.gluon.HybridBlock):
    """Batch normalisation over (N, C, H, W) with the names gamma, beta, moving_mean, moving_var.

    frozen: global statistics even in training, gamma and beta not trained (the published backbone).
    fix_gamma: gamma counts as 1 (the published `bn_data`).
    """

    def __init__(self, name, channels, frozen=True, fix_gamma=False):
        super().__init__(prefix=name + "_")
        self._attributes = dict(eps=EPSILON, momentum=0.9, fix_gamma=fix_gamma, use_global_stats=frozen)
        grad = "null" if frozen else "write"
        self.gamma = self.params.get("gamma", shape=(channels,), init="ones", grad_req="null" if fix_gamma else grad)
        self.beta = self.params.get("beta", shape=(channels,), init="zeros", grad_req=grad)
        self.moving_mean = self.params.get("moving_mean", shape=(channels,), init="zeros", grad_req="null",
                                           differentiable=False)
        self.moving_var = self.params.get("moving_var", shape=(channels,), init="ones", grad_req="null",
                                          differentiable=False)

    def hybrid_forward(self, F, x, gamma, beta, moving_mean, moving_var):
        if self._attributes["fix_gamma"]:
            gamma = F.stop_gradient(gamma)  # a copy: the operator overwrites the gamma it fixes with ones
        return F.BatchNorm(x, gamma, beta, moving_mean, moving_var, name="fwd", **self._attributes)


class InputNorm(BatchNorm):
    """`bn_data`: RGB 0..255 minus a mean, over a standard deviation, as a frozen batch normalisation.

    Its statistics start at ImageNet's; weights trained for another input bring their own (FIDELITY row 6).
    """

    def __init__(self, channels=3):
        super().__init__("bn_data", channels, frozen=True, fix_gamma=True)
        self.moving_mean.init = mx.init.Constant(np.array(IMAGENET_MEAN))
        self.moving_var.init = mx.init.Constant(np.array(IMAGENET_STD) ** 2 - EPSILON)

"""A COMNet of the smallest backbone with random weights."""

from cian.base.runtime import mx
from cian.models.comnet import COMNet


def network(matching="both", classes=3, **options):
    net = COMNet("resnet10", classes, matching, batchnorm="frozen", **options)
    mx.random.seed(2)
    net.initialize(mx.init.Xavier())
    if net.intra is not None:
        net.intra.mlp.weight.set_data(mx.nd.random.normal(scale=0.1, shape=net.intra.mlp.weight.shape))
    return net

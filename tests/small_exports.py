"""Small networks with random weights, their exports, and what a folder holds."""

from pathlib import Path

import numpy as np

from cian.base.runtime import mx
from cian.export.export import export
from cian.export.symbols import about, exported_block


def initialised(net, seed=0):
    """The network with random weights, and random statistics and factors where those it starts with would hide a fault."""
    mx.random.seed(seed)
    net.initialize(mx.init.Xavier())
    random = np.random.RandomState(seed)
    drawn = ("bn_out_moving_var", "bn_out_gamma", "bn_data_gamma", "bn0_moving_var")
    for name, p in net.collect_params().items():
        if name in drawn:
            p.set_data(mx.nd.array(random.uniform(0.5, 2, p.shape)))
    return net


def random_images(*shape):
    """Random pixels, float32 of this shape, in 0..255."""
    return np.random.RandomState(1).uniform(0, 255, shape).astype(np.float32)


def make(net, path, method="cian", names="abcd", images=None, overwrite=False, **options):
    """Export a network of resnet10 to `path`, see export of cian.export.export; options: of `exported_block` and `about`."""
    block, outputs = exported_block(net, method, **options)
    block.hybridize()
    if images is None:
        images = [random_images(1, 3, *(options.get("size") or (65, 65)))]
    return export(path, block, outputs, about(method, "resnet10", names, **options), images, overwrite)


def contents(folder):
    """{relative path: bytes} of all files below a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}

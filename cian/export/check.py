"""Does an export, loaded as a user loads it, give what its network gives?"""

import contextlib
import logging
import os
from pathlib import Path

import numpy as np

from cian.base.runtime import mx
from cian.export.exported import symbol_block

log = logging.getLogger(__name__)
FUSION = "MXNET_SUBGRAPH_BACKEND"
FUSED = 1e-3  # as TOLERANCE, where MXNet fuses operators: on a ResNet-101 of random weights it made 2e-5
TOLERANCE = 1e-5  # of an export against its network, relative to the largest value where that is above 1


def verify(name, block, images, logits=None):
    """Largest deviation of the files NAME-symbol.json, NAME-0000.params from `block`; RuntimeError above TOLERANCE.

    They are loaded by SymbolBlock.imports and by mx.mod.Module, and run on each of `images`, (N, 3, H, W) or as the block takes
    them. logits(image, labels) is for an export of labels, which count as equal where the network's logits of both are, within
    the tolerance. A Module fuses operators on CPUs, which round differently: with them
    the bound is FUSED, and what is above TOLERANCE is logged.
    """
    single = symbol_block(f"{name}-symbol.json", f"{name}-0000.params", mx.cpu())
    ways = {
        "SymbolBlock": (lambda image: as_arrays(single(image)), TOLERANCE),
        "Module": (lambda image: run_module(name, image, False), TOLERANCE),
        "Module with fused operators": (lambda image: run_module(name, image, True), FUSED),
    }
    images = [mx.nd.array(image, dtype="float32") for image in images]
    wanted = [as_arrays(block(image)) for image in images]
    largest = dict.fromkeys(ways, 0.0)
    for loader, (run, tolerance) in ways.items():
        for image, outputs in zip(images, wanted):
            for one, other in zip(run(image), outputs):
                if one.shape != other.shape or not np.isfinite(one).all():
                    raise RuntimeError(
                        f"{Path(name).name}: loaded by {loader} it gives {one.shape}, or values that are not "
                        f"finite; the network gives {other.shape}; nothing was written"
                    )
                if logits:
                    one, other = logits(image, one), logits(image, other)
                deviation = np.abs(one - other).max() / max(1.0, np.abs(other).max())
                largest[loader] = float(np.maximum(largest[loader], deviation))  # NaN stays
        if not largest[loader] <= tolerance:
            raise RuntimeError(
                f"{Path(name).name}: loaded by {loader} it differs from the network by {largest[loader]:.2g}, more "
                f"than {tolerance:g}; nothing was written"
            )
    fused = largest.pop("Module with fused operators")
    if fused > TOLERANCE:
        log.info("%s: the operators that MXNet fuses in a Module on CPUs round otherwise, by %.2g", Path(name).name, fused)
    return max(largest.values())


def run_module(name, image, fused):
    """Outputs of an export on (N, 3, H, W), by mx.mod.Module with or without fused operators: list of arrays."""
    symbol, arguments, auxiliary = mx.model.load_checkpoint(str(name), 0)
    module = mx.mod.Module(symbol, data_names=["data"], label_names=None, context=mx.cpu())
    with contextlib.ExitStack() as stack:
        if not fused:
            stack.enter_context(without_fusion())
        module.bind([("data", image.shape)], for_training=False)
    module.set_params(arguments, auxiliary)
    module.forward(mx.io.DataBatch([image]), is_train=False)
    return [output.asnumpy() for output in module.get_outputs()]


@contextlib.contextmanager
def without_fusion():
    """Let MXNet fuse no operators in the modules that are bound meanwhile."""
    before = os.environ.get(FUSION)
    os.environ[FUSION] = "NONE"
    try:
        yield
    finally:
        del os.environ[FUSION]
        if before is not None:
            os.environ[FUSION] = before


def as_arrays(result):
    """A block's result, NDArray or list of them, as list of NumPy arrays."""
    return [y.asnumpy() for y in (result if isinstance(result, (list, tuple)) else [result])]

"""CIAN for MXNet/Gluon: semantic segmentation learned from image-level tags (Fan et al., AAAI 2020).

`cian.Predictor` makes masks with an exported model; it is imported when first used, and MXNet with it.
"""

import importlib

__version__ = "0.1.0"


def __getattr__(name):
    if name == "Predictor":
        return importlib.import_module("cian.export.predictor").Predictor
    raise AttributeError(f"module 'cian' has no attribute {name!r}")

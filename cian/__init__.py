"""CIAN for MXNet/Gluon: semantic segmentation learned from image-level tags (Fan et al., AAAI 2020).

`cian.Predictor` makes masks with an exported model, each a `cian.Prediction`; they are imported when first used, and MXNet with
them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cian.export.predictor import Prediction, Predictor

__all__ = ["Prediction", "Predictor", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in ("Predictor", "Prediction"):
        return getattr(importlib.import_module("cian.export.predictor"), name)
    raise AttributeError(f"module 'cian' has no attribute {name!r}")

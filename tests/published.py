"""Deterministic parameters behind the golden files (shared/golden/params.py restated): a function of name and shape."""
import zlib

import numpy as np

NEW = ("conv_embed", "conv_out", "fc1")


def parameter(name, shape):
    """Value of a parameter under its published name, float32."""
    draw = np.random.RandomState(zlib.crc32(name.encode()) & 0x7FFFFFFF)
    if name.endswith("_weight"):
        std = 0.01 if name.startswith(NEW) else np.sqrt(2.0 / np.prod(shape[1:]))
        return (draw.standard_normal(shape) * std).astype("float32")
    values = {
        "_gamma": lambda: 0.5 + draw.uniform(size=shape) * 0.5,
        "_beta": lambda: draw.standard_normal(shape) * 0.1,
        "_mean": lambda: np.full(shape, 120) if name.startswith("bn_data") else draw.standard_normal(shape) * 0.1,
        "_var": lambda: np.full(shape, 3600) if name.startswith("bn_data") else 0.8 + draw.uniform(size=shape) * 0.4,
    }
    return values[name[name.rindex("_"):]]().astype("float32")


def inference_parameter(name, shape):
    """As `parameter`, the classifier's filters centred and enlarged, so that random features give several classes."""
    value = parameter(name, shape)
    return 4 * (value - value.mean(axis=1, keepdims=True)) if name == "fc1_weight" else value

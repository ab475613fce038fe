"""Dense CRF after the network: mean field over a Gaussian and a bilateral kernel, by pydensecrf.

Krähenbühl and Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials", NIPS 2011; the
kernels' defaults are those of the published CIAN code (FIDELITY.md row 24), as is the unary: the negated logits.
"""

import functools
import importlib
import logging
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
from pydensecrf.densecrf import DenseCRF2D

COARSE = 8  # the classes are chosen at 1/8 of the resolution, that of the network's own output
NEAR = 0.2  # probability at that resolution from which a class may win
LANES = 4  # floats in one vector instruction: 4 classes cost what 1 does
LARGEST = 1e6  # of widths and weights
#: most widths that an image may be long, or its colours may span: the lattices number their cells in 16 bits, and a cell is
#: about 1/3 (Gaussian kernel, 2 dimensions) or 1/9 (bilateral, 5) of a width
MOST_WIDTHS = {"gaussian_sxy": 10000, "bilateral_sxy": 3000, "bilateral_srgb": 3000}
NATIVE_WIDTHS = 200  # the same for native/, whose bilateral lattice has 12 bits; narrower kernels are left to pydensecrf
NATIVE_CLASSES = 8  # what native/mean_field.cpp is compiled for


@dataclass(frozen=True)
class CRFSettings:
    """Widths (sxy in pixels, srgb in grey levels 0..255) and weights (compat, in logits) of the two kernels."""

    gaussian_sxy: float = 3.0
    gaussian_compat: float = 3.0
    bilateral_sxy: float = 80.0
    bilateral_srgb: float = 13.0
    bilateral_compat: float = 10.0

    def __post_init__(self):
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
                raise TypeError(f"{item.name}: expected a number, found {value!r}")
            least = -LARGEST if item.name.endswith("_compat") else 0
            if not (least < value < LARGEST):  # NaN is not
                raise ValueError(f"{item.name}: expected a number above {least:g} and below {LARGEST:g}, found {value!r}")


def dense_crf(image, logits, iterations, method="exact", settings=CRFSettings()):
    """The most probable class of each pixel after the dense CRF: uint8 (H, W).

    image: uint8 (H, W, 3) RGB. logits: float32 (K, H, W) with K <= 255; log probabilities serve as well.
    iterations: rounds of mean field; the published code takes 5 at test and 10 for pseudo labels.
    method: `exact` gives what pydensecrf gives on all classes; `pruned` merges the classes that cannot win (`survivors`);
    `compiled` gives the same as `exact` up to rounding, for up to 8 classes in half the time.
    Raises TypeError on a wrong dtype, ValueError on a wrong shape, NaN or infinite logits, an unknown method, or a kernel too
    narrow for the image.
    """
    kept, probability = _run(image, logits, iterations, method, settings)
    return kept.astype(np.uint8)[probability.argmax(axis=0)]


def crf_probabilities(image, logits, iterations, method="exact", settings=CRFSettings()):
    """Class probabilities after the dense CRF: float32 (K, H, W), summing to 1. Arguments as `dense_crf`.

    With `pruned`, classes that were left out have 0.
    """
    kept, probability = _run(image, logits, iterations, method, settings)
    result = np.zeros(logits.shape, np.float32)
    result[kept] = probability / probability.sum(axis=0)
    return result


def _run(image, logits, iterations, method, settings):
    """Indices of the classes that take part, int (k,), and their probabilities, float32 (k, H, W)."""
    _check(image, logits, iterations)
    _check_widths(image, settings)
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(sorted(METHODS))}, found {method!r}")
    return METHODS[method](image, logits, iterations, settings)


def _exact(image, logits, iterations, settings):
    return np.arange(len(logits)), _mean_field(image, logits, iterations, settings)


def _compiled(image, logits, iterations, settings):
    if not _is_native(image, len(logits), settings):
        return _exact(image, logits, iterations, settings)
    weights = np.ones(len(logits), np.float32)
    return np.arange(len(logits)), _native_mean_field(image, np.ascontiguousarray(logits), iterations, settings, weights)


def _pruned(image, logits, iterations, settings):
    """Mean field over the survivors and one class `rest` that stands for all others.

    Without `rest` the survivors would share the others' probability, which in the first iterations is not small, and
    0.1 % of the pixels change. rest's unary is the others' log-sum-exp. A loser feels only its own message, not that of
    all losers together, so rest's message is weakened by `_share`.
    """
    if len(logits) <= LANES or min(image.shape[:2]) < 8 * COARSE:
        return _exact(image, logits, iterations, settings)
    small_image, small_logits, small_settings = _shrink(image, logits, settings)
    kept = survivors(_mean_field(small_image, small_logits, iterations, small_settings))
    if len(kept) == len(logits):
        return _exact(image, logits, iterations, settings)
    others = np.setdiff1d(np.arange(len(logits)), kept)
    top = logits[others].max(axis=0)  # (H, W)
    rest = top + np.log(sum(np.exp(logits[k] - top) for k in others))
    weights = np.append(np.ones(len(kept)), _share(small_logits, others, small_settings)).astype(np.float32)
    merged = np.concatenate([logits[kept], rest[None]])  # (k + 1, H, W)
    run = _native_mean_field if _is_native(image, len(merged), settings) else _mean_field
    return kept, run(image, merged, iterations, settings, weights)[:-1]


def survivors(probability):
    """Indices, int (k,), of the classes worth keeping, given the CRF's probabilities (K, h, w) at low resolution.

    These are the classes that come near winning anywhere, and then the next most probable ones until, with `rest`, the
    lanes of the vector instructions are full: those cost nothing.
    """
    highest = probability.reshape(len(probability), -1).max(axis=1)
    needed = np.count_nonzero(highest >= NEAR) + 1
    count = -(-needed // LANES) * LANES - 1
    return np.sort(np.argsort(-highest, kind="stable")[:count]) if count + 1 < len(highest) else np.arange(len(highest))


def _share(logits, others, settings):
    """How much of the others' common message one of them gets: a number in [0, 1], from low-resolution logits (K, h, w).

    sum_k <p_k, G p_k> / <sum_k p_k, G sum_k p_k> over the others k, p = softmax, G a blur of half the bilateral width:
    1 if each place has one of them only, 1/n for n alike. Measured at several confidences, without G or with a wider one
    (or a share of 0) fewer pixels stay equal.
    """
    probability = np.exp(logits - logits.max(axis=0))
    probability = (probability / probability.sum(axis=0))[others]
    blurred = np.stack([cv2.GaussianBlur(plane, (0, 0), settings.bilateral_sxy / 2) for plane in probability])
    together = (probability.sum(axis=0) * blurred.sum(axis=0)).sum()
    return (probability * blurred).sum() / max(together, 1e-30)


def _shrink(image, logits, settings):
    """Image, logits and settings at 1/COARSE of the resolution."""
    size = image.shape[1] // COARSE, image.shape[0] // COARSE
    small = np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in logits])
    widths = {name: getattr(settings, name) / COARSE for name in ("gaussian_sxy", "bilateral_sxy")}
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), small, replace(settings, **widths)


def _mean_field(image, logits, iterations, settings, weights=None):
    """pydensecrf's marginals, float32 (K, H, W); `weights` (K,) scale the message each class gets (default 1)."""
    classes, height, width = logits.shape
    # a number is a Potts model; pydensecrf adds a vector's entries instead of subtracting them
    gaussian, bilateral = (
        compat if weights is None else -compat * weights
        for compat in (settings.gaussian_compat, settings.bilateral_compat)
    )
    crf = DenseCRF2D(width, height, classes)
    crf.setUnaryEnergy(np.ascontiguousarray(-logits.reshape(classes, -1)))  # (K, H, W) -> (K, H*W)
    crf.addPairwiseGaussian(sxy=settings.gaussian_sxy, compat=gaussian)
    crf.addPairwiseBilateral(
        sxy=settings.bilateral_sxy,
        srgb=settings.bilateral_srgb,
        rgbim=np.require(image, requirements="CW"),
        compat=bilateral,
    )
    return np.array(crf.inference(iterations)).reshape(classes, height, width)


@functools.lru_cache(maxsize=None)
def native():
    """The compiled module `cian.inference._mean_field` (native/mean_field.cpp, built by setup.py), or None, logged once."""
    try:
        return importlib.import_module("cian.inference._mean_field")
    except ImportError as error:
        logging.getLogger(__name__).warning(
            "cian.inference._mean_field is not built (%s): the pruned CRF uses pydensecrf, which "
            "takes about twice as long; `pip install -e .` builds it",
            error,
        )
        return None


def _is_native(image, classes, settings):
    """Is there the compiled module, and does it take so many classes, and kernels so narrow?"""
    widths = max(*image.shape[:2]) / settings.bilateral_sxy, 255 / settings.bilateral_srgb
    return classes <= NATIVE_CLASSES and max(widths) <= NATIVE_WIDTHS and native() is not None


def _native_mean_field(image, logits, iterations, settings, weights):
    """As `_mean_field`, up to rounding, for at most NATIVE_CLASSES classes."""
    result = np.empty(logits.shape, np.float32)
    native().mean_field(
        np.ascontiguousarray(image),
        logits,
        weights,
        result,
        *logits.shape,
        iterations,
        settings.gaussian_sxy,
        settings.gaussian_compat,
        settings.bilateral_sxy,
        settings.bilateral_srgb,
        settings.bilateral_compat,
    )
    return result


METHODS = {"exact": _exact, "pruned": _pruned, "compiled": _compiled}


def _check(image, logits, iterations):
    for name, array, dtype in (("image", image, np.uint8), ("logits", logits, np.float32)):
        if not isinstance(array, np.ndarray) or array.dtype != dtype:
            found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(f"{name}: expected a numpy array of {np.dtype(dtype)}, found {found}")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"image: expected shape (H, W, 3), found {image.shape}")
    if logits.ndim != 3 or not 1 <= len(logits) <= 255 or logits.shape[1:] != image.shape[:2]:
        raise ValueError(
            f"logits: expected shape (K, {image.shape[0]}, {image.shape[1]}) with K in 1..255 for an image "
            f"of shape {image.shape}, found {logits.shape}"
        )
    if not np.isfinite(logits).all():
        raise ValueError(f"logits: expected finite values, found {np.count_nonzero(~np.isfinite(logits))} that are not")
    if isinstance(iterations, bool) or not isinstance(iterations, (int, np.integer)) or iterations < 0:
        raise ValueError(f"iterations: expected an integer >= 0, found {iterations!r}")


def _check_widths(image, settings):
    """ValueError where a kernel is so narrow for the image that its lattice would overflow, which ends the process."""
    for name, most in MOST_WIDTHS.items():
        span, value = 255 if name.endswith("srgb") else max(image.shape[:2]), getattr(settings, name)
        if span / value > most:
            raise ValueError(f"{name}: {value!r} is too narrow, expected at least {span / most:.3g} for {image.shape}")

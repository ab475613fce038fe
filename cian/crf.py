"""Dense CRF after the network: mean field over a Gaussian and a bilateral kernel, by pydensecrf.

Krähenbühl and Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials", NIPS 2011; the
kernels' defaults are those of the published CIAN code (FIDELITY.md row 24), as is the unary: the negated logits.
"""
from dataclasses import dataclass

import numpy as np
from pydensecrf.densecrf import DenseCRF2D


@dataclass(frozen=True)
class CRFSettings:
    """Widths (sxy in pixels, srgb in grey levels 0..255) and weights (compat, in logits) of the two kernels."""
    gaussian_sxy: float = 3.0
    gaussian_compat: float = 3.0
    bilateral_sxy: float = 80.0
    bilateral_srgb: float = 13.0
    bilateral_compat: float = 10.0


def dense_crf(image, logits, iterations, method="exact", settings=CRFSettings()):
    """The most probable class of each pixel after the dense CRF: uint8 (H, W).

    image: uint8 (H, W, 3) RGB. logits: float32 (K, H, W) with K <= 255; log probabilities serve as well.
    iterations: rounds of mean field; the published code takes 5 at test and 10 for pseudo labels.
    method: `exact` gives what pydensecrf gives on all classes; `pruned` leaves out classes that cannot win (`survivors`).
    Raises TypeError on a wrong dtype, ValueError on a wrong shape, NaN or infinite logits, or an unknown method.
    """
    kept, probability = _run(image, logits, iterations, method, settings)
    return kept.astype(np.uint8)[probability.argmax(axis=0)]


def crf_probabilities(image, logits, iterations, method="exact", settings=CRFSettings()):
    """Class probabilities after the dense CRF: float32 (K, H, W), 0 for classes left out. Arguments as `dense_crf`."""
    kept, probability = _run(image, logits, iterations, method, settings)
    result = np.zeros(logits.shape, np.float32)
    result[kept] = probability
    return result


def _run(image, logits, iterations, method, settings):
    """Indices of the classes that take part, int (k,), and their probabilities, float32 (k, H, W)."""
    _check(image, logits, iterations)
    if method not in METHODS:
        raise ValueError(f"method: expected one of {', '.join(sorted(METHODS))}, found {method!r}")
    kept = METHODS[method](logits, settings)
    if len(kept) == 1:
        return kept, np.ones((1,) + logits.shape[1:], np.float32)
    return kept, _mean_field(image, logits[kept], iterations, settings)


def _mean_field(image, logits, iterations, settings):
    classes, height, width = logits.shape
    crf = DenseCRF2D(width, height, classes)
    crf.setUnaryEnergy(np.ascontiguousarray(-logits.reshape(classes, -1)))  # (K, H, W) -> (K, H*W)
    crf.addPairwiseGaussian(sxy=settings.gaussian_sxy, compat=settings.gaussian_compat)
    crf.addPairwiseBilateral(sxy=settings.bilateral_sxy, srgb=settings.bilateral_srgb,
                             rgbim=np.require(image, requirements="CW"), compat=settings.bilateral_compat)
    return np.array(crf.inference(iterations)).reshape(classes, height, width)


def survivors(logits, settings=CRFSettings()):
    """Indices, int (k,), of the classes that may win a pixel; the others' probability stays small in every iteration.

    A class gets at pixel i the message m_i <= S q, where q is its largest probability anywhere and S the sum of the two
    kernels' weights, and no message lowers the normaliser below the unary's own. So from one iteration to the next
    q' <= p exp(S q), p being its largest softmax probability. Where p S <= 1/e this never passes q = 1/S.
    """
    probability = np.exp(logits - logits.max(axis=0))
    probability /= probability.sum(axis=0)
    highest = probability.reshape(len(logits), -1).max(axis=1)
    strength = abs(settings.gaussian_compat) + abs(settings.bilateral_compat)
    keep = highest * strength > np.exp(-1.0)
    keep[highest.argmax()] = True
    return np.flatnonzero(keep)


def _all_classes(logits, settings):
    return np.arange(len(logits))


METHODS = {"exact": _all_classes, "pruned": survivors}


def _check(image, logits, iterations):
    for name, array, dtype in (("image", image, np.uint8), ("logits", logits, np.float32)):
        if not isinstance(array, np.ndarray) or array.dtype != dtype:
            found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(f"{name}: expected a numpy array of {np.dtype(dtype)}, found {found}")
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"image: expected shape (H, W, 3), found {image.shape}")
    if logits.ndim != 3 or not 1 <= len(logits) <= 255 or logits.shape[1:] != image.shape[:2]:
        raise ValueError(f"logits: expected shape (K, {image.shape[0]}, {image.shape[1]}) with K in 1..255 for an image "
                         f"of shape {image.shape}, found {logits.shape}")
    if not np.isfinite(logits).all():
        raise ValueError(f"logits: expected finite values, found {np.count_nonzero(~np.isfinite(logits))} that are not")
    if isinstance(iterations, bool) or not isinstance(iterations, (int, np.integer)) or iterations < 0:
        raise ValueError(f"iterations: expected an integer >= 0, found {iterations!r}")

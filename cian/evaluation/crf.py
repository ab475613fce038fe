"""The pruned dense CRF beside the exact one: time, and share of equal pixels, on logits made from the true masks.

The logits look like a network's, so the comparison needs images and masks, but no training.
"""

import time

import cv2
import numpy as np

from cian.data.images import IGNORE, read_image, read_label
from cian.inference.crf import dense_crf, native

COMPARED = ("exact", "pruned")  # methods of the CRF


def made_up_logits(label, classes, rng):
    """Logits float32 (classes, H, W) such as a network of output stride 8 gives, made from the true label (H, W).

    A coarse one-hot map, in which a part of every object moves to another class, blurred, with smooth noise on all
    classes, and enlarged. The largest probability of a pixel is then 0.5-1.0, about 0.9 in the mean.
    """
    height, width = label.shape
    size = (width + 7) // 8, (height + 7) // 8
    truth = np.where(label == IGNORE, 0, label)
    planes = np.stack([cv2.resize((truth == k).astype(np.float32), size, interpolation=cv2.INTER_AREA) for k in range(classes)])
    for k in np.unique(truth[truth > 0]):
        other = rng.choice([c for c in range(1, classes) if c != k] or [0])
        moved = planes[k] * np.clip(0.7 / (1 + np.exp(-2 * smooth_noise(size, 4.0, rng))), 0, 0.9)
        planes[other] += moved
        planes[k] -= moved
    gain, noise = rng.uniform(6, 11), rng.uniform(1.0, 1.6)
    coarse = [gain * cv2.GaussianBlur(plane, (0, 0), 1.0) + noise * smooth_noise(size, 2.0, rng) for plane in planes]
    return np.stack([cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR) for plane in coarse])


def smooth_noise(size, sigma, rng):
    """Gaussian noise of the given size (width, height), blurred by sigma cells, of unit deviation: float32."""
    noise = cv2.GaussianBlur(rng.standard_normal(size[::-1]).astype(np.float32), (0, 0), sigma)
    return noise / max(float(noise.std()), 1e-6)


def refine(task):
    """Run the dense CRF of a task (image path, logits, iterations, method) and forget the labels: work for a process."""
    path, *how = task
    dense_crf(read_image(path), *how)


def compare_crf(dataset, ids, iterations=5, seed=0, progress=None):
    """Time the CRF methods of `cian predict` on the same images and made-up logits, one after the other on one processor.

    Returns per method the mean processor seconds per image (which other programs disturb less than wall time), the ratio
    of exact to pruned, and the share of equal pixels, over all images and in the worst.
    """
    cv2.setNumThreads(0)
    seconds, equal, pixels = {name: [] for name in COMPARED}, [], []
    for number, image_id in enumerate(ids):
        image, label = read_image(dataset.image_path(image_id)), read_label(dataset.mask_path(image_id))
        logits = made_up_logits(label, len(dataset.classes), np.random.default_rng([seed, number]))
        labels = {}
        for name in COMPARED:
            start = time.process_time()
            labels[name] = dense_crf(image, logits, iterations, method=name)
            seconds[name].append(time.process_time() - start)
        equal.append(np.count_nonzero(labels["exact"] == labels["pruned"]))
        pixels.append(label.size)
        if progress is not None:
            progress(1)
    means = {name: float(np.mean(values)) for name, values in seconds.items()}
    return {
        "images": len(ids),
        "iterations": iterations,
        "seconds_per_image": means,
        "compiled": native() is not None,
        "ratio": means["exact"] / means["pruned"],
        "equal": sum(equal) / sum(pixels),
        "equal_in_worst_image": float(np.min(np.divide(equal, pixels))),
    }

"""Labels from class activation and a threshold, with or without a dense CRF; the confident ones train IRN.

Ahn, Cho and Kwak, "Weakly Supervised Learning of Instance Segmentation with Inter-pixel Relations", CVPR 2019, Section 4.
Source: the published code's `step/cam_to_ir_label.py`, whose CRF has narrower colours than CIAN's.
"""


import numpy as np

from cian.data.cams import cam_path, load_cam, resize_maps
from cian.data.images import IGNORE, read_image, write_label
from cian.inference.crf import CRFSettings, dense_crf

FOREGROUND_THRESHOLD, BACKGROUND_THRESHOLD, CRF_ITERATIONS = 0.3, 0.05, 10  # published values
LABEL_PROBABILITY = 0.7  # what the CRF believes of a given label; the other classes share the rest
CRF = CRFSettings(bilateral_sxy=50.0, bilateral_srgb=5.0)


def label_of_scores(scores, class_ids, threshold):
    """The class of the largest score where that is above `threshold`, else background: uint8 (H, W).

    scores: (C, H, W); class_ids: (C,) their indices, 1..254. ValueError where they do not go together.
    """
    scores, class_ids = np.asarray(scores), np.asarray(class_ids, np.int64)
    if scores.ndim != 3 or class_ids.shape != scores.shape[:1]:
        raise ValueError(f"scores and class_ids: expected (C, H, W) and (C,), found {scores.shape} and {class_ids.shape}")
    if len(class_ids) and (class_ids.min() < 1 or class_ids.max() >= IGNORE):
        raise ValueError(f"class_ids: expected indices 1..{IGNORE - 1}, found {class_ids.tolist()}")
    if not len(class_ids):
        return np.zeros(scores.shape[1:], np.uint8)
    best = scores.argmax(axis=0)
    return np.where(scores.max(axis=0) > threshold, class_ids[best], 0).astype(np.uint8)


def crf_label(image, label, classes, iterations=CRF_ITERATIONS, settings=CRF):
    """A label after the dense CRF: uint8 (H, W), of the given classes, background among them.

    image: uint8 (H, W, 3) RGB; label: (H, W) of `classes`, each believed with probability 0.7. Unchanged for 0 iterations or a
    single class.
    """
    classes = np.asarray(classes)
    if not np.isin(label, classes).all():
        raise ValueError(f"label: expected values {classes.tolist()}, found {np.setdiff1d(label, classes).tolist()} too")
    if len(classes) < 2 or not iterations:
        return np.asarray(label, np.uint8)
    other = (1 - LABEL_PROBABILITY) / (len(classes) - 1)
    one_hot = label == classes[:, None, None]  # (K, H, W)
    logits = np.where(one_hot, np.log(LABEL_PROBABILITY), np.log(other)).astype(np.float32)
    return classes.astype(np.uint8)[dense_crf(image, logits, iterations, "compiled", settings)]


def threshold_label(image, class_ids, maps, threshold, iterations=0):
    """Mask of an image uint8 (H, W, 3) by class activation (C, h, w) above a threshold, and the CRF: uint8 (H, W)."""
    label = label_of_scores(resize_maps(maps, image.shape[:2]), class_ids, threshold)
    return crf_label(image, label, np.append(0, class_ids), iterations)


def confident_label(
    image,
    class_ids,
    maps,
    foreground=FOREGROUND_THRESHOLD,
    background=BACKGROUND_THRESHOLD,
    iterations=CRF_ITERATIONS,
):
    """Labels of the pixels that class activation is sure of: uint8 (H, W), 255 elsewhere.

    A pixel has a class where the mask by the larger threshold `foreground`, after the CRF, has it, and is background where
    both this and the one by the smaller threshold `background`, after the CRF, say so. ValueError if foreground < background.
    """
    if not 0 <= background <= foreground <= 1:
        raise ValueError(f"background, foreground: {background}, {foreground}; expected 0 <= background <= foreground <= 1")
    large = resize_maps(maps, image.shape[:2])
    classes = np.append(0, class_ids)
    sure, possible = (
        crf_label(image, label_of_scores(large, class_ids, threshold), classes, iterations)
        for threshold in (foreground, background)
    )
    return np.where(sure > 0, sure, np.where(possible == 0, 0, IGNORE)).astype(np.uint8)


def write_confident_label(dataset, cams, folder, settings, image_id):
    """Write folder/ID.png, the `confident_label` of one image by config.BoundaryTraining, from cams/ID.npz."""
    class_ids, maps = load_cam(cam_path(cams, image_id))
    image = read_image(dataset.image_path(image_id))
    thresholds = settings.confident_foreground, settings.confident_background
    write_label(folder / f"{image_id}.png", confident_label(image, class_ids, maps, *thresholds, settings.label_crf_iterations))

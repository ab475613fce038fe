"""Labels from class activation: thresholds, the CRF on a label, and the confident labels that train IRN."""

import numpy as np
import pytest

from cian.config import Refinement
from cian.inference.cam_labels import CRF, confident_label, crf_label, label_of_scores, threshold_label
from cian.inference.crf import dense_crf
from cian.inference.refinement import USED, needs_boundary, refine


def test_label_of_scores_by_hand():
    scores = np.array([[[0.2, 0.6, 0.3, 0.0]], [[0.1, 0.7, 0.3, 0.31]]])
    assert label_of_scores(scores, [8, 15], 0.3).tolist() == [[0, 15, 0, 15]]  # at the threshold it is background
    assert label_of_scores(scores, [8, 15], 0.1).tolist() == [[8, 15, 8, 15]]  # equal scores: the first class
    assert label_of_scores(np.zeros((0, 2, 3)), [], 0.3).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert label_of_scores(scores[:1], [254], 0.3).tolist() == [[0, 254, 0, 0]]


@pytest.mark.parametrize(
    "scores, ids, message",
    [
        (np.zeros((2, 3, 4)), [1], r"expected \(C, H, W\) and \(C,\), found \(2, 3, 4\) and \(1,\)"),
        (np.zeros((3, 4)), [1, 2, 3], r"expected \(C, H, W\)"),
        (np.zeros((1, 3, 4)), [0], r"class_ids: expected indices 1..254, found \[0\]"),
        (np.zeros((1, 3, 4)), [255], "class_ids: expected indices 1..254"),
    ],
)
def test_label_of_scores_errors(scores, ids, message):
    with pytest.raises(ValueError, match=message):
        label_of_scores(scores, ids, 0.3)


def two_halves():
    """A dark and a bright half; activation of class 8 that ends six pixels before the border between them."""
    image = np.full((40, 60, 3), 40, np.uint8)
    image[:, 30:] = 200
    maps = np.zeros((1, 40, 60), np.float32)
    maps[0, :, :28] = 0.2
    maps[0, 3:37, :24] = 0.9
    return image, maps


def test_crf_label_is_the_crf_of_the_published_unary():
    image, maps = two_halves()
    label = label_of_scores(maps, [8], 0.3)
    logits = np.log(np.where(np.stack([label == 0, label == 8]), 0.7, 0.3)).astype(np.float32)
    expected = np.where(dense_crf(image, logits, 10, settings=CRF) == 1, 8, 0)
    found = crf_label(image, label, [0, 8], 10)
    np.testing.assert_array_equal(found, expected)
    assert (found[:, :30] == 8).mean() > 0.95 and (found[:, 30:] == 0).all()  # grown to the border of the colours


def test_crf_label_shares_what_is_left_among_the_other_classes():
    rng = np.random.default_rng(0)
    image, label = rng.integers(0, 255, (20, 24, 3)).astype(np.uint8), rng.choice([0, 3, 9], (20, 24))
    logits = np.log(np.where(label == np.array([0, 3, 9])[:, None, None], 0.7, 0.15)).astype(np.float32)
    expected = np.array([0, 3, 9])[dense_crf(image, logits, 2, settings=CRF)]
    np.testing.assert_array_equal(crf_label(image, label, [0, 3, 9], 2), expected)
    np.testing.assert_array_equal(crf_label(image, label, [0, 3, 9], 0), label)
    np.testing.assert_array_equal(crf_label(image, np.zeros((20, 24)), [0], 10), 0)
    with pytest.raises(ValueError, match=r"label: expected values \[0, 3\], found \[9\] too"):
        crf_label(image, label, [0, 3], 2)


def test_confident_labels_by_hand():
    image, maps = two_halves()
    label = confident_label(image, [8], maps, iterations=0)
    assert (label[3:37, :24] == 8).all() and (label[:, 28:] == 0).all()
    assert (label[:3, :28] == 255).all() and (label[3:37, 24:28] == 255).all()
    label = confident_label(image, [8], maps)  # with the CRF both thresholds give the dark half
    assert (label[:, 30:] == 0).all() and (label[:, :30] == 8).mean() > 0.9
    none = confident_label(image, [], np.zeros((0, 5, 8)))
    assert none.shape == (40, 60) and (none == 0).all()
    with pytest.raises(ValueError, match="expected 0 <= background <= foreground <= 1"):
        confident_label(image, [8], maps, 0.05, 0.3)


def test_a_pixel_of_two_opinions_is_unknown():
    """Where only the smaller threshold has an object, nothing is certain; where the larger has it, that counts."""
    image = np.zeros((1, 4, 3), np.uint8)
    maps = np.array([[[0.04, 0.1, 0.35, 0.2]], [[0.0, 0.0, 0.0, 0.9]]])
    assert confident_label(image, [2, 7], maps, iterations=0).tolist() == [[0, 255, 2, 7]]


def test_refine_chooses_the_method():
    image, maps = two_halves()
    settings = Refinement.preset("voc12", cam_threshold=0.5)
    plain = refine(image, [8], maps, "none", settings)
    np.testing.assert_array_equal(plain, threshold_label(image, [8], maps, 0.5))
    assert plain[10, 10] == 8 and plain[10, 25] == 0
    np.testing.assert_array_equal(refine(image, [8], maps, "crf", settings), crf_label(image, plain, [0, 8], 10))
    boundary = np.zeros((10, 15), np.float32)
    boundary[:, 7] = 1  # pixels 28 to 31
    walked = refine(image, [8], maps, "walk", settings, boundary)
    assert (walked[:, :26] == 8).all() and (walked[:, 34:] == 0).all()  # it filled the left half
    assert refine(image, [8], maps, "walk+crf", settings, boundary).shape == (40, 60)
    with pytest.raises(ValueError, match="boundary: missing"):
        refine(image, [8], maps, "walk", settings)
    with pytest.raises(ValueError, match="refine: 'grow', expected one of none, crf, walk, walk\\+crf"):
        refine(image, [8], maps, "grow", settings)
    assert [needs_boundary(method) for method in USED] == [False, False, True, True]


def test_published_settings():
    s = Refinement.preset("voc12")
    assert (s.cam_threshold, s.walk_threshold, s.walk_radius, s.walk_beta, s.walk_exponent) == (0.15, 0.25, 5, 10, 8)

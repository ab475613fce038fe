"""Dense CRF: equal to pydensecrf called directly, to a slow dense sum, to the golden file; pruned near exact; errors."""

import numpy as np
import pytest
from crf_case import make_case
from pydensecrf.densecrf import DenseCRF2D

from cian.data.images import read_image
from cian.inference import crf
from cian.inference.crf import CRFSettings, crf_probabilities, dense_crf


def direct(image, logits, iterations):
    """pydensecrf called as the published code calls it."""
    classes, height, width = logits.shape
    model = DenseCRF2D(width, height, classes)
    model.setUnaryEnergy(-logits.reshape(classes, -1))
    model.addPairwiseGaussian(sxy=3, compat=3)
    model.addPairwiseBilateral(sxy=80, srgb=13, rgbim=image, compat=10)
    return np.array(model.inference(iterations)).reshape(logits.shape)


@pytest.mark.parametrize("iterations", [0, 1, 5, 10])
def test_exact_is_pydensecrf(iterations):
    image, logits = make_case()
    expected = direct(image, logits, iterations)
    label = dense_crf(image, logits, iterations)
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, expected.argmax(axis=0))
    np.testing.assert_allclose(crf_probabilities(image, logits, iterations), expected, atol=1e-6)


def test_settings_reach_pydensecrf():
    image, logits = make_case(5)
    model = DenseCRF2D(120, 96, 5)
    model.setUnaryEnergy(-logits.reshape(5, -1))
    model.addPairwiseGaussian(sxy=2, compat=1)
    model.addPairwiseBilateral(sxy=20, srgb=5, rgbim=image, compat=4)
    expected = np.array(model.inference(3)).reshape(logits.shape)
    found = crf_probabilities(image, logits, 3, settings=CRFSettings(2, 1, 20, 5, 4))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_read_only_and_strided_input():
    image, logits = make_case()
    expected = dense_crf(image, logits, 2)
    image.flags.writeable = logits.flags.writeable = False
    np.testing.assert_array_equal(dense_crf(image, logits, 2), expected)
    flipped = dense_crf(image[:, ::-1], logits[:, :, ::-1], 0)
    np.testing.assert_array_equal(flipped, logits.argmax(axis=0)[:, ::-1])


def test_golden_file(shared):
    golden = np.load(shared / "golden" / "infer_resnet50_ms_flip_crf.npz")
    image = read_image(shared / "data" / "VOC2012-animals" / "JPEGImages" / str(golden["image"]))
    small = golden["logits_every_8"]
    assert small.shape[1:] == tuple(-(-side // 8) for side in image.shape[:2])
    rows, columns = np.arange(image.shape[0]) // 8, np.arange(image.shape[1]) // 8
    logits = np.ascontiguousarray(
        small[:, rows][:, :, columns]
    )  # nearest: a case of the published logits' size and range
    exact = dense_crf(image, logits, 5)
    np.testing.assert_array_equal(exact, direct(np.array(image), logits, 5).argmax(axis=0))
    assert (exact == dense_crf(image, logits, 5, method="pruned")).mean() >= 0.9995


def mean_field_by_sums(image, logits, iterations, settings, weights):
    """Mean field with every pair of pixels summed up in float64: a slow oracle that shares nothing with the lattice."""
    classes, height, width = logits.shape
    rows, columns = np.mgrid[:height, :width].reshape(2, -1).astype(np.float64)
    place = np.stack([columns, rows], 1)
    colour = image.reshape(-1, 3).astype(np.float64)
    near = place / settings.gaussian_sxy
    wide = np.concatenate([place / settings.bilateral_sxy, colour / settings.bilateral_srgb], 1)
    message = 0
    for features, compat in ((near, settings.gaussian_compat), (wide, settings.bilateral_compat)):
        kernel = np.exp(-0.5 * ((features[:, None] - features[None]) ** 2).sum(2))
        norm = 1 / np.sqrt(kernel.sum(1))
        message = message + compat * norm[:, None] * kernel * norm
    energy = logits.reshape(classes, -1).astype(np.float64)
    q = np.exp(energy - energy.max(0))
    q /= q.sum(0)
    for _ in range(iterations):
        t = energy + weights[:, None] * (q @ message)
        q = np.exp(t - t.max(0))
        q /= q.sum(0)
    return q.reshape(logits.shape)


@pytest.mark.parametrize("run", ["pydensecrf", "native"])
def test_against_sums_over_all_pairs(run):
    if run == "native" and crf.native() is None:
        pytest.skip("cian.inference._mean_field is not built")
    image, logits = make_case(4, 24, 30)
    weights = np.array([1, 1, 1, 0.3], np.float32)
    settings = CRFSettings(3, 1, 10, 30, 2)
    mean_field = crf._native_mean_field if run == "native" else crf._mean_field
    expected = mean_field_by_sums(image, logits, 3, settings, weights)
    # the lattice only approximates the Gaussian: close in the mean, same labels but for near ties
    found = mean_field(image, logits, 3, settings, weights)
    assert np.abs(found - expected).mean() < 0.01
    assert (found.argmax(0) == expected.argmax(0)).mean() > 0.99


@pytest.mark.parametrize("classes", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("size", [(96, 120), (1, 1), (1, 37), (50, 2)])
def test_native_is_pydensecrf_up_to_rounding(classes, size):
    if crf.native() is None:
        pytest.skip("cian.inference._mean_field is not built")
    image, logits = make_case(classes, *size)
    weights = np.linspace(0.2, 1, classes).astype(np.float32)
    arguments = image, 3 * logits, 5, CRFSettings(), weights
    np.testing.assert_allclose(crf._native_mean_field(*arguments), crf._mean_field(*arguments), atol=1e-4)


def test_native_refuses_what_does_not_fit():
    if crf.native() is None:
        pytest.skip("cian.inference._mean_field is not built")
    image, logits = make_case(9)
    with pytest.raises(ValueError, match="1 to 8 classes"):
        crf._native_mean_field(image, logits, 1, CRFSettings(), np.ones(9, np.float32))
    with pytest.raises(ValueError, match="1 to 8 classes"):
        crf._native_mean_field(image, logits[:4], 1, CRFSettings(), np.ones(5, np.float32))
    with pytest.raises(ValueError, match="too narrow"):
        crf._native_mean_field(image, logits[:4], 1, CRFSettings(bilateral_srgb=1e-3), np.ones(4, np.float32))


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("classes", [1, 2, 4, 7, 21, 81])
def test_pruned_is_near_exact(classes, compiled, monkeypatch):
    if not compiled:
        monkeypatch.setattr(crf, "native", lambda: None)
    image, logits = make_case(classes, 128, 160)
    equal = dense_crf(image, logits, 5) == dense_crf(image, logits, 5, method="pruned")
    assert equal.mean() > 0.9995
    probability = crf_probabilities(image, logits, 5, method="pruned")
    assert probability.shape == logits.shape and probability.dtype == np.float32
    np.testing.assert_allclose(probability.sum(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize("classes", [1, 2, 3, 8, 9])
def test_compiled_is_exact(classes):
    image, logits = make_case(classes, 96, 120)
    for settings in (CRFSettings(), CRFSettings(bilateral_sxy=50, bilateral_srgb=5)):
        equal = dense_crf(image, logits, 10, "exact", settings) == dense_crf(image, logits, 10, "compiled", settings)
        assert equal.mean() > 0.9999


def test_survivors_by_hand():
    highest = np.array([0.9, 0.01, 0.3, 0.001, 0.02, 0.5, 0.03, 0.004, 0.19], np.float32)
    probability = np.zeros((9, 2, 2), np.float32)
    probability[:, 1, 0] = highest
    # 0, 2 and 5 come near winning, with the rest they fill the four lanes
    np.testing.assert_array_equal(crf.survivors(probability), [0, 2, 5])
    probability[8, 0, 0] = 0.25  # a fourth: two vectors, filled with the next ones 6, 4, 1
    np.testing.assert_array_equal(crf.survivors(probability), [0, 1, 2, 4, 5, 6, 8])


def test_share_by_hand():
    logits = np.zeros((4, 20, 20), np.float32)  # all alike: each of the three others gets a third of their message
    others, settings = np.array([1, 2, 3]), CRFSettings(bilateral_sxy=10)
    assert crf._share(logits, others, settings) == pytest.approx(1 / 3, rel=1e-5)
    logits[2:] = -60  # one of them alone: all of it
    assert crf._share(logits, others, settings) == pytest.approx(1, rel=1e-5)


def test_errors_say_what_is_wrong():
    image, logits = make_case(4, 20, 30)
    bad = logits.copy()
    bad[1, 2, 3] = np.nan
    bad[0, 0, 0] = np.inf
    cases = [
        (TypeError, "image: expected a numpy array of uint8, found float64", (image / 255, logits, 1)),
        (TypeError, "logits: expected a numpy array of float32, found float64", (image, logits.astype(float), 1)),
        (TypeError, "logits: expected a numpy array of float32, found list", (image, [1], 1)),
        (ValueError, r"image: expected shape \(H, W, 3\), found \(20, 30\)", (image[..., 0], logits, 1)),
        (ValueError, r"logits: expected shape \(K, 20, 30\).*found \(4, 19, 30\)", (image, logits[:, 1:], 1)),
        (ValueError, "logits: expected finite values, found 2 that are not", (image, bad, 1)),
        (ValueError, "iterations: expected an integer >= 0, found -1", (image, logits, -1)),
        (ValueError, "iterations: expected an integer >= 0, found 2.5", (image, logits, 2.5)),
        (ValueError, "method: expected one of compiled, exact, pruned, found 'quick'", (image, logits, 1, "quick")),
    ]
    for kind, message, arguments in cases:
        with pytest.raises(kind, match=message):
            dense_crf(*arguments)


@pytest.mark.parametrize("name", ["gaussian_sxy", "bilateral_sxy", "bilateral_srgb", "bilateral_compat"])
def test_settings_that_no_kernel_can_have_are_named(name):
    for value in (float("nan"), float("inf"), -1e7) + (() if name.endswith("compat") else (0, -1.0)):
        with pytest.raises(ValueError, match=f"{name}: expected a number above .*, found {value}"):
            CRFSettings(**{name: value})
    with pytest.raises(TypeError, match=f"{name}: expected a number, found '3'"):
        CRFSettings(**{name: "3"})


@pytest.mark.parametrize("method", ["exact", "pruned", "compiled"])
@pytest.mark.parametrize("name, least", [("gaussian_sxy", 0.0128), ("bilateral_sxy", 128 / 3000), ("bilateral_srgb", 0.085)])
def test_a_kernel_too_narrow_for_its_lattice_is_named_and_the_narrowest_is_computed(method, name, least):
    image, logits = make_case(6, 96, 128)
    with pytest.raises(ValueError, match=f"{name}: 1e-08 is too narrow, expected at least {least:.3g} for .96, 128, 3."):
        dense_crf(image, logits, 1, method, CRFSettings(**{name: 1e-8}))
    label = dense_crf(image, 20 * logits, 1, method, CRFSettings(**{name: 1.001 * least}))
    assert (label == logits.argmax(axis=0)).mean() > 0.6  # the other kernel still works

"""Training transforms against hand-worked images and a slow oracle."""
import numpy as np
import pytest

from cian.data.transforms import feature_size, pad, random_crop, shrink_label


def test_shrinking_takes_every_eighth_pixel_at_the_published_sizes():
    rng = np.random.RandomState(0)
    for size in (321, 193, 65):
        label = rng.choice([0, 3, 20, 255], size=(size, size)).astype(np.uint8)
        assert np.array_equal(shrink_label(label, feature_size(size)), label[::8, ::8])


def test_even_steps_of_other_sizes_are_what_interpolation_gives():
    label = np.random.RandomState(4).choice([0, 3, 255], size=(25, 13)).astype(np.uint8)
    assert np.array_equal(shrink_label(label, 5), label[::6, ::3])
    assert np.array_equal(shrink_label(label[:13], 13), label[:13])
    for part, size in ((label, 5), (label[:3, :3], 9)):
        assert np.array_equal(shrink_label(part, size), slow_shrink(part, size))
    assert shrink_label(label, 1).shape == (1, 1)


def slow_shrink(label, size):
    """One-hot, bilinear with aligned corners, arg max where above one half; pixel by pixel."""
    shrunk = np.full((size, size), 255, np.uint8)
    for row in range(size):
        for column in range(size):
            y, x = row * (label.shape[0] - 1) / (size - 1), column * (label.shape[1] - 1) / (size - 1)
            top, left = int(y), int(x)
            shares = np.zeros(256)
            for dy, wy in ((0, 1 - (y - top)), (1, y - top)):
                for dx, wx in ((0, 1 - (x - left)), (1, x - left)):
                    if wy * wx > 0:
                        shares[label[top + dy, left + dx]] += wy * wx
            best = shares[:255].argmax()
            if shares[best] > 0.5 + 1e-9:
                shrunk[row, column] = best
    return shrunk


def test_shrinking_between_pixels_never_invents_a_class():
    label = np.random.RandomState(1).choice([2, 7, 255], size=(30, 30)).astype(np.uint8)
    shrunk = shrink_label(label, 9)
    assert set(np.unique(shrunk)) <= {2, 7, 255}
    assert (shrunk == slow_shrink(label, 9)).mean() > 0.98  # a share of exactly one half may fall either way


def test_padding_is_black_and_carries_its_label():
    image, label = np.full((3, 5, 3), 9, np.uint8), np.full((3, 5), 4, np.uint8)
    padded, padded_label = pad(image, label, 4, 255)
    assert padded.shape == (4, 5, 3) and not padded[3].any() and (padded[:3] == 9).all()
    assert (padded_label[3] == 255).all() and (padded_label[:3] == 4).all()
    assert pad(image, None, 2)[0].shape == (3, 5, 3)  # large enough: unchanged


def test_image_and_label_move_together():
    rng = np.random.RandomState(2)
    label = rng.randint(0, 20, (50, 70)).astype(np.uint8)
    image = np.repeat(label[..., None], 3, axis=2)  # the image shows its label, so the crops must agree
    for key in range(20):
        crop, crop_label = random_crop(image, label, 33, np.random.default_rng(key), scales=(1,))
        assert crop.shape == (33, 33, 3) and np.array_equal(crop[..., 0], crop_label)


def test_same_key_same_crop_and_all_scales_occur():
    image = np.random.RandomState(3).randint(0, 255, (40, 40, 3)).astype(np.uint8)
    label = np.full((40, 40), 1, np.uint8)
    one, other = (random_crop(image, label, 65, np.random.default_rng((1, 2, 3))) for _ in range(2))
    assert np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1])
    sides = {int(random_crop(image, label, 65, np.random.default_rng(key))[1].sum() ** 0.5) for key in range(100)}
    assert sides == {20, 30, 40, 50, 60}  # 40 pixels times the five scales, all inside the crop


def test_without_label():
    crop, label = random_crop(np.zeros((9, 9, 3), np.uint8), None, 17, np.random.default_rng(0))
    assert crop.shape == (17, 17, 3) and label is None


@pytest.mark.parametrize("side, features", [(321, 41), (513, 65), (65, 9), (160, 20)])
def test_feature_size(side, features):
    assert feature_size(side) == features

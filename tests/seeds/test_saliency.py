"""Saliency: distances against slow oracles and by hand, degenerate images, maps read from files."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from cian.data.images import read_image, read_label
from cian.seeds import barrier, saliency, superpixels


def exact_barrier_distance(values):
    """For every pair of values: which pixels reach the border through pixels between the two."""
    levels = np.unique(values)
    distance = np.full(values.shape, np.inf)
    edge = np.ones(values.shape, bool)
    edge[1:-1, 1:-1] = False
    for low in levels:
        for high in levels[levels >= low]:
            parts, _ = ndimage.label((values >= low) & (values <= high))
            reached = np.isin(parts, np.unique(parts[edge & (parts > 0)])) & (parts > 0)
            distance[reached] = np.minimum(distance[reached], high - low)
    return distance


def picture(shape=(60, 80), background=(90, 120, 90), colour=(200, 60, 40), box=(20, 40, 30, 55), noise=4):
    """A box of one colour before another, with a little noise; also the mask of the box."""
    image = np.empty(shape + (3,), np.uint8)
    image[:] = background
    mask = np.zeros(shape, bool)
    mask[box[0] : box[1], box[2] : box[3]] = True
    image[mask] = colour
    image = image + np.random.RandomState(0).randint(-noise, noise + 1, image.shape)
    return image.clip(0, 255).astype(np.uint8), mask


def test_barrier_distance_by_hand():
    # To the 1 in the middle the cheapest way leads over the 4 (barrier 4 - 0, from the border's 0), not over the 9s.
    values = np.array([[0, 0, 0, 0, 0], [0, 9, 9, 9, 0], [0, 4, 1, 9, 0], [0, 9, 9, 9, 0], [0, 0, 0, 0, 0]], np.float32)[
        ..., None
    ]
    expected = np.zeros((5, 5))
    expected[1:4, 1:4] = [[9, 9, 9], [4, 4, 9], [9, 9, 9]]
    np.testing.assert_array_equal(barrier.barrier_distance(values)[..., 0], expected)


def test_barrier_distance_against_oracle():
    random = np.random.RandomState(1)
    values = random.randint(0, 8, (12, 15, 2)).astype(np.float32)
    kept = values.copy()
    smooth = np.round(ndimage.gaussian_filter(random.rand(30, 40), 3) * 100).astype(np.float32)
    for array, share in ((values[..., 0], 0.8), (smooth, 0.9)):  # greedy: noise is the hardest case
        found = barrier.barrier_distance(array[..., None], rounds=6)[..., 0]
        expected = exact_barrier_distance(array)
        assert found.dtype == np.float32 and (found >= expected).all()  # an upper bound
        assert (found == expected).mean() > share and (found - expected).mean() < 0.25
    both = barrier.barrier_distance(values)  # the channels do not touch each other
    np.testing.assert_array_equal(both[..., 1:], barrier.barrier_distance(values[..., 1:]))
    np.testing.assert_array_equal(values, kept)


def test_border_contrast_of_a_box_and_of_a_plain_image():
    image, mask = picture(noise=0)
    contrast = barrier.border_contrast(superpixels.to_lab(image))
    np.testing.assert_allclose(contrast[mask], 1)
    np.testing.assert_allclose(contrast[~mask], 0, atol=1e-6)
    assert not barrier.border_contrast(superpixels.to_lab(image[:10])).any()


def test_centre_weight():
    weight = barrier.centre_weight((3, 5))
    assert weight[1, 2] == 1 and weight.argmin() in (0, 4, 10, 14)
    np.testing.assert_allclose(weight, weight[::-1, ::-1])
    np.testing.assert_allclose(weight[0, 2], 1 - (1 / 3) / np.sqrt(0.5))


def test_superpixels_described_by_hand():
    labels = np.array([[0, 0, 1], [0, 2, 1], [3, 3, 1]])
    image = np.zeros((3, 3, 3), np.uint8)
    image[labels == 1] = 255
    image[2, 0] = 255
    found = superpixels.describe(image, labels)
    np.testing.assert_array_equal(found.sizes, [3, 3, 1, 2])
    np.testing.assert_allclose(found.colours[:, 0], [0, 100, 0, 50], atol=1e-3)
    np.testing.assert_allclose(found.centres[1], [0.5, 2.5 / 3])
    np.testing.assert_array_equal(found.border, [True, True, False, True])
    expected = np.ones((4, 4), bool)
    np.fill_diagonal(expected, False)
    expected[0, 3], expected[3, 0] = True, True
    np.testing.assert_array_equal(found.touching, expected)


def test_superpixels_cover_the_image():
    image, mask = picture()
    found = superpixels.segment(image, count=60)
    assert 30 < len(found.sizes) < 90 and found.sizes.sum() == mask.size and found.sizes.min() > 0
    inside = np.bincount(found.labels[mask], minlength=len(found.sizes)) / found.sizes
    assert ((inside < 0.1) | (inside > 0.9)).mean() > 0.9  # they keep to the outline


def test_geodesic_distances_by_hand():
    edges = np.zeros((4, 4), bool)
    lengths = np.zeros((4, 4))
    for one, other, length in ((0, 1, 0), (1, 2, 3), (0, 2, 5)):  # a length of 0 is an edge; node 3 has none
        edges[one, other] = edges[other, one] = True
        lengths[one, other] = lengths[other, one] = length
    inf = np.inf
    expected = [[0, 0, 3, inf], [0, 0, 3, inf], [3, 3, 0, inf], [inf, inf, inf, 0]]
    np.testing.assert_array_equal(superpixels.geodesic_distances(edges, lengths), expected)


def test_normalise():
    np.testing.assert_allclose(superpixels.normalise(np.array([2.0, 3.0, 6.0])), [0, 0.25, 1])
    np.testing.assert_allclose(superpixels.normalise(np.array([2.0, 4.0]), lowest=0), [0.5, 1])
    np.testing.assert_array_equal(superpixels.normalise(np.array([1, 1 + 1e-9])), [0, 0])


@pytest.mark.parametrize("method", sorted(saliency.METHODS))
def test_a_box_stands_out(method):
    image, mask = picture()
    found = saliency.saliency(image, method)
    threshold = saliency.METHODS[method].background
    assert found.dtype == np.float32 and found.shape == mask.shape and found.min() >= 0 and found.max() <= 1
    assert found[mask].mean() > 3 * found[~mask].mean()
    assert (found[ndimage.binary_erosion(mask, iterations=3)] > threshold).all()
    assert (found[~ndimage.binary_dilation(mask, iterations=3)] <= threshold).mean() > 0.8


@pytest.mark.parametrize("method", ["mbd-warm", "mbd", "rbd"])
def test_an_object_at_the_border_stands_out(method):
    image, mask = picture(box=(30, 60, 30, 55))
    found = saliency.saliency(image, method)
    assert np.median(found[mask]) > 3 * np.median(found[~mask])


@pytest.mark.parametrize("method", sorted(saliency.METHODS))
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (9, 1), (2, 2), (5, 4), (40, 300), (401, 2)])
def test_plain_images_are_all_background_and_small_ones_valid(method, shape):
    for value in (0, 37, 255):
        assert not saliency.saliency(np.full(shape + (3,), value, np.uint8), method).any()
    random = np.random.RandomState(0)
    grey = np.repeat(random.randint(0, 256, shape + (1,)), 3, axis=2).astype(np.uint8)
    for image in (grey, random.randint(0, 256, shape + (3,)).astype(np.uint8)):
        found = saliency.saliency(image, method)
        assert found.shape == shape and found.min() >= 0 and found.max() <= 1  # both false of NaN


def test_green_objects_keep_a_share_of_their_saliency():
    image, mask = picture(background=(190, 180, 170), colour=(30, 140, 40))
    plain, warm = (saliency.saliency(image, method) for method in ("mbd", "mbd-warm"))
    np.testing.assert_allclose(warm[25:35, 35:50], 0.2 * plain[25:35, 35:50], rtol=0.01)
    assert (warm[25:35, 35:50] > saliency.METHODS["mbd-warm"].background).all()


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 4), np.uint8)]
)
def test_wrong_images_are_refused(image):
    with pytest.raises(ValueError, match=r"image: expected uint8 \(H, W, 3\)"):
        saliency.saliency(image)


def test_unknown_method_lists_the_known():
    with pytest.raises(ValueError, match="method: expected one of frequency-tuned, mbd, mbd-warm, rbd, found 'drfi'"):
        saliency.saliency(np.zeros((4, 4, 3), np.uint8), "drfi")


def test_read_saliency(tmp_path):
    values = np.array([[0, 51, 255]], np.uint8)
    Image.fromarray(values).save(str(tmp_path / "grey.png"))
    Image.fromarray(values.astype(np.uint16) * 257).save(str(tmp_path / "deep.png"))
    Image.fromarray(np.repeat(values[..., None], 3, axis=2)).save(str(tmp_path / "three.png"))
    Image.fromarray(values / np.float32(255)).save(str(tmp_path / "floats.tif"))
    for name in ("grey.png", "deep.png", "three.png", "floats.tif"):
        found = saliency.read_saliency(tmp_path / name, (1, 3))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, [[0, 0.2, 1]])
    Image.fromarray(values > 100).save(str(tmp_path / "bits.png"))
    np.testing.assert_array_equal(saliency.read_saliency(tmp_path / "bits.png", (1, 3)), [[0, 0, 1]])
    Image.fromarray(np.full((8, 8), 128, np.uint8)).save(str(tmp_path / "grey.jpg"))
    np.testing.assert_allclose(saliency.read_saliency(tmp_path / "grey.jpg", (8, 8)), 128 / 255, atol=0.01)


def test_read_saliency_names_bad_files(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(FileNotFoundError, match="a.png"):
        saliency.read_saliency(path, (1, 3))
    Image.fromarray(np.zeros((1, 3), np.uint8)).save(str(path))
    with pytest.raises(ValueError, match=r"a.png: expected the size of its image, \(3, 1\) \(H, W\), found \(1, 3\)"):
        saliency.read_saliency(path, (3, 1))
    for mode in ("RGB", "P", "CMYK", "RGBA"):
        image = Image.new(mode, (3, 1), 1 if mode == "P" else (9, 99, 199, 255)[: len(mode)])
        target = path.with_suffix(".tif" if mode == "CMYK" else ".png")
        image.save(str(target))
        with pytest.raises(ValueError, match=f"{target.name}: expected a grey .*found an image of mode {mode}"):
            saliency.read_saliency(target, (1, 3))
    path.write_bytes(b"not a picture")
    with pytest.raises(ValueError, match="a.png: cannot be decoded"):
        saliency.read_saliency(path, (1, 3))


def test_maps_of_0_and_1_are_refused_and_a_few_are_told(tmp_path, caplog):
    def largest(*values):
        items = []
        for number, value in enumerate(values):
            Image.fromarray(np.array([[0, value]], np.uint8)).save(str(tmp_path / f"{number}.png"))
            items.append((tmp_path / f"{number}.png", tmp_path / "0.png"))
        return [saliency.check_map(item) for item in items]

    np.testing.assert_allclose(largest(0, 1, 255), [0, 1 / 255, 1])
    for values in ((1, 0, 1), (1,)):
        with pytest.raises(ValueError, match=r"maps: saliency maps of only 0 and 1, expected 0..255 .*; multiply them by 255"):
            saliency.check_largest("maps", largest(*values))
    with pytest.raises(ValueError, match="maps: saliency maps of only 0, expected"):
        saliency.check_largest("maps", largest(0, 0))
    saliency.check_largest("maps", largest(0, 2))
    assert not caplog.records
    saliency.check_largest("maps", largest(0, 1, 200))
    assert "maps: 1 of 3 saliency maps have no value above 1 of 255" in caplog.text


def test_find_maps(tmp_path):
    for name in ("2007_000001.png", "2007_000002_DRFI.jpg", "2007_000003.txt", "2007_000009.png"):
        (tmp_path / name).touch()
    found = saliency.find_maps(tmp_path, ["2007_000002", "2007_000001"])
    assert {name: path.name for name, path in found.items()} == {
        "2007_000001": "2007_000001.png",
        "2007_000002": "2007_000002_DRFI.jpg",
    }
    with pytest.raises(FileNotFoundError, match="no saliency map of 2 of 3 images, the first 2007_000003"):
        saliency.find_maps(tmp_path, ["2007_000001", "2007_000003", "2007_000004"])
    (tmp_path / "2007_000001_DRFI.png").touch()
    with pytest.raises(ValueError, match="two saliency maps of image 2007_000001, 2007_000001.png and"):
        saliency.find_maps(tmp_path, ["2007_000001"])
    with pytest.raises(FileNotFoundError, match="no such folder"):
        saliency.find_maps(tmp_path / "missing", [])


def test_background_of_real_images(shared):
    """Over every fifteenth image of val."""
    root = shared / "data" / "VOC2012-animals"
    claimed = right = background = 0
    for name in (root / "ImageSets/Segmentation/val.txt").read_text().split()[::15]:
        truth = read_label(root / "SegmentationClassAug" / f"{name}.png")
        found = saliency.saliency(read_image(root / "JPEGImages" / f"{name}.jpg"))
        claim = (found <= saliency.METHODS[saliency.DEFAULT].background) & (truth != 255)
        claimed += claim.sum()
        right += (claim & (truth == 0)).sum()
        background += (truth == 0).sum()
    assert right / claimed > 0.9 and right / background > 0.4

"""Whole-image inference and activation maps: sizes, filters, and what an interrupted prediction leaves."""

import numpy as np
import pytest

from cian.base.runtime import mx
from cian.data.images import read_label
from cian.inference.masks import keep_classes, write_masks
from cian.inference.segmenter import Segmenter, predict_all
from cian.models.cam import CAM
from cian.models.cian import CIAN
from cian.seeds.activation import activation_maps


@pytest.fixture(scope="module")
def net():
    mx.random.seed(0)
    net = CIAN("resnet10", 4)
    net.initialize(mx.init.Xavier())
    net.hybridize()
    return net


def picture(height, width):
    return np.random.RandomState(0).randint(0, 255, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("size", [(65, 65), (40, 50), (1, 1), (70, 90)])
@pytest.mark.parametrize("fit", ["pad", "warp"])
def test_logits_have_the_size_of_the_image(net, size, fit):
    logits = Segmenter(net, mx.cpu(), 65, (1.0,), False, fit).logits(picture(*size))
    assert logits.shape == (4,) + size and logits.dtype == np.float32 and np.isfinite(logits).all()


def test_single_scale_without_mirror_is_the_network_itself(net):
    image = picture(65, 65)
    small = net(mx.nd.array(image.transpose(2, 0, 1)[None]))
    wanted = mx.nd.contrib.BilinearResize2D(small, height=65, width=65)[0].asnumpy()
    np.testing.assert_allclose(Segmenter(net, mx.cpu(), 65, (1.0,), False).logits(image), wanted, atol=1e-5)


def test_mirroring_makes_the_logits_of_a_mirrored_image_mirrored(net):
    segmenter, image = Segmenter(net, mx.cpu(), 65, (1.0, 0.75), True), picture(65, 65)
    one, other = segmenter.logits(image), segmenter.logits(image[:, ::-1].copy())
    np.testing.assert_allclose(one, other[:, :, ::-1], atol=1e-4)


def test_wrong_arguments_are_named(net):
    with pytest.raises(ValueError, match="fit: 'crop', expected one of pad, warp"):
        Segmenter(net, mx.cpu(), 65, fit="crop")
    with pytest.raises(ValueError, match="size: 64, expected a multiple of 8 plus 1"):
        Segmenter(net, mx.cpu(), 64)


def test_kept_classes_alone_can_win():
    logits = np.random.RandomState(1).standard_normal((4, 6, 6)).astype(np.float32)
    kept = keep_classes(logits, (0, 2))
    assert set(np.unique(kept.argmax(axis=0))) <= {0, 2}
    assert np.array_equal(kept[[0, 2]].argmax(axis=0), logits[[0, 2]].argmax(axis=0))


@pytest.mark.parametrize("iterations", [0, 3])
def test_predicting_writes_arg_max_and_crf(net, tmp_path, iterations):
    from PIL import Image

    for name in "abc":
        Image.fromarray(picture(30, 40)).save(tmp_path / f"{name}.png")
    segmenter = Segmenter(net, mx.cpu(), 65, (1.0,), False)
    items = [(name, tmp_path / f"{name}.png", None) for name in "abc"]
    assert list(predict_all(segmenter, items, tmp_path / "out", iterations)) == list("abc")
    wanted = segmenter.logits(picture(30, 40)).argmax(axis=0)
    for name in "abc":
        assert np.array_equal(read_label(tmp_path / "out" / "pred" / f"{name}.png"), wanted)
        assert (tmp_path / "out" / "pred_crf" / f"{name}.png").exists() == bool(iterations)


def test_an_unreadable_image_is_named(net, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    segmenter = Segmenter(net, mx.cpu(), 65, (1.0,), False)
    with pytest.raises(ValueError, match="bad.jpg: cannot be decoded"):
        list(predict_all(segmenter, [("bad", tmp_path / "bad.jpg", None)], tmp_path / "out", 1))
    assert not (tmp_path / "out" / "pred").exists()


def test_masks_respect_the_tags(tmp_path):
    from PIL import Image

    Image.fromarray(picture(20, 20)).save(tmp_path / "a.png")
    logits = np.zeros((3, 20, 20), np.float32)
    logits[1] = 5
    write_masks(tmp_path / "a.png", logits, tmp_path, "a", 2, "exact", allowed=(0, 2))
    for folder in ("pred", "pred_crf"):
        assert 1 not in np.unique(read_label(tmp_path / folder / "a.png"))


def test_activation_maps_against_a_direct_computation():
    mx.random.seed(0)
    net, image = CAM("resnet10", 3), picture(65, 65)
    net.initialize(mx.init.Xavier())
    maps, scores = activation_maps(net, image, (1, 3), scales=(1.0,), flip=True)
    views = np.stack([image, image[:, ::-1]]).transpose(0, 3, 1, 2)
    raw = net.maps(mx.nd.array(views)).asnumpy()
    total = np.maximum(raw[0], 0) + np.maximum(raw[1], 0)[:, :, ::-1]
    wanted = total[[0, 2]] / np.maximum(total[[0, 2]].max(axis=(1, 2), keepdims=True), 1e-5)
    np.testing.assert_allclose(maps, wanted, atol=1e-4)
    np.testing.assert_allclose(scores, raw.mean(axis=(0, 2, 3)), atol=1e-4)
    assert maps.shape == (2, 9, 9) and maps.max() <= 1 and maps.min() >= 0

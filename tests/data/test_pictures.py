"""cian.data.pictures: pictures of every kind become the same pixels, large ones are read small, broken ones are named."""

import numpy as np
import pytest
from PIL import Image
from small_pictures import picture

from cian.data.pictures import read_picture


def variants(folder, image):
    """One photograph written in many ways: {file: what the network should see}."""
    whole = Image.fromarray(image)
    exif = Image.Exif()
    exif[0x0112] = 6
    whole.rotate(90, expand=True).save(folder / "exif.png", exif=exif)  # to be turned clockwise
    grey = whole.convert("L")
    grey.save(folder / "grey.png")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(folder / "deep.png")
    grey.convert("1").save(folder / "bits.png")
    whole.quantize(16).save(folder / "colours.gif")
    alpha = whole.convert("RGBA")
    alpha.putalpha(128)
    alpha.save(folder / "alpha.png")
    whole.convert("CMYK").save(folder / "cmyk.jpg", quality=100, subsampling=0)
    grey3 = np.repeat(np.asarray(grey)[..., None], 3, axis=2)
    white = np.rint(image * (128 / 255) + 255 * (127 / 255))
    bits, colours = (np.asarray(i.convert("RGB")) for i in (grey.convert("1"), whole.quantize(16)))
    return {
        "exif.png": image,
        "grey.png": grey3,
        "deep.png": grey3,
        "bits.png": bits,
        "colours.gif": colours,
        "alpha.png": white,
        "cmyk.jpg": np.asarray(whole.convert("CMYK").convert("RGB")),
    }


def test_pictures_of_every_kind(tmp_path):
    image = picture(50, 60)
    for name, wanted in variants(tmp_path, image).items():
        found, size = read_picture(tmp_path / name, (65, 65))
        assert size == (50, 60) and found.shape == (50, 60, 3) and found.dtype == np.uint8, name
        assert np.abs(found - wanted.astype(float)).max() <= (12 if name.endswith(".jpg") else 1), name
        small, size = read_picture(str(tmp_path / name), (20, 20))
        assert size == (50, 60) and small.shape == (17, 20, 3), name
        reference = np.asarray(Image.fromarray(wanted.astype(np.uint8)).resize((20, 17), Image.BICUBIC)).astype(float)
        assert np.abs(small - reference).mean() <= 4, name
    for given in (image, image[..., 0], np.dstack([image, image[..., 0]]), Image.fromarray(image)):
        assert read_picture(given, (65, 65))[0].shape == (50, 60, 3)
    assert read_picture(picture(1, 1), (65, 65))[0].shape == (1, 1, 3)
    assert read_picture(np.zeros((2, 3000, 3), np.uint8), (65, 65))[0].shape == (1, 65, 3)
    assert np.array_equal(read_picture(image, (50, 60))[0], image)


def test_a_large_photograph_is_decoded_small(tmp_path):
    image = picture(2000, 3000)
    Image.fromarray(image).save(tmp_path / "large.jpg", quality=95)
    found, size = read_picture(tmp_path / "large.jpg", (65, 65))
    assert size == (2000, 3000) and found.shape == (43, 65, 3)
    wanted = np.asarray(Image.fromarray(image).resize((65, 43), Image.BICUBIC))
    assert np.abs(found.astype(int) - wanted).mean() < 2


@pytest.mark.parametrize(
    "given, error, message",
    [
        (np.zeros((4, 4, 3)), ValueError, "expected uint8 .*found float64"),
        (np.zeros((4, 4, 2), np.uint8), ValueError, "found uint8"),
        (np.zeros((0, 4, 3), np.uint8), ValueError, "has no pixels"),
        (3, TypeError, "found int"),
        ("no-such.jpg", FileNotFoundError, "no-such.jpg: no such image file"),
    ],
)
def test_wrong_pictures_are_named(given, error, message):
    with pytest.raises(error, match=message):
        read_picture(given, (65, 65))


def test_broken_picture_is_named(tmp_path):
    Image.fromarray(picture(400, 400)).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:3000])
    (tmp_path / "text.jpg").write_text("no picture")
    for name in ("cut.jpg", "text.jpg"):
        with pytest.raises(ValueError, match=name + ": cannot be decoded"):
            read_picture(tmp_path / name, (65, 65))

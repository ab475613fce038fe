"""Images of a data set: any ending and any kind of number is read rightly, or refused with what was found; label images."""

import numpy as np
import pytest
from PIL import Image
from voc_trees import write_dataset

from cian.data.images import LABEL_ENDINGS, find_file, read_image, read_label
from cian.data.voc import open_dataset

LABEL = np.array([[0, 8, 8], [255, 15, 0]], np.uint8)


@pytest.fixture
def root(tmp_path):
    return write_dataset(tmp_path / "data", {"val": {"a_1": LABEL, "b_2": LABEL}})


@pytest.mark.parametrize("ending", [".JPG", ".jpeg", ".JPEG", ".png", ".PNG", ".bmp", ".tif", ".TIFF", ".webp"])
def test_the_only_image_of_an_id_is_found_whatever_its_ending(root, ending):
    folder = root / "JPEGImages"
    Image.open(folder / "a_1.jpg").save(folder / f"a_1{ending}")
    (folder / f"._a_1{ending}").write_bytes(b"\x00")
    assert open_dataset(root).image_path("a_1") == folder / "a_1.jpg"  # VOC's own goes first
    before = open_dataset(root).fingerprint(["a_1"])
    (folder / "a_1.jpg").unlink()
    data = open_dataset(root)
    assert data.image_path("a_1") == folder / f"a_1{ending}" and read_image(data.image_path("a_1")).shape == (2, 3, 3)
    assert data.fingerprint(["a_1"]) != before
    (folder / "a_1.gif").write_bytes(b"")
    assert data.image_path("a_1") == folder / f"a_1{ending}"


def test_several_images_of_an_id_or_another_name_are_named(root):
    folder, data = root / "JPEGImages", open_dataset(root)
    for ending in (".PNG", ".bmp"):
        Image.open(folder / "a_1.jpg").save(folder / f"a_1{ending}")
    (folder / "a_1.jpg").unlink()
    if (folder / "A_1.png").exists():
        pytest.skip("a file system that does not tell A from a")
    (folder / "b_2.jpg").rename(folder / "B_2.jpg")
    for name, found in (("a_1", "a_1.jpg: no such image file; there are a_1.PNG, a_1.bmp"), ("b_2", "there is B_2.jpg")):
        with pytest.raises(FileNotFoundError, match=found):
            read_image(data.image_path(name))
        with pytest.raises(FileNotFoundError, match=found):
            data.fingerprint([name])
    assert find_file(root / "nowhere", "a_1", LABEL_ENDINGS) == root / "nowhere" / "a_1.png"


GREY = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)


@pytest.mark.parametrize("name, values", [
    ("16.png", GREY.astype(np.uint16) * 257),
    ("16.tif", GREY.astype(np.uint16) * 257),
    ("32.tif", GREY.astype(np.int32)),
    ("32_16.tif", GREY.astype(np.int32) * 257),
    ("unit.tif", (GREY / 255).astype(np.float32)),
    ("float.tif", GREY.astype(np.float32)),
    ("8.png", GREY),
])
def test_grey_of_every_kind_of_number(tmp_path, name, values):
    Image.fromarray(values).save(tmp_path / name)
    np.testing.assert_array_equal(read_image(tmp_path / name), np.repeat(GREY[..., None], 3, axis=2))


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "PA", "RGBA", "CMYK", "RGB", "HSV"])
def test_colours_of_every_kind(tmp_path, mode):
    image = Image.new("RGB", (4, 3), (255, 255, 255)).convert(mode)
    path = tmp_path / ("a.tif" if mode in ("CMYK", "1") else "a.png")
    if mode in ("PA", "HSV"):
        image = image.convert("RGBA")
    image.save(path)
    assert read_image(path).min() == 255


@pytest.mark.parametrize("name, values, message", [
    ("a.png", GREY.astype(np.uint16), "a.png: 16 bits, but no value above 255; expected 0..65535"),
    ("a.tif", GREY.astype(np.int32) - 9, r"a.tif: values -9..246 in an image of mode I, expected 0..65535"),
    ("a.tif", GREY.astype(np.int32) * 2**20, "a.tif: values 0..2.67.* expected 0..65535"),
    ("a.tif", GREY.astype(np.float32) * 257, r"a.tif: values 0..65535 in an image of mode F, expected 0..1 or 0..255"),
    ("a.tif", np.full((2, 2), np.nan, np.float32), r"a.tif: values nan..nan"),
    ("a.png", (GREY > 0).astype(np.uint8), "a.png: no value above 1, expected an image of 0..255"),
])
def test_numbers_that_would_be_read_as_black_are_refused(tmp_path, name, values, message):
    Image.fromarray(values).save(tmp_path / name)
    with pytest.raises(ValueError, match=message):
        read_image(tmp_path / name)


def test_colours_of_16_bits(tmp_path):
    cv2 = pytest.importorskip("cv2")
    colours = np.stack([GREY, GREY // 2, GREY // 3], axis=2)
    cv2.imwrite(str(tmp_path / "deep.png"), colours[..., ::-1].astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), colours)
    cv2.imwrite(str(tmp_path / "lost.png"), colours[..., ::-1].astype(np.uint16))
    with pytest.raises(ValueError, match="lost.png: .*16 bits a colour, but no value above 255"):
        read_image(tmp_path / "lost.png")


def test_black_stays_black(tmp_path):
    for name, dtype in (("a.png", np.uint8), ("b.png", np.uint16), ("c.tif", np.float32)):
        Image.fromarray(np.zeros((2, 3), dtype)).save(tmp_path / name)
        assert read_image(tmp_path / name).max() == 0


@pytest.mark.parametrize("name, values", [
    ("a.bmp", LABEL),
    ("a.PNG", LABEL),
    ("a.png", LABEL.astype(np.uint16)),
    ("a.tif", LABEL),
])
def test_labels_without_loss(tmp_path, name, values):
    Image.fromarray(values).save(tmp_path / name)
    np.testing.assert_array_equal(read_label(find_file(tmp_path, "a", LABEL_ENDINGS)), LABEL)


def test_labels_with_loss_or_other_values_are_refused(tmp_path):
    Image.fromarray(LABEL).save(tmp_path / "a.png", format="JPEG")
    with pytest.raises(ValueError, match="a.png: label images are palette .* found a JPEG, which is lossy"):
        read_label(tmp_path / "a.png")
    Image.fromarray(LABEL.astype(np.uint16) * 257).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a.png: expected class indices 0..255, found 0..65535"):
        read_label(tmp_path / "a.png")
    Image.fromarray(LABEL).convert("RGB").save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="a.png: label images are .* found mode RGB"):
        read_label(tmp_path / "a.png")

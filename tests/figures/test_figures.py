"""Pictures: colours, blending and layout by value; the writing of PNGs."""
import numpy as np
import pytest
from PIL import Image

from cian.data.images import palette
from cian.figures import sheet as figures


def test_colours_and_stripes():
    label = np.full((16, 16), 255, np.uint8)
    label[0, :3] = 0, 8, 15
    colours = figures.colour_label(label)
    assert colours.dtype == np.uint8
    np.testing.assert_array_equal(colours[0, :3], [[0, 0, 0], [64, 0, 0], [192, 128, 128]])
    stripes = colours[label == 255]
    assert set(np.unique(stripes)) == {165, 245}
    assert 0.2 < (stripes == 165).mean() < 0.3
    np.testing.assert_array_equal(palette()[255], [224, 224, 192])  # the palette itself is not touched


def test_overlay_by_hand():
    image = np.full((6, 8, 3), 100, np.uint8)
    label = np.zeros((6, 8), np.uint8)
    label[:, 4:] = 15
    found = figures.overlay(image, label, opacity=0.5)
    np.testing.assert_array_equal(found[:, :2], image[:, :2])  # background shows the image
    np.testing.assert_array_equal(found[0, 6], [146, 114, 114])  # (100 + 192) / 2, (100 + 128) / 2
    np.testing.assert_array_equal(found[2, 3], 255)  # the border
    np.testing.assert_array_equal(found[2, [2, 4]], 0)  # and its casing
    large = figures.overlay(np.full((300, 8, 3), 100, np.uint8), np.repeat(label[:1], 300, axis=0), opacity=0.5)
    np.testing.assert_array_equal(large[9, 2:6, 0], [0, 255, 255, 0])
    label[:, 4:] = 255
    assert not (figures.overlay(image, label, 1.0) == 255).any()  # stripes, but no border


def test_heat_map_by_hand():
    image = np.full((1, 3, 3), 100, np.uint8)
    found = figures.heat_map(image, np.array([[0, 0.5, 1]], np.float32), opacity=0.5, colours="gray")
    np.testing.assert_array_equal(found[0, :, 0], [50, 114, 178])  # 0, 128 and 255 beside 100; halves to even
    np.testing.assert_array_equal(figures.heat_map(image, np.zeros((1, 3)), opacity=0), image)


@pytest.mark.parametrize("call, message", [
    (lambda im: figures.overlay(im, np.zeros((4, 5), np.uint8)), r"label: expected shape \(4, 4\).*found \(4, 5\)"),
    (lambda im: figures.heat_map(im, np.zeros((5, 4))), r"values: expected shape \(4, 4\).*found \(5, 4\)"),
    (lambda im: figures.heat_map(im, np.full((4, 4), 1.5)), r"values: expected numbers in \[0, 1\], found 1\.5"),
    (lambda im: figures.heat_map(im, np.full((4, 4), np.nan)), r"values: expected numbers in \[0, 1\], found nan"),
    (lambda im: figures.colour_label(im), r"label: expected shape \(H, W\), found \(4, 4, 3\)"),
    (lambda im: figures.sheet([[im]], ["a", "b"]), r"rows\[0\]: expected 2 pictures, found 1"),
    (lambda im: figures.sheet([[im]], ["a"], ["x", "y"]), "row_titles: expected 1, found 2"),
    (lambda im: figures.sheet([[im / 2]], ["a"]), r"rows\[0\]\[0\]: expected uint8 \(H, W, 3\), found float64"),
    (lambda im: figures.write_png("x.png", im.astype(float)), "picture for x.png: expected uint8"),
])
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros((4, 4, 3), np.uint8))


def test_sheet_fits_pictures_without_distortion():
    red = np.zeros((100, 400, 3), np.uint8)
    red[..., 0] = 255
    tall = np.ascontiguousarray(red.transpose(1, 0, 2))
    page = figures.sheet([[red, None], [None, tall]], ["wide", "tall"], cell=(200, 100))
    is_red = (page == (255, 0, 0)).all(axis=2)
    rows, columns = np.nonzero(is_red[:, :page.shape[1] // 2])
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (50, 200)
    rows, columns = np.nonzero(is_red[:, page.shape[1] // 2:])
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (100, 25)
    assert (page[[0, -1]] == 255).all() and (page[:, [0, -1]] == 255).all()  # white all around


def test_legend_shows_names_and_wraps():
    picture = np.zeros((50, 50, 3), np.uint8)
    plain = figures.sheet([[picture]], ["a"], cell=(300, 60))
    short = figures.sheet([[picture]], ["a"], legend={15: "person"}, cell=(300, 60))
    long = figures.sheet([[picture]], ["a"], legend=[f"class {n}" for n in range(21)], cell=(300, 60))
    assert plain.shape[0] < short.shape[0] < long.shape[0]
    assert (short == (192, 128, 128)).all(axis=2).sum() > 100  # the swatch
    legends = ({15: "person"}, {15: "person", 255: None})
    two, one = (figures.sheet([[picture]], ["a"], legend=legend, cell=(90, 60)) for legend in legends)
    assert two.shape[0] - one.shape[0] == 24  # "unlabelled" would need a line of its own
    titled = figures.sheet([[picture]], ["a"], ["a title far longer than the page is wide, so that it must be cut"],
                           cell=(60, 60))
    assert titled.shape[1] == 80 and titled.shape[0] > 60


def test_legend_of():
    labels = [np.array([[0, 255]]), np.array([[2, 0]])]
    assert figures.legend_of(labels, ["background", "cat", "dog"]) == {0: "background", 2: "dog"}


def test_png_round_trip(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    figures.write_png(tmp_path / "new" / "x.png", picture)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "new" / "x.png")), picture)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x.png"]

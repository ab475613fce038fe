"""The COCO reader: classes, tags and masks against slow oracles and pycocotools' own reader; everything wrong is named."""

import contextlib
import io
import json

import numpy as np
import pytest
from coco_files import INDICES, NAMES, NUMBERS, OUTLINES, annotate, compressed, rectangles_of, runs_of, write_instances
from pycocotools.coco import COCO

from cian.data.coco import read_instances
from cian.data.coco_masks import semantic_mask


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Path of an annotation file of eight scenes, and what it shows."""
    images, annotations, truth = annotate(range(8))
    path = write_instances(tmp_path_factory.mktemp("coco") / "instances_val2014.json", images, annotations)
    return path, truth


def slow_mask(shapes, size):
    """Pixel by pixel: the value of the smallest shape there, the first of equal ones."""
    mask = np.zeros(size, np.uint8)
    for y in range(size[0]):
        for x in range(size[1]):
            here = [(int(inside.sum()), order) for order, (_, inside, _) in enumerate(shapes) if inside[y, x]]
            if here:
                index, _, crowd = shapes[min(here)[1]]
                mask[y, x] = 255 if crowd else index
    return mask


def test_classes_are_the_categories_in_the_order_of_their_ids(small):
    instances = read_instances(small[0])
    assert len(instances.classes) == 81 and instances.classes == tuple(NAMES)
    assert NUMBERS[79] == 90 and NUMBERS[11] == 13  # with gaps


def test_images_without_annotation_are_left_out(small):
    path, truth = small
    instances = read_instances(path)
    assert list(instances.pictures) == [f"COCO_part_{number:012d}" for number in range(7)]
    for name, picture in instances.pictures.items():
        shapes = truth[f"{name}.jpg"]
        assert picture.tags == tuple(sorted({index for index, _, _ in shapes})) and picture.tags
        assert [shape.crowd for shape in picture.shapes] == [crowd for _, _, crowd in shapes]
        assert (picture.height, picture.width) == shapes[0][1].shape


def test_masks_equal_a_slow_oracle(small):
    path, truth = small
    kinds, values, overlapping = set(), set(), 0
    for name, picture in read_instances(path).pictures.items():
        shapes = truth[f"{name}.jpg"]
        mask = semantic_mask(picture)
        assert mask.dtype == np.uint8 and np.array_equal(mask, slow_mask(shapes, mask.shape))
        kinds.update(
            type(shape.outline if isinstance(shape.outline, list) else shape.outline["counts"]) for shape in picture.shapes
        )
        values.update(np.unique(mask).tolist())
        overlapping += (sum(inside.astype(int) for _, inside, _ in shapes) > 1).sum()
    assert kinds == {list, np.ndarray, str} and values == {0, 255, *INDICES.values()} and overlapping > 100


def test_masks_equal_those_of_pycocotools_reader(small):
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO(str(small[0]))
    images = {image["file_name"]: key for key, image in theirs.imgs.items()}
    for picture in read_instances(small[0]).pictures.values():
        entries = theirs.loadAnns(theirs.getAnnIds(images[picture.file_name]))
        shapes = [(NUMBERS.index(entry["category_id"]) + 1, theirs.annToMask(entry) > 0, entry["iscrowd"]) for entry in entries]
        assert np.array_equal(semantic_mask(picture), slow_mask(shapes, (picture.height, picture.width)))


def picture_of(tmp_path, segmentations, size=(40, 50), crowds=(), areas=None):
    """The Picture of one image with such outlines, of categories 1, 2, 3, ..."""
    image = {"id": 7, "file_name": "a.jpg", "height": size[0], "width": size[1]}
    entries = [{"id": 100 + order, "image_id": 7, "category_id": NUMBERS[order], "iscrowd": int(order in crowds),
                "segmentation": outline} for order, outline in enumerate(segmentations)]  # fmt: skip
    return read_instances(write_instances(tmp_path / "i.json", [image], entries)).pictures["a"]


def square(top, left, side, size=(40, 50)):
    mask = np.zeros(size, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_smaller_areas_lie_on_top_whatever_the_order(tmp_path):
    small, large = square(5, 5, 10), square(0, 0, 30)
    for order in ((small, large), (large, small)):
        mask = semantic_mask(picture_of(tmp_path, [rectangles_of(inside) for inside in order]))
        value = 1 + [inside is small for inside in order].index(True)
        assert (mask[small] == value).all() and (mask[large & ~small] == 3 - value).all() and not mask[~large].any()


def test_of_equal_areas_the_first_lies_on_top(tmp_path):
    mask = semantic_mask(picture_of(tmp_path, [rectangles_of(square(0, 0, 10)), rectangles_of(square(5, 5, 10))]))
    assert (mask[:10, :10] == 1).all() and (mask[10:15, 5:15] == 2).all() and (mask == 2).sum() == 75


def test_crowds_are_ignored_but_small_objects_on_them_are_not(tmp_path):
    shapes = [square(0, 0, 20), square(2, 2, 5), square(0, 0, 38)]
    picture = picture_of(tmp_path, [OUTLINES["runs"](inside) for inside in shapes], crowds=(0,))
    mask = semantic_mask(picture)
    assert (mask[shapes[1]] == 2).all() and (mask[shapes[0] & ~shapes[1]] == 255).all()
    assert (mask[shapes[2] & ~shapes[0]] == 3).all() and picture.tags == (1, 2, 3)


def inside_polygon(points, size):
    """Pixel centres inside a polygon, by the even-odd rule, pixel by pixel."""
    mask = np.zeros(size, bool)
    for row in range(size[0]):
        for column in range(size[1]):
            x, y, odd = column + 0.5, row + 0.5, False
            for (x1, y1), (x2, y2) in zip(points, points[1:] + points[:1]):
                if (y1 > y) != (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1):
                    odd = not odd
            mask[row, column] = odd
    return mask


def test_slanted_polygons_cover_the_pixels_inside_up_to_their_edge(tmp_path):
    points = [(3.2, 4.7), (44.9, 10.1), (30.5, 36.3), (20.0, 15.5), (6.6, 33.8)]
    mask = semantic_mask(picture_of(tmp_path, [[[number for point in points for number in point]]])) == 1
    expected = inside_polygon(points, mask.shape)
    edge = np.zeros_like(expected)  # pixels with a neighbour on the other side
    for axis in (0, 1):
        for step in (-1, 1):
            edge |= np.roll(expected, step, axis) != expected
    assert (
        np.array_equal(mask[~edge], expected[~edge]) and (mask != expected).sum() < 0.25 * edge.sum() and expected.sum() > 500
    )


def test_polygons_may_leave_the_image_a_little(tmp_path):
    mask = semantic_mask(picture_of(tmp_path, [[[-2.5, -1, 52, -1, 52, 45, -2.5, 45]]]))
    assert (mask == 1).all()


def test_outlines_that_enclose_nothing_are_tags_without_pixels(tmp_path, caplog):
    picture = picture_of(tmp_path, [[[1, 1, 9, 9]], [], [[1, 1, 9, 9], [0, 0, 4, 0, 4, 4, 0, 4]], [[5, 5, 5, 5, 5, 5]]])
    assert picture.tags == (1, 2, 3, 4)
    mask = semantic_mask(picture)
    assert (mask[:4, :4] == 3).all() and (mask > 0).sum() == 16
    assert "2 annotations have no polygon of 3 or more points" in caplog.text


@pytest.mark.parametrize("outline, message", [
    ([[1, 1, 9, 9, 9, 1, 4]], r"a.jpg, annotation 100: expected polygons x, y, x, y, ... near an image of 50x40, found array"),
    ([[1, 1, 900, 9, 9, 1]], "near an image of 50x40"),
    ([[1, 1, float("nan"), 9, 9, 1]], "near an image of 50x40"),
    ([[1, 1, "x", 9, 9, 1]], "near an image of 50x40, found .*'x'"),
    ("polygon", "expected polygons or a run-length code with counts and size, found 'polygon'"),
    ({"counts": [2000]}, "expected polygons or a run-length code with counts and size"),
    ({"counts": [10, 10, 1979], "size": [40, 50]}, "run lengths from 0 on that add up to 2000 pixels, found the sum 1999"),
    ({"counts": [10, 10, 1981], "size": [40, 50]}, "found the sum 2001 of 3"),
    ({"counts": [2100, -100], "size": [40, 50]}, "of 2 from -100 on"),
    ({"counts": [2**62, 2**62, 2**62, 2**62, 2000], "size": [40, 50]}, "expected run lengths from 0 on"),
    ({"counts": [0.5, 1999.5], "size": [40, 50]}, "expected run lengths from 0 on"),
    ({"counts": [2000], "size": [50, 40]}, r"run-length code of size \[50, 40\], expected that of the image, \[40, 50\]"),
    ({"counts": compressed(square(3, 3, 9))["counts"][:-2], "size": [40, 50]}, "expected run lengths from 0 on"),
    ({"counts": compressed(square(3, 3, 9, (40, 51)))["counts"], "size": [40, 50]}, "found the sum 2040"),
    ({"counts": "ÿ", "size": [40, 50]}, "found 'ÿ'"),
    ({"counts": "o" * 20, "size": [40, 50]}, "found 'ooo"),
])  # fmt: skip
def test_wrong_outlines_are_named(tmp_path, outline, message):
    with pytest.raises(ValueError, match=message):
        semantic_mask(picture_of(tmp_path, [outline]))


def test_compressed_codes_of_any_shape_are_read_as_written(tmp_path):
    random = np.random.RandomState(0)
    masks = [random.rand(40, 50) < share for share in (0, 0.02, 0.5, 0.98, 1)]
    for mask in masks:
        found = semantic_mask(picture_of(tmp_path, [compressed(mask)]))
        assert np.array_equal(found == 1, mask)
        assert np.array_equal(semantic_mask(picture_of(tmp_path, [{"counts": runs_of(mask), "size": [40, 50]}])), found)


IMAGE = {"id": 7, "file_name": "a.jpg", "height": 4, "width": 5}
ENTRY = {"id": 1, "image_id": 7, "category_id": 1, "iscrowd": 0, "segmentation": [[0, 0, 4, 0, 4, 4]]}
CATEGORY = {"id": 1, "name": "cat"}


def without(entry, key):
    return {name: value for name, value in entry.items() if name != key}


@pytest.mark.parametrize("change, message", [
    ({"images": None}, "expected lists images, annotations, categories, as in instances_val2014.json, found images, annot"),
    ({"images": [IMAGE, IMAGE]}, "image 7, a.jpg: its id or name was there before"),
    ({"images": [IMAGE, {**IMAGE, "id": 8}]}, "image 8, a.jpg: its id or name was there before"),
    ({"images": [{**IMAGE, "file_name": "a.gif"}]}, r"images with id, file_name NAME.jpg \(or .png, ...\), width"),
    ({"images": [{**IMAGE, "file_name": "../a.jpg"}]}, "expected images with id"),
    ({"images": [{**IMAGE, "height": 0}]}, "expected images with id"),
    ({"images": [3]}, "expected images with id"),
    ({"annotations": []}, "none of the 1 images has an annotation"),
    ({"annotations": [without(ENTRY, "segmentation")]}, "expected annotations with a segmentation, found {'id': 1"),
    ({"annotations": [ENTRY, ENTRY]}, "annotation 1: expected a whole number as id, each once"),
    ({"annotations": [without(ENTRY, "id")]}, "annotation None: expected a whole number as id"),
    ({"annotations": [{**ENTRY, "image_id": 8}]}, "annotation 1: image_id 8, expected one of the 1 that the file lists"),
    ({"annotations": [{**ENTRY, "image_id": [7]}]}, r"annotation 1: image_id \[7\], expected"),
    ({"annotations": [{**ENTRY, "category_id": 2}]}, "annotation 1: category_id 2, expected one of the 1 that the file lists"),
    ({"annotations": [{**ENTRY, "iscrowd": 2}]}, "annotation 1: iscrowd 2, expected 0 or 1"),
    ({"images": [IMAGE, {**IMAGE, "id": 8, "file_name": "a.png"}]}, "image 8, a.png: its id or name was there before"),
    ({"categories": []}, "expected categories, each id and name once"),
    ({"categories": [CATEGORY, {"id": 1, "name": "dog"}]}, "expected categories, each id and name once"),
    ({"categories": [CATEGORY, {"id": 2, "name": "cat"}]}, r"expected categories, each id and name once, found \['cat'\]"),
    ({"categories": [{**CATEGORY, "name": "background"}]}, "expected categories, .* found only background"),
    ({"categories": [{**CATEGORY, "name": "background"}, {"id": 2, "name": "cat"}]}, "annotation 1: of the category 'backgr"),
    ({"categories": [{"id": 1, "name": "cat, dog"}]}, "expected categories with a number id and a name, without commas"),
    ({"categories": [{"name": "cat"}]}, "expected categories with a number id"),
    ({"categories": [{"id": n, "name": f"c{n}"} for n in range(300)]}, "300 categories, expected at most 254"),
])  # fmt: skip
def test_wrong_files_are_named(tmp_path, change, message):
    path = tmp_path / "i.json"
    path.write_text(json.dumps({"images": [IMAGE], "annotations": [ENTRY], "categories": [CATEGORY], **change}))
    with pytest.raises(ValueError, match="i.json: .*" + message):
        read_instances(path)


def test_files_of_ones_own(tmp_path):
    """No iscrowd, a category background that nothing is annotated with, ids from 0, other endings, outlines as points."""
    points, flat = [[0, 0], [4, 0], [4, 4], [0, 4]], [0, 0, 4, 0, 4, 4, 0, 4]
    categories = [{"id": 0, "name": "background"}, {"id": 5, "name": "crack"}, {"id": 3, "name": "hole"}]
    path, expected = tmp_path / "i.json", square(0, 0, 4, (6, 8))
    for outline in ([flat], flat, points, [points]):
        image = {"id": 0, "file_name": "a.PNG", "height": 6, "width": 8}
        entry = {"id": 0, "image_id": 0, "category_id": 5, "segmentation": outline}
        path.write_text(json.dumps({"images": [image], "annotations": [entry], "categories": categories}))
        found = read_instances(path)
        assert found.classes == ("background", "hole", "crack")
        assert np.array_equal(semantic_mask(found.pictures["a"]), 2 * expected)


@pytest.mark.parametrize("content", [b"", b"{", b"[1, 2]", b"\xff\xfe", b'{"images": []'])
def test_files_that_are_no_annotations(tmp_path, content):
    (tmp_path / "i.json").write_bytes(content)
    with pytest.raises(ValueError, match="i.json: (not a JSON file|expected lists)"):
        read_instances(tmp_path / "i.json")
    with pytest.raises(FileNotFoundError, match="j.json: no such file of COCO annotations"):
        read_instances(tmp_path / "j.json")

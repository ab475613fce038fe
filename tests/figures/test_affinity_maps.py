"""Measures of the affinity from hand-made affinity maps, and the figure drawn of them."""

import math

import numpy as np
import pytest

from cian.data.voc import VOC_CLASSES
from cian.figures import affinity as affinity_figure
from cian.figures import affinity_maps, affinity_summary
from cian.figures.affinity_maps import PairMaps
from cian.figures.sheet import palette

CAT, DOG = 8, 12
# 17 x 33 pixels: 3 x 5 queries (every 8th pixel), 2 x 3 keys (every 16th)
KEYS = np.array([[0, CAT, CAT], [0, DOG, 255]], np.uint8)
QUERIES = np.array([[CAT, CAT, CAT, 0, 0], [CAT, CAT, CAT, 0, 0], [0, 0, 0, 0, 255]], np.uint8)


def label_of(points, step, shape=(17, 33)):
    """A label whose every step-th pixel is as given and whose other pixels are of a class that must not count."""
    label = np.full(shape, 20, np.uint8)
    label[::step, ::step] = points
    return label


def maps_of(cross, own=None, channels=2, classes=21):
    """PairMaps with given affinity (3, 5, 2, 3), and random features and logits that fit together."""
    random = np.random.RandomState(0)
    x, one, other = random.standard_normal((3, channels, 3, 5)).astype(np.float32)
    fc1 = random.standard_normal((classes, channels))
    logits = [np.einsum("kc,chw->khw", fc1, y).astype(np.float32) for y in (x, x + one, x + other)]
    return PairMaps(x, cross if own is None else own, cross, one, other, *logits)


def test_labels_on_the_grid():
    label = np.arange(35, dtype=np.uint8).reshape(5, 7)
    np.testing.assert_array_equal(affinity_maps.grid_label(label, 4, (2, 2)), [[0, 4], [28, 32]])
    np.testing.assert_array_equal(affinity_maps.grid_label(label, 4, (3, 3)), [[0, 4, 255], [28, 32, 255], [255] * 3])
    np.testing.assert_array_equal(affinity_maps.grid_label(label, 4, (1, 1)), [[0]])


def test_focus_by_hand():
    cross = np.zeros((3, 5, 2, 3), np.float32)
    cross[:, :, 0, 0] = 1  # everything looks at a background key ...
    cross[:2, :3] = [[0, 0.5, 0.25], [0, 0.15, 0.1]]  # ... but cats at cats, 0.1 at the unlabelled key
    cross[0, 0] = [[0, 0, 0], [0, 1, 0]]  # ... and one of the six at the dog
    cross[2, 0] = [[0.4, 0.6, 0], [0, 0, 0]]  # and one of the eight labelled others at a cat
    query, reference = label_of(QUERIES, 8), label_of(KEYS, 16)
    background, cat = affinity_maps.measure_focus(maps_of(cross, np.full(cross.shape, 1 / 6)), query, reference)
    assert (cat.class_id, cat.pixels, background.class_id, background.pixels) == (CAT, 6, 0, 8)
    assert cat.share == pytest.approx(2 / 5)  # of the labelled keys
    assert cat.mass == pytest.approx(5 / 6 * 0.75 / 0.9)
    assert cat.others == pytest.approx(0.6 / 8)
    assert cat.hits == pytest.approx(5 / 6)
    entropy = -sum(p * math.log(p) for p in (0.5, 0.25, 0.15, 0.1))
    assert cat.spread == pytest.approx((5 * math.exp(entropy) + 1) / 6 / 6)
    assert (background.share, background.mass) == pytest.approx((2 / 5, (7 + 0.4) / 8))
    assert (background.others, background.hits) == pytest.approx((0, 7 / 8))
    own_keys = [CAT, CAT, 0, 0, 0]  # every 16th pixel of the query, the sixth unlabelled
    assert cat.own_share == pytest.approx(own_keys.count(CAT) / 5) == cat.own_mass


def test_what_cannot_be_measured_is_left_out():
    cross = np.zeros((3, 5, 2, 3), np.float32)
    cross[..., 1, 2] = 1  # all affinity on the unlabelled key
    query, reference = label_of(np.full((3, 5), CAT), 8), label_of(KEYS, 16)
    (cat,) = affinity_maps.measure_focus(maps_of(cross), query, reference)
    assert cat.pixels == 15 and math.isnan(cat.mass) and math.isnan(cat.hits) and math.isnan(cat.others)
    assert affinity_maps.measure_focus(maps_of(cross), label_of(np.full((3, 5), 3), 8), reference) == []
    assert affinity_maps.measure_focus(maps_of(cross), query, np.full((17, 33), 255, np.uint8)) == []
    measured = affinity_maps.measure_pair(maps_of(cross), query, reference, 21)
    assert measured["focus"][0]["mass"] is None
    (foreground, summary) = affinity_summary.summarise([measured], VOC_CLASSES)
    assert (foreground.name, summary.name, summary.pairs, summary.pixels) == ("all foreground", "cat", 1, 15)
    assert math.isnan(summary.gain) and math.isnan(summary.error)
    assert affinity_summary.as_csv([summary]).splitlines()[1].startswith("cat,1,15,0.400000,,,,,,")


def test_strengths_and_confusions():
    maps = maps_of(np.full((3, 5, 2, 3), 1 / 6, np.float32))
    found = affinity_maps.strengths(maps)
    x, one, other = (np.linalg.norm(y.reshape(2, -1), axis=0) for y in (maps.features, maps.self_residual, maps.cross_residual))
    apart = np.linalg.norm((maps.cross_residual - maps.self_residual).reshape(2, -1), axis=0)
    assert found["residual"] == pytest.approx((other / x).mean(), rel=1e-5)
    assert found["difference"] == pytest.approx((apart / one).mean(), rel=1e-5)
    measured = affinity_maps.measure_pair(maps, label_of(QUERIES, 8), label_of(KEYS, 16), 21)
    scores = affinity_summary.scores_of([measured, measured], VOC_CLASSES)
    for kind, logits in (("raw", maps.raw_logits), ("self", maps.self_logits), ("cross", maps.cross_logits)):
        assert scores[kind].confusion.sum() == 2 * 14  # one query of fifteen is unlabelled
        right = ((logits.argmax(axis=0) == QUERIES) & (QUERIES != 255)).sum()
        assert scores[kind].right.sum() == 2 * right
    told = affinity_summary.statistics([measured, measured], VOC_CLASSES, ("cat",))
    values, lines = affinity_summary.as_values(told), affinity_summary.describe(told).splitlines()
    assert [one["name"] for one in values["classes"]] == ["all foreground", "cat"] and values["classes"][1]["error"] == 0
    assert values["strengths"] == pytest.approx(found)
    assert values["miou_at_stride_8"] == {kind: one.mean_iou(("cat",)) for kind, one in scores.items()}
    assert lines[:3] == affinity_summary.as_table(told.summaries).splitlines()
    assert lines[3].endswith(f" of x: {100 * found['residual']:.1f}") and lines[5].startswith("mIoU at stride 8: raw ")


def test_probability_is_a_softmax_over_the_classes():
    maps = maps_of(np.full((3, 5, 2, 3), 1 / 6, np.float32), classes=3)
    total = sum(maps.probability("cross", index) for index in range(3))
    np.testing.assert_allclose(total, 1, rtol=1e-9)
    odds = maps.probability("cross", 2) / maps.probability("cross", 0)
    np.testing.assert_allclose(np.log(odds), maps.cross_logits[2] - maps.cross_logits[0], rtol=1e-4, atol=1e-5)


def test_summaries_by_hand():
    def pair(class_id, pixels, share, mass):
        numbers = dict(others=0.1, hits=mass, spread=0.5, own_share=0.2, own_mass=0.3)
        return {"class_id": class_id, "pixels": pixels, "share": share, "mass": mass, **numbers}

    measured = [
        {"focus": [pair(0, 9, 0.8, 0.9), pair(CAT, 1, 0.1, 0.3)], "strengths": {"residual": 0.2, "difference": None}},
        {"focus": [pair(CAT, 3, 0.3, 0.7), pair(DOG, 2, 0.5, 0.5)], "strengths": {"residual": 0.4, "difference": 1.0}},
    ]
    everything, background, cat, dog = affinity_summary.summarise(measured, VOC_CLASSES)
    assert [one.name for one in (everything, background, cat, dog)] == ["all foreground", "background", "cat", "dog"]
    assert (cat.pairs, cat.pixels, cat.share, cat.mass, cat.gain) == pytest.approx((2, 4, 0.2, 0.5, 2.5))
    assert cat.error == pytest.approx(0.1)  # of 0.2 and 0.4: deviation 0.1414, over the root of 2
    assert (everything.pairs, everything.share, everything.mass) == pytest.approx((3, 0.3, 0.5))
    assert (dog.gain, background.gain, cat.own_gain) == pytest.approx((1, 1.125, 1.5))
    assert [one.name for one in affinity_summary.summarise(measured, VOC_CLASSES, ("dog",))] == ["all foreground", "dog"]
    assert affinity_summary.mean_strengths(measured) == {"residual": pytest.approx(0.3), "difference": 1.0}
    table = affinity_summary.as_table([cat, dog]).splitlines()
    assert table[1].split() == ["cat", "2", "20.0", "50.0", "10.0", "2.50", "10.0", "50.0", "50.00", "20.0", "30.0", "1.50"]
    assert table[2].split()[:6] == ["dog", "1", "50.0", "50.0", "-", "1.00"] and len(set(map(len, table))) == 1
    assert affinity_summary.as_csv([cat]).splitlines()[0].startswith("class,pairs,pixels,share,mass,gain,error,others")


def test_query_pixel_lies_inside_the_common_class():
    maps = maps_of(np.full((3, 5, 2, 3), 1 / 6, np.float32))
    wide = np.array([[CAT, CAT, CAT, CAT, 0]] * 3, np.uint8)
    labels = label_of(wide, 8), label_of(KEYS, 16)
    query = affinity_figure.choose_query(maps, [CAT, DOG], *labels)  # DOG is in the reference alone
    assert query.class_id == CAT and query.pixel in [(1, 1), (1, 2)]
    nowhere = affinity_figure.choose_query(maps, [3, DOG], *labels)  # the truth shows neither in both: prediction
    assert nowhere == affinity_figure.choose_query(maps, [3, DOG])
    wanted = max([3, DOG], key=lambda index: maps.probability("self", index).max())
    assert nowhere.class_id == wanted
    assert maps.probability("self", wanted)[nowhere.pixel] == maps.probability("self", wanted).max()


def test_enlarged_maps_keep_their_points():
    values = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 8.0]])
    large = affinity_figure.enlarge(values, 8, (19, 9))
    np.testing.assert_allclose(large[:17:8, ::8], values)
    np.testing.assert_allclose(large[4, 4], 1.5)  # the middle of the first four
    np.testing.assert_allclose(large[17:], large[16:17].repeat(2, axis=0))  # the edge continued
    assert affinity_figure.enlarge(np.ones((1, 1)), 16, (5, 7)).shape == (5, 7)


def test_activations():
    maps = maps_of(np.full((3, 5, 2, 3), 1 / 6, np.float32))
    raw, residual, augmented = affinity_figure.ACTIVATIONS["class"](maps, CAT)
    np.testing.assert_allclose(raw + residual, augmented, atol=1e-6)
    np.testing.assert_allclose(raw, maps.raw_logits[CAT] - maps.raw_logits.mean(axis=0), rtol=1e-6)
    norms = affinity_figure.ACTIVATIONS["norm"](maps, CAT)
    whole = maps.features + maps.cross_residual
    for found, part in zip(norms, (maps.features, maps.cross_residual, whole)):
        np.testing.assert_allclose(found, np.hypot(*part), rtol=1e-5)


@pytest.mark.parametrize("activation", affinity_figure.ACTIVATIONS)
def test_direction_is_drawn(activation):
    cross = np.zeros((3, 5, 2, 3), np.float32)
    cross[..., 0, 1] = 0.9
    cross[..., 1, 0] = 0.1
    maps, grey = maps_of(cross), np.full((17, 33, 3), 100, np.uint8)
    labels = np.repeat(np.repeat(QUERIES, 8, 0), 8, 1)[:17, :33], label_of(KEYS, 16)
    query = affinity_figure.Query(CAT, (1, 1))
    rows, titles = affinity_figure.draw_direction(maps, (grey, grey), labels, ("a", "b"), VOC_CLASSES, query, activation)
    assert [len(row) for row in rows] == [5, 5] and all(cell.shape == (17, 33, 3) for row in rows for cell in row)
    assert "a looks at b: 90 % of the affinity on cat, 40 % of the reference; strongest weight 0.9" in titles[0]
    np.testing.assert_array_equal(rows[0][0][8, 8], [230, 0, 0])  # the mark
    np.testing.assert_array_equal(rows[1][0][0, 0], palette()[CAT])
    unknown, text = affinity_figure.draw_direction(maps, (grey, grey), (None, None), ("a", "b"), VOC_CLASSES, query, activation)
    focus = unknown[0][1].astype(int)  # no outline: 0.9 is the red end of the scale, 0 the blue
    assert focus[0, 16, 0] > focus[0, 16, 2] and focus[0, 0, 2] > focus[0, 0, 0]
    assert "on cat" not in text[0] and text[1].startswith("below: prediction of the query;") and unknown[1][1] is None
    np.testing.assert_array_equal(unknown[1][0][0, 0], palette()[maps.self_logits[:, 0, 0].argmax()])


def test_pair_is_drawn_with_each_image_once_as_the_query():
    maps = maps_of(np.full((3, 5, 2, 3), 1 / 6, np.float32))
    images = [np.full((17, 33, 3), value, np.uint8) for value in (50, 200)]
    labels = [label_of(QUERIES, 8), None]
    page = affinity_figure.draw_pair((maps, maps), images, labels, ("a", "b"), VOC_CLASSES, [CAT])
    assert page.dtype == np.uint8 and page.shape[1] == 10 + 5 * 270
    swatch = palette()[CAT]
    assert (page == swatch).all(axis=2).sum() > 100
    for grey in (50, 200):
        assert (page == grey).all(axis=2).sum() > 1000

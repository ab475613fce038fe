"""The page of a pair's affinity: what it holds, decoded in Python; and what a headless Chromium draws and tells of it."""

import base64
import io
import json
import re
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from cian.figures.affinity import enlarge
from cian.figures.affinity_maps import KEY_STEP, PREDICTIONS, PairMaps, grid_label
from cian.figures.affinity_page import COLOURS, page_of
from cian.figures.affinity_pairs import Observed
from cian.figures.sheet import heat_map

CLASSES = ("background", "cat", "</script><b>&dog")
SHAPES = ((41, 63), (50, 37))  # of the images, in pixels; the sides of neither are a multiple of the stride
FEATURES = ((6, 8), (7, 5))
KEYS = ((3, 4), (4, 3))
TABLE = "Array.from(document.getElementById('masses').rows, (line) => Array.from(line.cells, (cell) => " \
        "cell.textContent.replace(' %', '')).join('|'))"  # fmt: skip


def softmax(values):
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def seen():
    """A made-up pair: peaked affinities, random logits, labels with every class and some unlabelled pixels."""
    random = np.random.RandomState(0)
    maps = []
    for query in (0, 1):
        h, w = FEATURES[query]
        own, cross = (softmax(4 * random.standard_normal((h * w, p * q))).reshape(h, w, p, q)
                      for p, q in (KEYS[query], KEYS[1 - query]))  # fmt: skip
        features = random.standard_normal((3, 2, h, w)).astype(np.float32)
        logits = 2 * random.standard_normal((3, 3, h, w)).astype(np.float32)
        maps.append(PairMaps(features[0], own, cross, *features[1:], *logits))
    images = [cv2.resize(random.randint(0, 256, (3, 3, 3)).astype(np.uint8), shape[::-1]) for shape in SHAPES]
    labels = [random.choice([0, 1, 2, 255], shape).astype(np.uint8) for shape in SHAPES]
    labels[0][16:24, 24:32] = 1
    return Observed(tuple(images), tuple(labels), tuple(maps))


def data_of(page):
    """The data of a page, as a browser reads it."""
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL).group(1))


def numbers(text, shape, kind=np.uint8):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), kind).reshape(shape)


def weights(entry, queries):
    """The affinity (h, w, p, q) that a page keeps."""
    shape = (*queries, entry["rows"], entry["columns"])
    return numbers(entry["strongest"], (*queries, 1, 1), "<f4") * (numbers(entry["roots"], shape) / 255.0) ** 2


def picture_of(entry):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(entry["picture"].split(",")[1]))))


def test_the_page_holds_what_was_computed(seen):
    page = page_of(seen, ("a<b", "b"), CLASSES, [1, 2], made="by hand")
    data = data_of(page)
    assert data["classes"] == list(CLASSES) and data["present"] == [0, 1, 2] and data["made"] == "by hand"
    for entry, image, label in zip(data["images"], seen.images, seen.labels):
        assert np.abs(picture_of(entry).astype(int) - image).mean() < 3  # it is a JPEG
        np.testing.assert_array_equal(numbers(entry["label"], label.shape), label)
    for entry, maps in zip(data["directions"], seen.maps):
        for name in ("own", "cross"):
            computed = getattr(maps, name)
            found = weights(entry[name], computed.shape[:2])
            strongest = computed.max(axis=(2, 3), keepdims=True)
            assert (np.abs(found - computed) <= strongest / 255 + 1e-7).all()
            np.testing.assert_allclose(found.sum(axis=(2, 3)), 1, atol=0.01)
        for kind in PREDICTIONS:
            logits = maps.logits(kind)
            np.testing.assert_array_equal(numbers(entry["labels"][kind], logits.shape[1:]), logits.argmax(axis=0))
            likely = np.stack([maps.probability(kind, index) for index in range(3)])
            np.testing.assert_allclose(numbers(entry["probabilities"][kind], likely.shape) / 255, likely, atol=0.51 / 255)


def test_the_page_needs_nothing_else(seen):
    page = page_of(seen, ("a", "b"), CLASSES, [1])
    addresses = re.findall(r"""(?:src|href|url|import|fetch)\s*[=(]\s*["']?([^"'\s)]+)""", page)
    assert [address for address in addresses if "//" in address] == [] and "http" not in page.replace("http-equiv", "")
    assert "/* page.js */" not in page and "/* affinity.css */" not in page


def test_a_large_pair_is_thinned(seen):
    whole = page_of(seen, ("a", "b"), CLASSES, [1])
    page = page_of(seen, ("a", "b"), CLASSES, [1], largest=len(whole.encode()) - 1)
    data = data_of(page)
    assert len(page) < len(whole) and "Every 16th row" in data["grid"]
    entry, maps = data["directions"][0], seen.maps[0]
    assert (entry["shown_rows"], entry["shown_columns"], entry["rows"], entry["columns"]) == (3, 4, 6, 8)
    found = weights(entry["cross"], (3, 4))
    assert np.abs(found - maps.cross[::2, ::2]).max() < 1 / 255
    with pytest.raises(ValueError, match="the page of a and b does not fit into 1000 bytes"):
        page_of(seen, ("a", "b"), CLASSES, [1], largest=1000)


def opened(browser, path, page):
    path.write_text(page, encoding="utf-8")
    browser.open(path, "document.body.dataset.ready === 'yes' || !document.getElementById('warning').hidden")
    assert browser.run("document.getElementById('warning').textContent") == ""


def place(browser, row, column):
    """Where a pixel of the query lies in the window."""
    script = "(() => { const c = document.getElementById('query'); c.scrollIntoView(); const b = c.getBoundingClientRect();"
    box = browser.run(script + "return [b.left, b.top, b.width / c.width, b.height / c.height]; })()")
    return box[0] + box[2] * (column + 0.5), box[1] + box[3] * (row + 0.5)


def canvas(browser, name, shape):
    """What a canvas shows, uint8 (H, W, 3)."""
    script = f"(() => {{ const c = document.getElementById('{name}');" \
             "return Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data); })()"  # fmt: skip
    return np.array(browser.run(script), np.uint8).reshape(*shape, 4)[..., :3]


def text(browser, name):
    return browser.run(f"document.getElementById('{name}').textContent")


def shares(seen, query, row, column):
    """By numpy: {class: (part of the affinity on it, part of the keys it covers)}, the strongest key, and its weight."""
    looked_at, label = seen.maps[query].cross[row, column].astype(np.float64), seen.labels[1 - query]
    keys = grid_label(label, KEY_STEP, looked_at.shape)
    found = {index: (looked_at[keys == index].sum(), (keys == index).mean()) for index in (0, 1, 2, 255)}
    return found, np.unravel_index(looked_at.argmax(), looked_at.shape), looked_at.max()


def check_told(browser, seen, query, row, column):
    """Compare the words and the tables of the page with what numpy finds for a query pixel of the features."""
    told, (found, strongest, weight) = text(browser, "told"), shares(seen, query, row, column)
    assert told.startswith(f"Row {8 * row}, column {8 * column} of {'ab'[query]}:")
    part = told.split(f"In {'ba'[query]}: ")[1].split(" In itself: ")[0]
    said = {name: int(value) for value, name in re.findall(r"(\d+) % on (.+?), which covers", part)}
    names = {**dict(enumerate(CLASSES)), 255: "unlabelled"}
    wanted = {names[index]: 100 * mass for index, (mass, share) in found.items() if share}
    assert len(said) == min(3, len(wanted)) and min(said.values()) >= sorted(wanted.values())[-len(said)] - 1.2
    for name, value in said.items():
        assert abs(wanted[name] - value) < 1.2  # rounded, and 12 weights of 8 bits
    lines = [line.split("|") for line in browser.run(TABLE)]
    assert {line[0] for line in lines} >= set(wanted)
    for line in lines:
        mass, share = found[{name: index for index, name in names.items()}[line[0]]]
        if share:
            assert abs(float(line[1]) - 100 * mass) < 1.2 and abs(float(line[2]) - 100 * share) < 0.6
        else:
            assert line[1] == line[2] == "–"
    peak = re.search(r"strongest weight is ([\d.]+), at row (\d+), column (\d+)", part)
    assert float(peak.group(1)) == pytest.approx(weight, rel=0.05)
    assert (int(peak.group(2)), int(peak.group(3))) == tuple(KEY_STEP * i for i in strongest)
    for kind in PREDICTIONS:
        likely = [seen.maps[query].probability(kind, index)[row, column] for index in range(3)]
        name, value = text(browser, f"{kind}-found").rsplit(", ", 1)
        assert name == CLASSES[int(np.argmax(likely))] and abs(int(value.split()[0]) - 100 * max(likely)) < 1


def test_a_click_changes_the_map_as_computed(seen, browser, tmp_path):
    browser.screen(1280, 900)
    opened(browser, tmp_path / "page.html", page_of(seen, ("a", "b"), CLASSES, [1]))
    picture = picture_of(data_of((tmp_path / "page.html").read_text(encoding="utf-8"))["images"][1])
    browser.run("document.getElementById('outline').click()")
    drawn = []
    for row, column in ((2, 3), (4, 6)):
        browser.click(*place(browser, 8 * row, 8 * column))
        looked_at = seen.maps[0].cross[row, column].astype(np.float64)
        parts = enlarge(looked_at / looked_at.max(), KEY_STEP, SHAPES[1]).clip(0, 1)
        drawn.append(canvas(browser, "reference", SHAPES[1]).astype(int))
        apart = np.abs(drawn[-1] - heat_map(picture, parts, 0.6, COLOURS))
        assert apart.mean() < 1.5 and apart.max() < 12  # a step of 1/255 of a weight, and another decoder of JPEG
        check_told(browser, seen, 0, row, column)
    assert np.abs(drawn[0] - drawn[1]).mean() > 10
    browser.run("document.getElementById('outline').click()")
    assert np.abs(canvas(browser, "reference", SHAPES[1]).astype(int) - drawn[1]).max() > 50  # outlines


def test_mouse_keys_and_touch(seen, browser, tmp_path):
    browser.screen(390, 844, phone=True, dark=True)
    opened(browser, tmp_path / "page.html", page_of(seen, ("a", "b"), CLASSES, [1]))
    assert browser.run("document.documentElement.scrollWidth") <= 390
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"
    browser.touch(*place(browser, 16, 24))
    check_told(browser, seen, 0, 2, 3)
    browser.run("document.getElementById('query').focus()")
    for key, shift, row, column in (("ArrowDown", False, 3, 3), ("ArrowLeft", False, 3, 2), ("ArrowRight", True, 3, 6),
                                    ("ArrowUp", False, 2, 6), ("End", False, 2, 7), ("ArrowRight", False, 2, 7),
                                    ("PageDown", False, 5, 7), ("Home", False, 5, 0), ("PageUp", False, 0, 0)):  # fmt: skip
        browser.press(key, shift)
        check_told(browser, seen, 0, row, column)
    assert browser.run("document.getElementById('query').ariaLabel") == "Query a, row 0, column 0"
    browser.screen(1280, 900)
    browser.run("document.getElementById('direction1').click()")
    browser.click(*place(browser, 8, 16))
    check_told(browser, seen, 1, 1, 2)
    browser.hover(*place(browser, 40, 24))
    browser.wait("document.getElementById('told').textContent.startsWith('Row 40')")
    check_told(browser, seen, 1, 5, 3)
    browser.hover(1, 1)
    browser.wait("document.getElementById('told').textContent.startsWith('Row 8')")  # what was chosen is back


def test_without_truth(seen, browser, tmp_path):
    blind = Observed(seen.images, (None, None), seen.maps)
    browser.screen(1280, 900)
    opened(browser, tmp_path / "page.html", page_of(blind, ("a", "b"), CLASSES, [1]))
    assert "in the truth" not in text(browser, "told") and "%" not in text(browser, "told")
    assert browser.run("['falls', 'outlining'].every((name) => document.getElementById(name).hidden)")

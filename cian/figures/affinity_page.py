"""The affinity in a browser: Figure 3 of the CIAN paper for every pixel of a pair, as an HTML page that needs nothing else.

The page (`page/`) holds what the network computed, packed; what is drawn of it is drawn there, as `cian.figures.affinity` does.
An affinity is kept as round(255 sqrt(w / s)), s the strongest weight of its query pixel: that is at most s / 255 off, and small
weights, of which there are many, keep their sum.
"""

import base64
import io
import json
import zlib
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from cian.data.images import IGNORE, palette
from cian.figures.affinity import choose_query
from cian.figures.affinity_maps import KEY_STEP, PREDICTIONS, QUERY_STEP

TEMPLATES = Path(__file__).parent / "page"
PARTS = ("affinity.css", "drawing.js", "page.js")  # what affinity.html names in a comment, to be put there
NO_DATA = '<script type="application/json" id="data">{}</script>'
LARGEST = 5_000_000  # bytes of a page
COLOURS = "inferno"
JPEG_QUALITY = 90


def page_of(seen, names, classes, common, made="", largest=LARGEST):
    """The page of an Observed pair (`cian.figures.affinity_pairs`), HTML text of at most `largest` bytes.

    names: ids of the two images; classes: all names; common: class indices to choose the first pixel from; made: what the
    network is. Where the affinity of all query pixels would not fit, it is that of every second, third, ... row and column.
    ValueError where not even one pixel's fits.
    """
    html = (TEMPLATES / "affinity.html").read_text(encoding="utf-8")
    for name in PARTS:
        html = html.replace(f"/* {name} */", (TEMPLATES / name).read_text(encoding="utf-8").strip())
    for thinned in range(1, max(max(maps.cross.shape[:2]) for maps in seen.maps) + 1):
        data = json.dumps(page_data(seen, names, classes, common, made, thinned), ensure_ascii=False)
        page = html.replace(NO_DATA, NO_DATA.replace("{}", data.replace("<", "\\u003c")))  # no name can end the element
        if len(page.encode("utf-8")) <= largest:
            return page
    raise ValueError(f"the page of {' and '.join(names)} does not fit into {largest} bytes: make the images smaller")


def page_data(seen, names, classes, common, made="", thinned=1):
    """What the page shows, plain JSON values. thinned: the affinity of every `thinned`-th query row and column is kept."""
    images = [
        {"name": name, "height": image.shape[0], "width": image.shape[1], "picture": as_jpeg(image),
         "label": None if label is None else packed(label)}
        for name, image, label in zip(names, seen.images, seen.labels)
    ]  # fmt: skip
    labels = [label for label in seen.labels if label is not None]
    labels += [maps.logits(kind).argmax(axis=0) for maps in seen.maps for kind in PREDICTIONS]
    step = QUERY_STEP * thinned
    heat = np.rint(255 * matplotlib.colormaps[COLOURS](np.arange(256))[:, :3])
    return {
        "classes": list(classes),
        "colours": palette()[: len(classes)].tolist(),
        "present": sorted(set().union(*(np.unique(label).tolist() for label in labels)) - {IGNORE}),
        "heat": heat.astype(int).tolist(),
        "query_step": QUERY_STEP,
        "key_step": KEY_STEP,
        "grid": f"Every {step}th row and column of pixels can be a query; every {KEY_STEP}th can be looked at.",
        "made": made,
        "images": images,
        "directions": [
            direction_data(seen.maps[query], query, seen.labels[query], seen.labels[1 - query], common, thinned)
            for query in (0, 1)
        ],
    }


def direction_data(maps, query, query_label, reference_label, common, thinned):
    """The part of page_data about one query and its reference. query: 0 or 1, which of the images."""
    kept = (slice(None, None, thinned), slice(None, None, thinned))
    row, column = choose_query(maps, common, query_label, reference_label).pixel
    likely = {kind: [maps.probability(kind, index) for index in range(len(maps.logits(kind)))] for kind in PREDICTIONS}
    return {
        "query": query,
        "reference": 1 - query,
        "rows": maps.cross.shape[0],
        "columns": maps.cross.shape[1],
        "thinned": thinned,
        "shown_rows": maps.cross[kept].shape[0],
        "shown_columns": maps.cross[kept].shape[1],
        "start": [row // thinned, column // thinned],
        "own": affinity_data(maps.own[kept]),
        "cross": affinity_data(maps.cross[kept]),
        "labels": {kind: packed(maps.logits(kind).argmax(axis=0)) for kind in PREDICTIONS},
        "probabilities": {kind: packed(np.rint(255 * np.stack(likely[kind]))) for kind in PREDICTIONS},  # (K, h, w)
    }


def affinity_data(weights):
    """An affinity (h, w, p, q) as its sides p and q, the strongest weight of each query pixel, and 8 bits a weight."""
    rows, columns = weights.shape[2:]
    flat = weights.reshape(-1, rows * columns).astype(np.float64)  # (h, w, p, q) -> (h w, p q)
    strongest = flat.max(axis=1, keepdims=True)
    roots = np.rint(255 * np.sqrt(flat / strongest))
    return {"rows": rows, "columns": columns, "strongest": packed(strongest, "<f4"), "roots": packed(roots)}


def packed(values, kind=np.uint8):
    """Numbers as bytes, compressed by zlib, in base64."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(values, kind).tobytes(), 9)).decode("ascii")


def as_jpeg(image):
    """A picture uint8 (H, W, 3) as the address `data:` of a JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

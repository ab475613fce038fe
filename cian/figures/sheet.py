"""Pictures for people: labels in colour, overlays, heat maps, and contact sheets with titles and a class legend."""

from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cian.base.files import replacing
from cian.data.images import IGNORE, palette

WHITE, BLACK, INK, GREY = (255, 255, 255), (0, 0, 0), (33, 33, 33), (110, 110, 110)
SMALL = 250  # longer side, pixels, up to which borders are one pixel thick
HATCH = 8  # period in pixels of the stripes that mean "unlabelled"


def colour_label(label):
    """Class indices (H, W) in the VOC colours, uint8 (H, W, 3); 255 becomes white with grey stripes."""
    label = np.asarray(label)
    if label.ndim != 2:
        raise ValueError(f"label: expected shape (H, W), found {label.shape}")
    colours = palette()[label]
    rows, columns = np.nonzero(label == IGNORE)
    stripe = (rows + columns) % HATCH < 2
    colours[rows, columns] = np.where(stripe[:, None], 165, 245)
    return colours


def overlay(image, label, opacity=0.6):
    """Image uint8 (H, W, 3) under the label (H, W): uint8 (H, W, 3).

    Background shows the image, 255 the stripes; a white line with a black casing runs along every border between two classes:
    some of the VOC colours are as dark as a night shot, and some images as light as the line.
    """
    image, label = np.asarray(image), np.asarray(label)
    if image.shape != label.shape + (3,):
        raise ValueError(f"label: expected shape {image.shape[:2]} of the image, found {label.shape}")
    weight = np.where(label == 0, 0.0, opacity)[..., None]
    result = _to_bytes(image * (1 - weight) + colour_label(label) * weight)
    border = _borders(label)
    result[cv2.dilate(border.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0] = BLACK
    result[border] = WHITE
    return result


def _borders(label):
    """Pixels beside one of another class, bool (H, W), on one side of it in small images; 255 has its stripes and no border."""
    border = np.zeros(label.shape, bool)
    for axis in (0, 1):
        first, second = np.moveaxis(label, axis, 0)[:-1], np.moveaxis(label, axis, 0)[1:]
        differ = (first != second) & (first != IGNORE) & (second != IGNORE)
        along = np.moveaxis(border, axis, 0)  # a view: writes go to `border`
        along[:-1] |= differ
        if max(label.shape) > SMALL:
            along[1:] |= differ
    return border


def heat_map(image, values, opacity=0.5, colours="jet"):
    """Image uint8 (H, W, 3) under a map of values in [0, 1], float (H, W), e.g. a CAM or a saliency; uint8 (H, W, 3)."""
    image, values = np.asarray(image), np.asarray(values)
    if image.shape != values.shape + (3,):
        raise ValueError(f"values: expected shape {image.shape[:2]} of the image, found {values.shape}")
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"values: expected numbers in [0, 1], found {values.min()}..{values.max()}")
    painted = matplotlib.colormaps[colours](values.astype(np.float64))[..., :3] * 255
    return _to_bytes(image * (1 - opacity) + painted * opacity)


def legend_of(labels, classes):
    """Names of the classes that occur in any of the labels, as {index: name} for `sheet`; classes: names by index."""
    present = sorted(set().union(*(np.unique(label).tolist() for label in labels)) - {IGNORE})
    return {index: classes[index] for index in present}


def sheet(rows, column_titles, row_titles=None, legend=None, cell=(240, 180), notes=None):
    """Contact sheet: one row of pictures per entry, uint8 (height, width, 3) RGB.

    rows: lists of uint8 (H, W, 3) pictures or None for an empty cell, as many as column_titles. cell: largest width and
    height of a picture; each is fitted without distortion. row_titles: a line of text above each row. notes: of each row the
    lines of text below its pictures, "" for none.
    legend: class names, by index, or a dictionary {index: name} of those to show; 255, striped, is always shown unless
        named None.
    """
    for number, row in enumerate(rows):
        if len(row) != len(column_titles):
            raise ValueError(f"rows[{number}]: expected {len(column_titles)} pictures, found {len(row)}")
        for column, picture in enumerate(row):
            if picture is not None:
                _check_picture(f"rows[{number}][{column}]", picture)
    if row_titles is not None and len(row_titles) != len(rows):
        raise ValueError(f"row_titles: expected {len(rows)}, found {len(row_titles)}")
    for number, texts in enumerate(notes or ()):
        if len(texts) != len(column_titles) or len(notes) != len(rows):
            raise ValueError(f"notes[{number}]: expected {len(column_titles)} texts in {len(rows)} rows, found {len(texts)}")
    gap, line = 10, 24
    width = gap + len(column_titles) * (cell[0] + gap)
    head = line + gap
    step = cell[1] + gap + (line if row_titles is not None else 0) + (line if notes else 0)
    key = _legend(legend, width - 2 * gap) if legend else None
    height = gap + head + len(rows) * step + (key.height + gap if key else 0)
    page = Image.new("RGB", (width, height), WHITE)
    draw = ImageDraw.Draw(page)
    for column, title in enumerate(column_titles):
        centre = gap + column * (cell[0] + gap) + cell[0] // 2
        draw.text(
            (centre, gap + line // 2), _shorten(title, _font(15, True), cell[0]), INK, _font(15, True), anchor="mm"
        )
    for number, row in enumerate(rows):
        top = gap + head + number * step
        if row_titles is not None:
            text = _shorten(row_titles[number], _font(13), width - 2 * gap)
            draw.text((gap, top + line // 2), text, GREY, _font(13), anchor="lm")
            top += line
        for column, picture in enumerate(row):
            if picture is not None:
                fitted = _fit(picture, cell)
                left = gap + column * (cell[0] + gap) + (cell[0] - fitted.width) // 2
                page.paste(fitted, (left, top + (cell[1] - fitted.height) // 2))
        for column, text in enumerate(notes[number] if notes else ()):
            centre = gap + column * (cell[0] + gap) + cell[0] // 2, top + cell[1] + line // 2
            draw.text(centre, _shorten(text, _font(13), cell[0]), INK, _font(13), anchor="mm")
    if key:
        page.paste(key, (gap, height - gap - key.height))
    return np.asarray(page)


def write_png(path, picture):
    """Write a uint8 (H, W, 3) picture as PNG, whole or not at all."""
    _check_picture(f"picture for {path}", picture)
    with replacing(path) as temporary:
        Image.fromarray(np.asarray(picture)).save(str(temporary), format="PNG")


def _check_picture(name, picture):
    picture = np.asarray(picture)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or 0 in picture.shape:
        raise ValueError(f"{name}: expected uint8 (H, W, 3), found {picture.dtype} {picture.shape}")


def _to_bytes(values):
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _font(size, bold=False):
    """matplotlib's own DejaVu Sans, so that no system font is needed."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def _fit(picture, cell):
    picture = Image.fromarray(np.asarray(picture))
    scale = min(cell[0] / picture.width, cell[1] / picture.height)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.LANCZOS)


def _shorten(text, font, width):
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def _legend(legend, width):
    """Swatches and names in as many lines as they need: a Pillow image of the given width."""
    entries = dict(legend) if isinstance(legend, dict) else dict(enumerate(legend))
    entries.setdefault(IGNORE, "unlabelled")
    entries = {index: name for index, name in entries.items() if name is not None}
    font, swatch, line = _font(13), 16, 24
    places, left, top = [], 0, 0
    for index, name in entries.items():
        needed = int(swatch + 6 + font.getlength(name) + 18)
        if left and left + needed > width:
            left, top = 0, top + line
        places.append((left, top, index, name))
        left += needed
    key = Image.new("RGB", (width, top + line), WHITE)
    draw = ImageDraw.Draw(key)
    for left, top, index, name in places:
        box = (left, top + (line - swatch) // 2, left + swatch - 1, top + (line + swatch) // 2 - 1)
        key.paste(Image.fromarray(colour_label(np.full((swatch, swatch), index, np.uint8))), box[:2])
        draw.rectangle(box, outline=GREY)
        draw.text((left + swatch + 6, top + line // 2), name, INK, font, anchor="lm")
    return key

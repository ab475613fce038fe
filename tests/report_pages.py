"""Made-up measurements for tests of the report, and readers of what it writes."""

import io
import re
from html.parser import HTMLParser
from pathlib import Path

from PIL import Image

from cian.base.results import Measurement

ROOT = Path(__file__).resolve().parents[1]
VALUES = {"Baseline": (38.0, 39.0, 40.5), "+ CE": (38.5,), "+ CP": (40.0, 40.0, 44.0)}
VOID = ("meta", "img", "br", "link", "input", "hr")


def measured(table, row, column, value, seed=0, data="animals", **changes):
    """A made-up measurement; data: its data set and preset."""
    settings = {"preset": data, "dataset": data, "backbone": changes.pop("backbone", "squeezenet1.1")}
    values = {"unit": "%", "run": f"cian_{data}_{row}-{seed}", "commit": "c0ffee" * 6, "fingerprint": f"data-of-{data}"}
    values.update(changes)
    return Measurement(table, row, column, value, seeds=() if seed is None else (seed,), settings=settings, **values)


def results(data="animals", **changes):
    """Made-up results of Table 2 with classes, and of Table 3."""
    found = []
    for row, values in VALUES.items():
        for seed, value in enumerate(values):
            for column, shift in (("mIoU", 0), ("background", 40), ("cat", -2.25)):
                found.append(measured("CIAN 2", row, column, value + shift, seed, data, **changes))
    return found + [
        measured("CIAN 3", "+ CP", "Common-class", 40.0, 0, data, **changes),
        measured("CIAN 3", "+ CP", "Random-class", 38.5, 0, data, **changes),
    ]


def png(value, size=(6, 4)):
    buffer = io.BytesIO()
    Image.new("RGB", size, (value, value, value)).save(buffer, format="PNG")
    return buffer.getvalue()


class Page(HTMLParser):
    """Reads a page: every element closed in order, its tables as lists of rows of texts, and what it refers to."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tables, self.references, self.anchors, self.names, self.text = [], [], [], [], set(), []
        self.sections, self.section = [], None  # of each table: the anchor of the last heading before it
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        assert len({name for name, _ in attributes}) == len(attributes)
        found = dict(attributes)
        self.names.add(tag)
        self.references += [found[name] for name in ("src", "href", "srcset", "action", "data", "poster") if name in found]
        self.anchors += [found["id"]] if "id" in found else []
        if tag not in VOID:
            self.open.append(tag)
        if tag == "h2":
            self.section = found.get("id")
        if tag == "table":
            self.tables.append([])
            self.sections.append(self.section)
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text.append(data)
        if self.open and self.open[-1] in ("td", "th") or self.open[-2:] == ["td", "a"]:
            self.tables[-1][-1][-1] += data


def markdown_tables(text):
    """The tables of a Markdown text as lists of rows of texts, without the lines of dashes, escapes undone."""
    tables, inside = [], False
    for line in text.splitlines():
        if line.startswith("|"):
            if not inside:
                tables.append([])
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            if not all(re.match(r"^-+:?$", cell) for cell in cells):
                tables[-1].append([re.sub(r"\\(.)", r"\1", cell.strip()) for cell in cells])
        inside = line.startswith("|")
    return tables


def table2(row, values, **changes):
    """Measured mIoU of a row of Table 2, {seed: value}."""
    return [measured("CIAN 2", row, "mIoU", value, seed, **changes) for seed, value in values.items()]

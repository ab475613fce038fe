"""What a report is made of, whatever it is written as: headings, text, tables, pictures and the list of sources.

HTML and Markdown are written from the same blocks, so they show the same numbers.
"""

from dataclasses import dataclass, field
from typing import List, NamedTuple, Optional, Tuple


class Cell(NamedTuple):
    """Text of a table's cell. sources: numbers of the Sources it comes from; anchor: of the heading that it leads to.

    mark: "", or what the text says at a glance: larger, smaller, unclear.
    """

    text: str
    sources: Tuple[int, ...] = ()
    anchor: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Heading:
    """level: 2 or 3; anchor: its name in links; short: its text among the links at the top."""

    text: str
    level: int = 2
    anchor: str = ""
    short: str = ""


@dataclass(frozen=True)
class Paragraph:
    """kind: text, note (how to read what follows), warning (numbers that need care) or code (a command)."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Table:
    """columns: titles; rows: Cells, as many as columns; labels: how many columns from the left hold text, not numbers.

    groups: a title above each column, equal neighbours share it; none if empty. stacked: where the page is narrow, each row is
    shown as a paragraph instead of a line.
    """

    columns: Tuple[str, ...]
    rows: Tuple[Tuple[Cell, ...], ...]
    labels: int = 1
    groups: Tuple[str, ...] = ()
    stacked: bool = False

    def __post_init__(self):
        if self.groups and len(self.groups) != len(self.columns):
            raise ValueError(f"groups: {len(self.groups)} titles, expected {len(self.columns)}")
        for number, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(f"rows[{number}]: {len(row)} cells, expected {len(self.columns)}")

    @property
    def titles(self):
        """The titles of the columns in one line each: group and title."""
        groups = self.groups or [""] * len(self.columns)
        return tuple(": ".join(filter(None, pair)) for pair in zip(groups, self.columns))


@dataclass(frozen=True)
class Picture:
    """A PNG or JPEG (bytes) and the file name it has beside the Markdown."""

    name: str
    data: bytes = field(repr=False)
    caption: str = ""


@dataclass(frozen=True)
class Source:
    """Where numbers come from: a run, the seeds, the code's commit, the data, date, machine and the settings (JSON values)."""

    run: str
    seeds: Tuple[int, ...]
    commit: Optional[str]
    fingerprint: Optional[str]
    date: Optional[str]
    machine: Optional[str]
    settings: dict
    numbers: int  # how many cells of the report come from it


@dataclass(frozen=True)
class Sources:
    """The list of sources; their numbers, from 1, are those of `Cell.sources`."""

    entries: Tuple[Source, ...]


@dataclass(frozen=True)
class Fold:
    """Blocks that are folded away under a line of text until the reader opens them."""

    summary: str
    blocks: Tuple[object, ...]


@dataclass
class Document:
    """A title and blocks in order."""

    title: str
    blocks: List[object] = field(default_factory=list)

    def every(self, kind):
        """All blocks of a class, those in folds too, in order."""

        def inside(blocks):
            for block in blocks:
                if isinstance(block, kind):
                    yield block
                if isinstance(block, Fold):
                    yield from inside(block.blocks)

        return list(inside(self.blocks))

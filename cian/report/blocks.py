"""What a report is made of, whatever it is written as: headings, text, tables, pictures and the list of sources.

HTML and Markdown are written from the same blocks, so they show the same numbers.
"""

from dataclasses import dataclass, field
from typing import FrozenSet, List, NamedTuple, Optional, Tuple


class Cell(NamedTuple):
    """Text of a table's cell. sources: numbers of the Sources it comes from; tip: more about it, where it can be shown."""

    text: str
    sources: Tuple[int, ...] = ()
    tip: str = ""


@dataclass(frozen=True)
class Heading:
    """level: 2 or 3; anchor: its name in links; short: its text among the links at the top."""

    text: str
    level: int = 2
    anchor: str = ""
    short: str = ""


@dataclass(frozen=True)
class Paragraph:
    """kind: text, note (about what was measured) or warning (numbers that need care)."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Table:
    """columns: titles; rows: Cells, as many as columns; labels: how many columns from the left hold text, not numbers.

    faint: indices of the rows in which nothing was measured. summary: if not empty, the table is folded away under it.
    """

    columns: Tuple[str, ...]
    rows: Tuple[Tuple[Cell, ...], ...]
    labels: int = 1
    faint: FrozenSet[int] = frozenset()
    summary: str = ""

    def __post_init__(self):
        for number, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(f"rows[{number}]: {len(row)} cells, expected {len(self.columns)}")


@dataclass(frozen=True)
class Picture:
    """A PNG (bytes) and the file name it has beside the Markdown."""

    name: str
    png: bytes = field(repr=False)
    caption: str = ""


@dataclass(frozen=True)
class Source:
    """Where numbers come from: a run, the seeds, the code's commit, the data and the settings (JSON values)."""

    run: str
    seeds: Tuple[int, ...]
    commit: Optional[str]
    fingerprint: Optional[str]
    settings: dict
    numbers: int  # how many cells of the report come from it


@dataclass(frozen=True)
class Sources:
    """The list of sources; their numbers, from 1, are those of `Cell.sources`."""

    entries: Tuple[Source, ...]


@dataclass
class Document:
    """A title and blocks in order."""

    title: str
    blocks: List[object] = field(default_factory=list)

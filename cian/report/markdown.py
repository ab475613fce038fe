"""A report as Markdown, with its pictures as files beside it; what is folded is folded there too (GitHub shows <details>)."""

from cian.report.blocks import Fold, Heading, Paragraph, Picture, Sources, Table
from cian.report.text import short_commit

MARKS = {"text": "", "note": "> ", "warning": "> **Warning.** "}


def to_markdown(document):
    """The text of a Document (cian.report.blocks) as Markdown; pictures are referred to by their names."""
    return "\n\n".join([f"# {escape(document.title)}", *map(written, document.blocks)]) + "\n"


def written(block):
    return WRITERS[type(block)](block)


def escape(text):
    """Text in which nothing means markup: `|`, `*`, `_`, `<` and their like are escaped, line breaks become spaces."""
    for character in "\\`*_|<>[]":
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())


def heading(block):
    return f"{'#' * block.level} {escape(block.text)}"


def paragraph(block):
    return f"```\n{block.text}\n```" if block.kind == "code" else MARKS[block.kind] + escape(block.text)


def table(block):
    dashes = "|" + "---|" * block.labels + "---:|" * (len(block.columns) - block.labels)
    return "\n".join([row(map(escape, block.titles)), dashes, *(row(map(cell, cells)) for cells in block.rows)])


def row(cells):
    return "| " + " | ".join(cells) + " |"


def cell(found):
    """The text, or the numbers of the sources where there is no text."""
    return escape(found.text) if found.text or not found.sources else ", ".join(map(str, found.sources))


def picture(block):
    return f"![{escape(block.caption)}]({block.name})\n\n{escape(block.caption)}"


def fold(block):
    inside = "\n\n".join(map(written, block.blocks))
    return f"<details><summary>{escape(block.summary)}</summary>\n\n{inside}\n\n</details>"


def sources(block):
    """A compact table; the HTML has all of it, results.jsonl too."""
    columns = ("no.", "run", "seed", "commit", "date", "data", "preset", "backbone", "cells")
    lines = [row(columns), "|---:|" + "---|" * (len(columns) - 2) + "---:|"]
    for number, entry in enumerate(block.entries, 1):
        chosen = [str(entry.settings.get(key, "")) for key in ("preset", "backbone")]
        made = [short_commit(entry.commit), entry.date or "", (entry.fingerprint or "")[:12]]
        texts = [entry.run, ", ".join(map(str, entry.seeds)), *made, *chosen]
        lines.append(row([str(number), *map(escape, texts), str(entry.numbers)]))
    return "\n".join(lines)


WRITERS = {
    **{Heading: heading, Paragraph: paragraph, Table: table},
    **{Picture: picture, Fold: fold, Sources: sources},
}

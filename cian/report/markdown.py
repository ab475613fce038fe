"""A report as Markdown, with its pictures as files beside it."""

from cian.report.blocks import Heading, Paragraph, Picture, Sources, Table

MARKS = {"text": "", "note": "", "warning": "**Warning.** "}


def to_markdown(document):
    """The text of a Document (cian.report.blocks) as Markdown; pictures are referred to by their names."""
    parts = [f"# {escape(document.title)}"] + [WRITERS[type(block)](block) for block in document.blocks]
    return "\n\n".join(parts) + "\n"


def escape(text):
    """Text in which nothing means markup: `|`, `*`, `_`, `<` and their like are escaped, line breaks become spaces."""
    for character in "\\`*_|<>[]":
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())


def heading(block):
    return f"{'#' * block.level} {escape(block.text)}"


def paragraph(block):
    text = MARKS[block.kind] + escape(block.text)
    return text if block.kind == "text" else f"> {text}"


def table(block):
    lines = [row(map(escape, block.columns)), "|" + "---|" * block.labels + "---:|" * (len(block.columns) - block.labels)]
    lines += [row(map(cell, cells)) for cells in block.rows]
    return "\n".join(([f"{escape(block.summary)}:", ""] if block.summary else []) + lines)


def row(cells):
    return "| " + " | ".join(cells) + " |"


def cell(found):
    """The text, or the numbers of the sources where there is no text."""
    return escape(found.text) if found.text or not found.sources else ", ".join(map(str, found.sources))


def picture(block):
    return f"![{escape(block.caption)}]({block.name})"


def sources(block):
    """A compact table; the HTML has all of it."""
    columns = ("no.", "run", "seed", "commit", "data", "preset", "backbone", "cells")
    lines = [row(columns), "|---:|" + "---|" * (len(columns) - 2) + "---:|"]
    for number, entry in enumerate(block.entries, 1):
        commit = short_commit(entry.commit)
        chosen = [str(entry.settings.get(key, "")) for key in ("preset", "backbone")]
        texts = [entry.run, ", ".join(map(str, entry.seeds)), commit, (entry.fingerprint or "")[:12], *chosen]
        lines.append(row([str(number), *map(escape, texts), str(entry.numbers)]))
    return "\n".join(lines)


def short_commit(commit):
    """Ten digits of a commit, with `-dirty` where the code was changed; empty for None."""
    if commit is None:
        return ""
    digits, _, changed = commit.partition("-")
    return digits[:10] + (f"-{changed}" if changed else "")


WRITERS = {Heading: heading, Paragraph: paragraph, Table: table, Picture: picture, Sources: sources}

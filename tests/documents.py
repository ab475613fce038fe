"""Markdown pages as tests see them: fences, the commands in them, headings and links."""

import re
import shlex
from pathlib import Path
from typing import FrozenSet, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("cian", "experiments", "symbols", "tests", "tools")
FENCE = re.compile(r"^```([^`\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+?)\s*$", re.MULTILINE)
SEPARATORS = ("&&", "||", "|", ";")
REDIRECTIONS = (">", "<", "<<", ">>")


class Fence(NamedTuple):
    """A fenced block: where it begins, its language, words behind that, and its text."""

    line: int
    language: str
    marks: FrozenSet[str]
    text: str


def pages():
    """All Markdown files of the repository, as names from its root."""
    found = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def fences(text):
    """The Fences of a page."""
    found = []
    for match in FENCE.finditer(text):
        words = match.group(1).split() or [""]
        found.append(Fence(text[: match.start()].count("\n") + 1, words[0], frozenset(words[1:]), match.group(2)))
    return found


def commands(shell):
    """The commands of a shell text, each as its words: without comments, assignments, redirections and marks of texts."""
    found = []
    for line in shell.replace("\\\n", " ").splitlines():
        reader = shlex.shlex(line, posix=True, punctuation_chars=True)
        reader.whitespace_split = True
        parts, skip = [[]], False
        for word in reader:
            if word in SEPARATORS:
                parts.append([])
            elif word in REDIRECTIONS:
                skip = True
            elif skip:
                skip = False
            elif parts[-1] or not re.fullmatch(r"[A-Za-z_]+=.*", word):
                parts[-1].append(word)
        found += [words[1:] if words[0] == "exec" else words for words in parts if words and words != ["END"]]
    return found


def without_code(text):
    """A page without its fences and the code within its lines."""
    return re.sub(r"`[^`\n]+`", "", FENCE.sub("", text))


def slug(heading):
    """The anchor that GitHub gives a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")


def anchors(text):
    """All anchors of a page: of its headings, a number behind those that come again, and those that are named."""
    found = set()
    for heading in HEADING.findall(FENCE.sub("", text)):
        name, number = slug(heading), 0
        while (name if not number else f"{name}-{number}") in found:
            number += 1
        found.add(name if not number else f"{name}-{number}")
    return found | set(re.findall(r'<a (?:id|name)="([^"]+)"', text))


def links(text):
    """The targets of a page's links and pictures."""
    return LINK.findall(without_code(text))


def inline_commands(text):
    """The commands of a page's text and tables, as their words: code that begins with `cian VERB` or `bash FILE`."""
    found = re.findall(r"`((?:cian [a-z_]+|bash [a-z]+/)[^`]*)`", FENCE.sub("", text).replace("\n", " "))
    return [words for code in found for words in commands(code.replace("...", ""))]

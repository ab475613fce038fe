"""A report as one HTML page that needs nothing else: style and pictures are inside, and it links only to itself."""

import base64
import itertools
import json
from html import escape

from cian.report.blocks import Fold, Heading, Paragraph, Picture, Sources, Table
from cian.report.style import STYLE
from cian.report.text import short_commit


def to_html(document):
    """The text of a Document (cian.report.blocks) as HTML, with a line of links to its parts below what stands before them."""
    title = escape(document.title)
    parts = [b for b in document.blocks if isinstance(b, Heading) and b.level == 2 and b.anchor]
    links = " ".join(f'<a href="#{escape(part.anchor)}">{escape(part.short or part.text)}</a>' for part in parts)
    first = document.blocks.index(parts[0]) if parts else 0
    head, body = ("\n".join(map(written, blocks)) for blocks in (document.blocks[:first], document.blocks[first:]))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{head}\n<nav>{links}</nav>\n{body}\n</body>\n</html>\n"
    )


def written(block):
    return WRITERS[type(block)](block)


def heading(block):
    anchor = f' id="{escape(block.anchor)}"' if block.anchor else ""
    return f"<h{block.level}{anchor}>{escape(block.text)}</h{block.level}>"


def paragraph(block):
    if block.kind == "code":
        return f"<pre>{escape(block.text)}</pre>"
    if block.kind == "text":
        return f"<p>{escape(block.text)}</p>"
    mark = "<strong>Warning.</strong> " if block.kind == "warning" else ""
    return f'<p class="{block.kind}">{mark}{escape(block.text)}</p>'


def table(block):
    titles = (f'<th scope="col"{label(block, i)}>{escape(text)}</th>' for i, text in enumerate(block.columns))
    heads = f"<tr>{''.join(titles)}</tr>"
    if block.groups:
        shared = [(text, len(list(columns))) for text, columns in itertools.groupby(block.groups)]
        above = (f'<th class="group" scope="colgroup" colspan="{count}">{escape(text)}</th>' for text, count in shared)
        heads = "<tr>" + "".join(above) + "</tr>\n" + heads
    lines = ["<tr>" + "".join(cell(block, i, found) for i, found in enumerate(cells)) + "</tr>" for cells in block.rows]
    kind = "wide stacked" if block.stacked else "wide"
    body = "\n".join(lines)
    return f'<div class="{kind}"><table>\n<thead>{heads}</thead>\n<tbody>\n{body}\n</tbody></table></div>'


def label(block, index):
    """The class of a column that holds text."""
    return ' class="label"' if index < block.labels else ""


def cell(block, index, found):
    """A cell; its column's title goes with it where rows are stacked."""
    title = f' data-title="{escape(block.titles[index])}"' if block.stacked else ""
    if not found.text and found.sources:
        links = ",".join(f'<a href="#source-{number}">{number}</a>' for number in found.sources)
        return f'<td class="sources"{title}>{links}</td>'
    text = f'<a href="#{escape(found.anchor)}">{escape(found.text)}</a>' if found.anchor else escape(found.text)
    names = " ".join(filter(None, ("label" if index < block.labels else "", found.mark)))
    return "<td" + (f' class="{names}"' if names else "") + f"{title}>{text}</td>"


def picture(block):
    data, caption = base64.b64encode(block.data).decode("ascii"), escape(block.caption)
    kind = "jpeg" if block.name.endswith(".jpg") else "png"
    return f'<figure><img src="data:image/{kind};base64,{data}" alt="{caption}">\n<figcaption>{caption}</figcaption></figure>'


def fold(block):
    inside = "\n".join(map(written, block.blocks))
    return f"<details><summary>{escape(block.summary)}</summary>\n{inside}\n</details>"


def sources(block):
    """The list of sources with all there is to know about each; the settings fold out."""
    lines = []
    for number, entry in enumerate(block.entries, 1):
        seeds = ", ".join(map(str, entry.seeds)) or "none"
        made = "; ".join(filter(None, (entry.date, entry.machine)))
        whole = f"commit {entry.commit or 'unknown'}\n" + json.dumps(
            entry.settings, indent=1, sort_keys=True, ensure_ascii=False
        )
        lines.append(
            f'<li id="source-{number}"><code>{escape(entry.run)}</code>: seed {seeds}; '
            f"commit <code>{escape(short_commit(entry.commit)) or 'unknown'}</code>; "
            f"data <code>{escape(entry.fingerprint or 'none')}</code>; {escape(made + '; ' if made else '')}"
            f"{entry.numbers} cells"
            f"<details><summary>commit and settings</summary><pre>{escape(whole)}</pre></details></li>"
        )
    return '<ol id="sources-list">\n' + "\n".join(lines) + "\n</ol>"


WRITERS = {
    **{Heading: heading, Paragraph: paragraph, Table: table},
    **{Picture: picture, Fold: fold, Sources: sources},
}

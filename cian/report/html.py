"""A report as one HTML page that needs nothing else: style and pictures are inside, and it links only to itself."""

import base64
import json
from html import escape

from cian.report.blocks import Heading, Paragraph, Picture, Sources, Table
from cian.report.markdown import short_commit

STYLE = """
:root { color-scheme: light }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 70rem; padding: 1rem 1.2rem 4rem; background: #fff; color: #1c2024;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .6rem 0 }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .5rem; padding-top: .8rem; border-top: 2px solid #1c2024 }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem }
p { margin: .5rem 0; max-width: 50rem; overflow-wrap: anywhere }
a { color: #0b57a4 }
nav { font-size: .9rem; margin: .6rem 0; line-height: 1.9 }
nav a { display: inline-block; margin-right: .9rem }
.note, .warning { padding: .5rem .8rem; border-left: 4px solid #6a7fa0; background: #eef2f8 }
.warning { border-color: #c25700; background: #fff1e2 }
.wide { overflow-x: auto; margin: .6rem 0 }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
th, td { padding: .28rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #dde1e6 }
th { vertical-align: bottom; white-space: normal; border-bottom: 2px solid #8a939e; font-weight: 600 }
.label { text-align: left; white-space: normal; min-width: 7.5rem }
tbody tr:hover { background: #f4f7fb }
tr.faint td { color: #6b737c }
td[title] { cursor: help; text-decoration: underline dotted #9aa4b0; text-underline-offset: 3px }
.sources a { text-decoration: none; padding: 0 .15rem }
:target { background: #fff6c9 }
figure { margin: 1rem 0 }
figure img { max-width: 100%; height: auto; display: block }
figcaption { font-size: .87rem; color: #4a525b; max-width: 50rem }
details { margin: .5rem 0 }
summary { cursor: pointer; color: #0b57a4 }
#sources-list { padding-left: 2.4rem }
#sources-list li { margin: .4rem 0; font-size: .9rem; overflow-wrap: anywhere }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, monospace; font-size: .84em }
pre { background: #f4f6f8; padding: .6rem; overflow-x: auto; margin: .3rem 0 }
@media (max-width: 40rem) {
  body { padding: .6rem .7rem 3rem; font-size: 15px }
  h1 { font-size: 1.35rem } h2 { font-size: 1.15rem }
  table { font-size: .8rem } th, td { padding: .22rem .4rem } .label { min-width: 6.5rem }
}
"""


def to_html(document):
    """The text of a Document (cian.report.blocks) as HTML, with a line of links to its parts."""
    title = escape(document.title)
    parts = [b for b in document.blocks if isinstance(b, Heading) and b.level == 2 and b.anchor]
    links = " ".join(f'<a href="#{escape(part.anchor)}">{escape(part.short or part.text)}</a>' for part in parts)
    body = "\n".join(WRITERS[type(block)](block) for block in document.blocks)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<nav>{links}</nav>\n{body}\n</body>\n</html>\n"
    )


def heading(block):
    anchor = f' id="{escape(block.anchor)}"' if block.anchor else ""
    return f"<h{block.level}{anchor}>{escape(block.text)}</h{block.level}>"


def paragraph(block):
    if block.kind == "text":
        return f"<p>{escape(block.text)}</p>"
    mark = "<strong>Warning.</strong> " if block.kind == "warning" else ""
    return f'<p class="{block.kind}">{mark}{escape(block.text)}</p>'


def table(block):
    head = "".join(f"<th{label(block, i)}>{escape(text)}</th>" for i, text in enumerate(block.columns))
    lines = []
    for number, cells in enumerate(block.rows):
        faint = ' class="faint"' if number in block.faint else ""
        lines.append(f"<tr{faint}>" + "".join(cell(c, label(block, i)) for i, c in enumerate(cells)) + "</tr>")
    text = (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n' + "\n".join(lines) + "\n</tbody></table></div>"
    )
    return f"<details><summary>{escape(block.summary)}</summary>\n{text}\n</details>" if block.summary else text


def label(block, index):
    """The class of a column that holds text."""
    return ' class="label"' if index < block.labels else ""


def cell(found, attribute):
    if not found.text and found.sources:
        links = ",".join(f'<a href="#source-{number}">{number}</a>' for number in found.sources)
        return f'<td class="sources">{links}</td>'
    tip = f' title="{escape(found.tip)}"' if found.tip else ""
    return f"<td{attribute}{tip}>{escape(found.text)}</td>"


def picture(block):
    data, caption = base64.b64encode(block.png).decode("ascii"), escape(block.caption)
    return f'<figure><img src="data:image/png;base64,{data}" alt="{caption}">\n<figcaption>{caption}</figcaption></figure>'


def sources(block):
    """The list of sources with all there is to know about each; the settings fold out."""
    lines = []
    for number, entry in enumerate(block.entries, 1):
        seeds = ", ".join(map(str, entry.seeds)) or "none"
        whole = f"commit {entry.commit or 'unknown'}\n" + json.dumps(
            entry.settings, indent=1, sort_keys=True, ensure_ascii=False
        )
        lines.append(
            f'<li id="source-{number}"><code>{escape(entry.run)}</code>: seed {seeds}; '
            f"commit <code>{escape(short_commit(entry.commit)) or 'unknown'}</code>; "
            f"data <code>{escape(entry.fingerprint or 'none')}</code>; {entry.numbers} cells"
            f"<details><summary>commit and settings</summary><pre>{escape(whole)}</pre></details></li>"
        )
    return '<ol id="sources-list">\n' + "\n".join(lines) + "\n</ol>"


WRITERS = {Heading: heading, Paragraph: paragraph, Table: table, Picture: picture, Sources: sources}

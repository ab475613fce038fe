"""How the page of a report looks: on a screen, on a telephone, on paper. Colours are told apart by the colour-blind too."""

STYLE = """
:root { color-scheme: light }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 70rem; padding: 1rem 1.2rem 4rem; background: #fff; color: #1c2024;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .6rem 0 }
h2 { font-size: 1.3rem; margin: 2.2rem 0 .5rem; padding-top: .7rem; border-top: 2px solid #1c2024 }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .4rem }
p { margin: .5rem 0; max-width: 54rem; overflow-wrap: anywhere }
a { color: #0b57a4 }
nav { font-size: .9rem; margin: .8rem 0; line-height: 1.9 }
nav a { display: inline-block; margin-right: .9rem }
.note, .warning { padding: .5rem .8rem; border-left: 4px solid #6a7fa0; background: #eef2f8 }
.warning { border-color: #c25700; background: #fff1e2 }
.wide { overflow-x: auto; margin: .6rem 0 }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
th, td { padding: .28rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #dde1e6 }
th { vertical-align: bottom; white-space: normal; border-bottom: 2px solid #8a939e; font-weight: 600 }
th.group { text-align: center; min-width: 6rem; border-bottom: 1px solid #8a939e }
th.group:empty { border-bottom: 0; min-width: 0 }
td.label a { color: inherit; text-decoration: underline dotted #6b737c; text-underline-offset: 3px }
.label { text-align: left; white-space: normal; min-width: 7.5rem }
.stacked .label { min-width: 10.5rem } .stacked td:first-child { min-width: 19rem }
.larger { color: #00598c; font-weight: 600 }
.smaller { color: #a63c00; font-weight: 600 }
.unclear { color: #59616a }
tbody tr:hover { background: #f4f7fb }
.sources a { text-decoration: none; padding: 0 .15rem }
:target { background: #fff6c9 }
figure { margin: 1rem 0 }
figure img { max-width: 100%; height: auto; display: block }
figcaption { font-size: .87rem; color: #4a525b; max-width: 54rem }
details { margin: .5rem 0 }
summary { cursor: pointer; color: #0b57a4 }
#sources-list { padding-left: 2.4rem }
#sources-list li { margin: .4rem 0; font-size: .9rem; overflow-wrap: anywhere }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, monospace; font-size: .84em }
pre { background: #f4f6f8; padding: .6rem; overflow-x: auto; margin: .3rem 0; white-space: pre-wrap; overflow-wrap: anywhere }
@media (max-width: 40rem) {
  body { padding: .6rem .7rem 3rem; font-size: 15px }
  h1 { font-size: 1.35rem } h2 { font-size: 1.15rem }
  table { font-size: .8rem } th, td { padding: .22rem .4rem } .label { min-width: 5.5rem }
  .wide:not(.stacked) tr > :first-child { position: sticky; left: 0; background: #fff; box-shadow: 1px 0 0 #dde1e6 }
  .stacked table, .stacked tbody, .stacked tr, .stacked td { display: block; text-align: left; white-space: normal }
  figure { overflow-x: auto } figure img { max-width: none; width: 40rem }
  .stacked thead { display: none } .stacked .label, .stacked td:first-child { min-width: 0 }
  .stacked tr { padding: .45rem 0; border-bottom: 1px solid #c5cbd2 }
  .stacked td { border: 0; padding: .06rem 0 }
  .stacked td:first-child { font-weight: 600; font-size: .87rem }
  .stacked td:not(:first-child):not(:empty)::before { content: attr(data-title) ": "; color: #59616a; font-weight: 400 }
  .stacked td:empty { display: none }
}
@media print {
  @page { margin: 13mm }
  body { max-width: none; padding: 0; font-size: 10.5pt }
  nav { display: none }
  a { color: inherit; text-decoration: none }
  h2, h3, h2 + p, h2 + p + p, .warning { break-after: avoid; page-break-after: avoid }
  tr, figure, .note, .warning { break-inside: avoid; page-break-inside: avoid }
  .wide { overflow: visible; break-inside: avoid; page-break-inside: avoid }
  details .wide { break-inside: auto; page-break-inside: auto }
  thead { display: table-header-group }
  table { font-size: 8.5pt } th, td { padding: .15rem .35rem } .label { min-width: 4rem }
  figure img { max-height: 21cm; width: auto }
}
"""

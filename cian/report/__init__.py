"""The report: the papers' tables beside the measured numbers, as data, and written as HTML, Markdown, CSV and plots."""

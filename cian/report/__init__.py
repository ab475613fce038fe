"""The papers' tables beside the measured numbers, as one HTML page and as Markdown.

May import `scenes`, `data` and below; no MXNet.
"""

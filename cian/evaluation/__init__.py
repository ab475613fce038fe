"""How good something is, and what it costs: metrics; seeds, saliency and masks against the truth; complexity, time.

May import what makes the things it measures: `seeds`, `inference`, `models`, `data` and below.
"""

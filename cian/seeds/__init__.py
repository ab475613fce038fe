"""From a classifier to seeds: class activation, saliency, and what both are sure of.

May import `data`, `models` and below.
"""

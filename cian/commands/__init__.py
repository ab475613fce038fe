"""One module a verb: what `cian VERB` and `tools/VERB.py` run, from its options to its last line.

May import every room, but never another verb.
"""

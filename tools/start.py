"""Starts a verb for the programs of this folder; where `cian` is not installed, that of this checkout."""

import os
import sys


def run(verb):
    """Run `cian VERB` with the words of the command line, and end with its status."""
    try:
        from cian.__main__ import main
    except ImportError:
        sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        from cian.__main__ import main
    sys.exit(main([verb] + sys.argv[1:]))

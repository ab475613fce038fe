"""`cian prepare_data`; its options: --help."""

import sys

from cian.commands.prepare_data import main

if __name__ == "__main__":
    sys.exit(main())

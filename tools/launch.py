"""`cian launch`; its options: --help."""

import sys

from cian.commands.launch import main

if __name__ == "__main__":
    sys.exit(main())

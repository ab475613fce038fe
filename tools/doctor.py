"""`cian doctor`; its options: --help."""

import sys

from cian.commands.doctor import main

if __name__ == "__main__":
    sys.exit(main())

"""`cian weights`; its options: --help."""

from cian.base.cli import run_tool
from cian.commands.weights import main

if __name__ == "__main__":
    run_tool(main)

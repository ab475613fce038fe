"""`cian export`; its options: --help."""

from cian.base.cli import run_tool
from cian.commands.export import main

if __name__ == "__main__":
    run_tool(main)

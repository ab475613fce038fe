"""`cian export`; its options: --help."""

from start import run

if __name__ == "__main__":
    run("export")

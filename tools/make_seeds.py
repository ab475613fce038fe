"""`cian make_seeds`; its options: --help."""

from start import run

if __name__ == "__main__":
    run("make_seeds")

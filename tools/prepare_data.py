"""`cian prepare_data`; its options: --help."""

from start import run

if __name__ == "__main__":
    run("prepare_data")

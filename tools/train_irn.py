"""`cian train_irn`; its options: --help."""

from start import run

if __name__ == "__main__":
    run("train_irn")

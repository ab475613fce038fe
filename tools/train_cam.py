"""`cian train_cam`; its options: --help."""

from start import run

if __name__ == "__main__":
    run("train_cam")

"""`cian evaluate`; its options: --help."""

from cian.commands.evaluate import main

if __name__ == "__main__":
    main()

"""`cian benchmark`; its options: --help."""

from cian.commands.benchmark import main

if __name__ == "__main__":
    main()

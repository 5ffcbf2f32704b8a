"""``python -m cairn``: the command line, as torchrun and other launchers start it."""

from cairn.cli import main

if __name__ == "__main__":
    main()

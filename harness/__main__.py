"""``python -m harness``: the command line where the ``harness`` command is not on the path."""

from .cli.main import main

if __name__ == "__main__":
    main()

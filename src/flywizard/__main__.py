"""Runs the command line as ``python -m flywizard``."""

import sys

from flywizard.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""``python -m eels_bayes``: the command line, see `command_line.app`."""

import sys

from eels_bayes.command_line.app import main

if __name__ == "__main__":
    sys.exit(main())

"""`python -m aqe.server.cli`: the same command where no script is on the path."""

from __future__ import annotations

import sys

from aqe.server.cli.app import main

if __name__ == "__main__":
    sys.exit(main())

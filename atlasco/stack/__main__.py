"""The stack without Django: `python -m atlasco.stack up …` is `manage.py up …`, a second sooner."""

from __future__ import annotations

import sys

from atlasco.stack.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""``python -m include.steps <step> --model … --as-of … --inputs …``: runs one step; see ``--help`` and ``--list``."""

from __future__ import annotations

import sys

from include.steps.command import main

if __name__ == "__main__":
    sys.exit(main())

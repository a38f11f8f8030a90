"""``python -m tests.bench.drift``: whether the drift verdict can be trusted, and what it costs, beside evidently.

False alarms on windows without drift, made and real ones, and on answers without decay; power on drifts that were put
in; ten million rows beside DuckDB's own ``histogram()``; a year of flights beside evidently's default preset, which has
an environment of its own.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from include.settings import Settings
from tests.bench.drift.decay import count_decay_alarms
from tests.bench.drift.flights import compare_on_flights, count_real_alarms
from tests.bench.drift.millions import compare_on_millions
from tests.bench.drift.peer import Evidently
from tests.bench.drift.trust import compare_trust


def main() -> None:
    """Print all of it."""
    peer = Evidently.installed(Settings.from_environment().home / "bench" / "evidently")
    with tempfile.TemporaryDirectory(prefix="noria-bench-drift-") as folder:
        parts = sys.argv[1:] or ["trust", "decay", "real", "flights", "millions"]
        if "trust" in parts:
            compare_trust(Path(folder), peer)
        if "decay" in parts:
            count_decay_alarms()
        if "real" in parts:
            count_real_alarms(Path(folder))
        if "flights" in parts:
            compare_on_flights(Path(folder), peer)
        if "millions" in parts:
            compare_on_millions(Path(folder))


if __name__ == "__main__":
    main()

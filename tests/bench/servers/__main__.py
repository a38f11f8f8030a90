"""``make bench-servers``: how soon many servers follow a change of the deployment state, and what their looking costs.

Each poller is what one process of a server is: it looks for the state twice a second. Measured are servers of four
processes, of which one looks over a connection and asks when a change was told, and else every five seconds, as they
do; the same with a connection for each process; looks that always ask for one row, and then for what has changed; and
looks that compare all models' marks each time.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from typing import Final

from tests.bench.installation import installation
from tests.bench.servers.measuring import Measured, Pace, measure
from tests.console.seeding import seed

_WAYS: Final = (
    ("one of four asks", Pace(together=4)),
    ("what is told", Pace()),
    ("one row", Pace(silent=0.0)),
    ("all marks", Pace(reread=0.0, silent=0.0)),
)
_FIRST: Final = "model_0000"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.servers", description=__doc__)
    parser.add_argument("--models", default="10,1000", help="how many models are deployed (10,1000)")
    parser.add_argument("--pollers", default="20,200", help="how many processes look (20,200); the database takes 300")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each measurement (10)")
    options = parser.parse_args(arguments)
    pollers = [int(text) for text in options.pollers.split(",")]
    print(f"{'models':>8}{'pollers':>9}  {'a look asks for':<18}{'connections':>15}{'look ms':>14}", end="")
    print(f"{'database, of a core':>20}{'seen after ms':>22}{'late':>6}")
    print(f"{'':>37}{'number':>8}{'MiB':>7}{'p50':>8}{'p99':>6}{'idle':>10}{'changes':>10}", end="")
    print(f"{'p50':>9}{'p99':>7}{'most':>6}{'2 s':>6}")
    for models in (int(text) for text in options.models.split(",")):
        with installation("servers") as made:
            seed(made.settings, [f"model_{number:04}" for number in range(models)], versions=4, entries=4, checks=0)
            for count in pollers:
                for words, pace in _WAYS:
                    found = measure(made, _FIRST, count, pace=pace, seconds=options.seconds)
                    print(_line(models, count, words, found), flush=True)
    return 0


def _line(models: int, count: int, words: str, found: Measured) -> str:
    looks = statistics.quantiles(found.looks, n=100)
    seen = sorted(found.delays)
    late = sum(delay > 2 for delay in seen) + found.missed
    return (
        f"{models:>8,}{count:>9}  {words:<18}{found.connections:>8}{found.connection_bytes / 2**20:>7.1f}"
        f"{looks[49] * 1e3:>8.1f}{looks[98] * 1e3:>6.0f}"
        f"{found.idle_seconds / found.seconds:>10.1%}{found.database_seconds / found.seconds:>10.1%}"
        f"{statistics.median(seen) * 1e3:>9.0f}{seen[int(len(seen) * 0.99)] * 1e3:>7.0f}{seen[-1] * 1e3:>6.0f}{late:>6}"
    )


if __name__ == "__main__":
    sys.exit(main())

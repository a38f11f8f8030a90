"""``make bench-many``: many models whose trainings are due in the same minute, in a real Airflow.

All are like ``tumor_malignant``, whose data is small, so that what is measured is the line and not XGBoost. Printed are
the time until all have finished, how they shared it, how much ran at once beside the pools' slots, and errors.
``--breadth-first`` gives tasks Airflow's own default weights, for a comparison.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Final

from tests.bench.many.fairness import Fairness, breaches, judge, most_in_pools
from tests.bench.many.world import MODEL, Outcome, due_together, outcome, stack_of
from tests.bench.running import bench_folder

_MODELS: Final = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 0 if all runs ended well and no pool was overrun."""
    options = _options(arguments)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    begin = time.monotonic()
    with bench_folder("many") as folder, stack_of(folder, options.models, breadth_first=options.breadth_first) as line:
        print(f"{options.models} models like {MODEL} have data and DAGs after {time.monotonic() - begin:.0f} s")
        due = due_together(line, options.models)
        print(f"all trainings are due at {due:%H:%M}")
        found = outcome(line, due, options.models, patience=options.patience)
        parallelism = int(line.stack.environment()["AIRFLOW__CORE__PARALLELISM"])
    return 0 if _report(found, due.timestamp(), options.models, parallelism) else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.many", description=__doc__)
    parser.add_argument("--models", type=int, default=_MODELS, help=f"how many (default {_MODELS})")
    parser.add_argument("--breadth-first", action="store_true", help="Airflow's default weights, for a comparison")
    parser.add_argument("--patience", type=float, default=3600.0, help="seconds after which it is given up")
    return parser.parse_args(arguments)


def _report(found: Outcome, due: float, models: int, parallelism: int) -> bool:
    finished = len([state for state in found.runs.values() if state == "success"])
    good = finished == models and not found.unfinished
    print(f"\nruns that ended well: {finished} of {models}; still open: {len(found.unfinished)}")
    print(f"tasks: {len(found.tasks)}, failed: {len(found.failed)}, tried again: {found.retries}")
    for failure in found.failed[:5]:
        print(f"  failed: {failure}")
    if found.tasks:
        _print_fairness(judge(found.tasks, due))
        good = _print_pools(found, parallelism) and good
    print("all finished, no pool was overrun" if good else "NOT all is well")
    return good


def _print_fairness(fairness: Fairness) -> None:
    print(f"\n{'seconds':<44}{'least':>10}{'median':>10}{'most':>10}")
    for name, spread in (
        ("from due to a run's first task", fairness.waited),
        ("from due to a run's end", fairness.finished),
        ("from a run's first task to its end", fairness.open_for),
    ):
        print(f"{name:<44}{''.join(f'{value:>10.1f}' for value in spread)}")
    print(f"the longest pause of a run that had begun: {fairness.longest_pause:.1f} s, before {fairness.paused_before}")
    print(f"runs begun and not finished at one time: at most {fairness.most_open}")


def _print_pools(found: Outcome, parallelism: int) -> bool:
    most = most_in_pools(found.tasks)
    slots = {**found.slots, "": parallelism}
    print(f"\n{'running at one time':<44}{'most':>10}{'slots':>10}")
    for pool, count in sorted(most.items()):
        print(f"{pool or 'all of Airflow':<44}{count:>10}{slots[pool]:>10}")
    overrun = breaches(most, slots)
    for pool in overrun:
        print(f"OVERRUN: {pool or 'all of Airflow'}")
    return not overrun


if __name__ == "__main__":
    sys.exit(main())

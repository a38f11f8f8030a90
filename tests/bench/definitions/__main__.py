"""``make bench-definitions``: one Airflow with very many models: parsing, memory, and how long a ready task waits.

For each number of models a stack of its own: until Airflow knows all DAGs, then some quiet minutes, in which each file
is parsed at least once more, then runs of a chain of tasks that do nothing, then a hundred such tasks beside each
other, then changed definitions whose DAG files are touched. Printed with the ratio to the smallest number.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from tests.bench.definitions.measuring import Measured, measure
from tests.bench.running import bench_folder

_MIB: Final = 1 << 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.definitions", description=__doc__)
    parser.add_argument("--models", default="10,1000", help="numbers of models, smallest first (10,1000)")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long the idle stack is watched at least (10)")
    parser.add_argument("--out", type=Path, help="where the figures go, as JSON")
    options = parser.parse_args(arguments)
    found: list[Measured] = []
    for models in (int(text) for text in options.models.split(",")):
        with bench_folder("definitions") as folder:
            found.append(measure(folder, models, options.minutes * 60))
        print_all(found)
    if options.out:
        options.out.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n")
    return 0


def print_all(found: Sequence[Measured]) -> None:
    """A column for each number of models, and the ratio of the last to the first."""
    print(f"\n{'models':<62}" + "".join(f"{one.models:>10,}" for one in found) + f"{'ratio':>9}")
    for words, values in {
        "DAGs": [float(one.dags) for one in found],
        "seconds until Airflow knows them all": [one.known_seconds for one in found],
        "seconds between two parses of a file, as configured": [one.interval for one in found],
        "the longest since a file was parsed, seconds": [one.oldest_look for one in found],
        "dag-processor, processors in use": [one.cores["dag-processor"] for one in found],
        "scheduler, processors in use": [one.cores["scheduler"] for one in found],
        "dag-processor, MiB at most in the first half": [one.memory[0] / _MIB for one in found],
        "dag-processor, MiB at most in the second half": [one.memory[1] / _MIB for one in found],
        "scheduler, MiB at most": [one.scheduler_memory / _MIB for one in found],
        "from a trigger to the first task, seconds (median)": [one.first_task for one in found],
        "between two tasks of a chain, seconds (median)": [one.between for one in found],
        "between two tasks of a chain, seconds (longest)": [one.between_longest for one in found],
        "tasks a second, of a hundred that may begin at once": [one.rate for one in found],
        "processor seconds of a task that does nothing": [one.task_cost["task"] for one in found],
        "and of the scheduler for it": [one.task_cost["scheduler"] for one in found],
        "and of the API server for it": [one.task_cost["api-server"] for one in found],
        "until a changed definition is seen, its file touched (median)": [one.change_seen for one in found],
    }.items():
        ratio = f"{values[-1] / values[0]:>9.2f}" if values[0] else f"{'':>9}"
        print(f"{words:<62}" + "".join(f"{value:>10,.2f}" for value in values) + ratio, flush=True)


if __name__ == "__main__":
    sys.exit(main())

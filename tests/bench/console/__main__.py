"""``make bench-console``: how soon the console's data is there, with a thousand models and 100,000 ledger rows.

Asked over HTTP of Airflow's real api-server, by users who have logged in, compressed as for a browser. Printed are the
wall time, and the processor time of server and database, which other work of the machine hardly changes; beside them an
address of Airflow's own that does nothing, and its list of DAGs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Final

import requests

from tests.bench.console.world import World, console_world
from tests.bench.running import bench_folder
from tests.bench.serving.rounds import settle

_GOAL: Final = 300
_ADDRESSES: Final = (
    ("nothing (Airflow's version)", "root", "/api/v2/version"),
    ("Airflow's own list of 50 DAGs", "root", "/ui/dags?limit=50"),
    ("models, all of them", "root", "/noria/api/models"),
    ("models, a third of them", "ana", "/noria/api/models"),
    ("a model's page", "ana", "/noria/api/models/{model}"),
    ("hours of processor, all models", "root", "/noria/api/models/costs"),
    ("a model's older ledger", "ana", "/noria/api/models/{model}/ledger?before=60"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.console", description=__doc__)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--entries", type=int, default=100, help="of each model's ledger")
    parser.add_argument("--times", type=int, default=15, help="that each address is asked")
    options = parser.parse_args(arguments)
    models = [f"model_{number:04}" for number in range(options.models)]
    with (
        bench_folder("console") as folder,
        console_world(folder, models, entries=options.entries, versions=4, checks=30) as world,
    ):
        settle(world.server.pid)
        print(f"{options.models:,} models, {options.models * options.entries:,} ledger rows; goal: {_GOAL} ms")
        print(f"\n{'milliseconds':<34}{'wall':>24}{'processor':>20}{'KiB':>16}")
        print(f"{'':<34}{'first':>8}{'median':>8}{'least':>8}{'server':>10}{'database':>10}{'all':>8}{'sent':>8}")
        for name, user, address in _ADDRESSES:
            print(_line(world, name, user, address.format(model=models[0]), options.times), flush=True)
    return 0


def _line(world: World, name: str, user: str, address: str, times: int) -> str:
    walls = []
    with requests.Session() as session:
        session.headers.update(world.tokens[user])
        for turn in range(times + 1):
            if turn == 1:
                before = world.busy()
            begin = time.perf_counter()
            answer = session.get(world.url + address, timeout=60, stream=True)
            content = answer.content
            walls.append((time.perf_counter() - begin) * 1000)
            answer.raise_for_status()
        server, database = ((after - was) * 1000 / times for was, after in zip(before, world.busy(), strict=True))
    return (
        f"{name:<34}{walls[0]:>8.0f}{statistics.median(walls[1:]):>8.0f}{min(walls[1:]):>8.0f}{server:>10.0f}"
        f"{database:>10.0f}{len(content) / 1024:>8.0f}{answer.raw.tell() / 1024:>8.0f}"
    )


if __name__ == "__main__":
    sys.exit(main())

"""``make bench-line``: a training through Airflow beside the same steps called in one plain Python process.

Both train the flagship, search off, as of the same instants, on the same published data, against the same database
and MLflow, in turns. ``--peers`` adds Metaflow, Prefect, Dagster and ZenML with the same steps, each in an environment
of its own.
The ratio is what to compare; seconds depend on the machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from include.settings import Settings
from tests.bench.copies import MODEL
from tests.bench.environments import CannotRun
from tests.bench.line.others import PEERS, Peer, environment_of, run_peer
from tests.bench.line.through_airflow import train_through_airflow
from tests.bench.line.timing import PARTS, Row, middle, totals
from tests.bench.line.world import instants, run_plain, stack_with
from tests.bench.running import bench_folder

GOAL: Final = 1.5
_LINE: Final = "noria through Airflow"
_PLAIN: Final = "plain Python"
Way = Callable[[str], dict[str, Row]]
"""A training as of an instant; seconds by task and part."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = _options(arguments)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    peers = PEERS if options.peers else ()
    environments, absent = _environments(peers)
    begin = time.monotonic()
    names = ["plain", *(peer.contender for peer in peers)]
    with bench_folder("line") as folder, stack_with(folder, names) as line:
        print(f"the stack runs and the data is published after {time.monotonic() - begin:.0f} s")
        ways: dict[str, Way] = {
            _PLAIN: lambda as_of: run_plain(line, as_of),
            _LINE: lambda as_of: train_through_airflow(line.api, f"{MODEL}.train", f"bench-{as_of}", as_of),
        }
        for peer in peers:
            if peer.name not in absent:
                ways[peer.name] = partial(run_peer, line, peer, environments)
        found = _rounds(ways, instants(line, options.rounds + 1), absent)
    for peer in peers:
        print(f"{peer.name}: {absent.get(peer.name) or peer.how}")
    _report(found)


def _environments(peers: Sequence[Peer]) -> tuple[Path, dict[str, str]]:
    """The folder of the peers' environments, which are made; and those that cannot be, with the reason."""
    folder, absent = Settings.from_environment().home / "bench" / "line", {}
    for peer in peers:
        try:
            environment_of(peer.package, folder)
        except CannotRun as reason:
            absent[peer.name] = f"cannot be installed: {reason}"
    return folder, absent


def _rounds(ways: Mapping[str, Way], as_ofs: Sequence[str], absent: dict[str, str]) -> dict[str, list[dict[str, Row]]]:
    """All ways in turns, one instant each; a peer that fails is left out and goes into ``absent``.

    The first round warms what a running Airflow has warm, and the disk; it does not count.
    """
    found: dict[str, list[dict[str, Row]]] = {name: [] for name in ways}
    for number, as_of in enumerate(as_ofs):
        said = []
        for name in [name for name in ways if name not in absent]:
            try:
                rows = ways[name](as_of)
            except CannotRun as reason:
                absent[name] = f"cannot run here: {reason}"
                continue
            said.append(f"{name} {totals(rows)['all']:.1f} s")
            if number:
                found[name].append(rows)
        print(f"round {number}: {', '.join(said)}")
    return {name: runs for name, runs in found.items() if runs}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.line", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="trainings that count, of each (default 3)")
    parser.add_argument("--peers", action="store_true", help="also Metaflow, Prefect, Dagster and ZenML")
    return parser.parse_args(arguments)


def _report(found: Mapping[str, Sequence[dict[str, Row]]]) -> None:
    runs = {name: middle(each) for name, each in found.items()}
    for name in (_PLAIN, _LINE):
        rows = runs[name]
        print(f"\n{name + ', seconds':<32}{''.join(f'{part:>15}' for part in (*PARTS, 'all'))}")
        for task, row in rows.items():
            _row(task, {**row, "all": sum(row.values())})
        _row("all", totals(rows))
    plain = totals(runs[_PLAIN])
    heads = (*PARTS, "all", "ratio", "to work alone")
    print(f"\n{'the middle round, seconds':<32}{''.join(f'{head:>15}' for head in heads)}")
    for name, rows in runs.items():
        total = totals(rows)
        _row(
            name, {**total, "ratio": total["all"] / plain["all"], "to work alone": total["all"] / plain["work"]}, heads
        )
    ratio = totals(runs[_LINE])["all"] / plain["all"]
    print(f"ratio of {_LINE} to {_PLAIN}: {ratio:.2f} (goal: at most {GOAL}: {'met' if ratio <= GOAL else 'MISSED'})")
    print("to work alone: to what the steps take in the plain process, all imports and its own end left out")


def _row(name: str, row: Mapping[str, float], columns: Sequence[str] = (*PARTS, "all")) -> None:
    print(f"  {name:<30}{''.join(f'{row[column]:>15.2f}' for column in columns)}")


if __name__ == "__main__":
    main()

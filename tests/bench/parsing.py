"""``make bench-parsing``: what the DAG files of many models cost Airflow, beside the same DAGs written by hand.

Each file is parsed as the dag-processor does it, in a fork of a process that has loaded Noria's plugin; what is timed
is processor time within the fork, so that other work of the machine hardly counts. Then a real dag-processor watches
fifty models: how long until a change of one definition is seen, and which DAGs are written anew.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from include.settings import PROJECT
from tests.bench.copies import names, write_models
from tests.bench.running import bench_folder

if TYPE_CHECKING:
    from airflow.dag_processing.dagbag import DagBag

MODELS: Final = 500
_SERIALIZED_EVERY: Final = 10
_GOAL: Final = 1.3
_ROUNDS: Final = 15


def _write_by_hand(folder: Path, ours: Path, count: int) -> None:
    """Files with the same DAGs from bare operators."""
    from tests.bench.by_hand import written_by_hand

    (folder / "dags").mkdir(parents=True)
    first = names(1)[0]
    text = written_by_hand(_bag(ours / "dags" / f"{first}.py").dags.values())
    for name in names(count):
        (folder / "dags" / f"{name}.py").write_text(text.replace(first, name))


def _bag(file: Path) -> DagBag:
    """A file's DAGs, as the dag-processor's child and a task's process load them."""
    from airflow.dag_processing.dagbag import BundleDagBag

    bag = BundleDagBag(dag_folder=str(file), bundle_path=file.parent, bundle_name="dags-folder", load_op_links=False)
    if bag.import_errors:
        raise SystemExit(f"{file} was not parsed: {bag.import_errors}")
    return bag


def _in_a_fork(work: Callable[[], Mapping[str, float]]) -> dict[str, float]:
    """What a function returns in a forked process."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as answer:
            json.dump(work(), answer)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return dict(json.loads(text))


def _parse(file: Path, *, serialize: bool) -> dict[str, float]:
    from airflow.serialization.serialized_objects import DagSerialization

    begin = time.process_time()
    bag = _bag(file)
    seconds = {"parse": time.process_time() - begin, "dags": float(len(bag.dags))}
    if serialize:
        begin = time.process_time()
        for dag in bag.dags.values():
            DagSerialization.to_dict(dag)
        seconds["serialize"] = time.process_time() - begin
    return seconds


def compare_with_hand(folder: Path) -> float:
    """Print what all files cost, and beside it the same DAGs by hand; the ratio of parsing."""
    ours, hand = folder / "ours", folder / "hand"
    write_models(ours, MODELS)
    os.environ["NORIA_MODELS"] = str(ours / "models")
    _write_by_hand(hand, ours, MODELS)
    found: dict[str, list[dict[str, float]]] = {"definitions": [], "by hand": []}
    for number, name in enumerate(names(MODELS)):
        serialize = number % _SERIALIZED_EVERY == 0
        for way, home in (("definitions", ours), ("by hand", hand)):
            file = home / "dags" / f"{name}.py"
            found[way].append(_in_a_fork(lambda file=file, serialize=serialize: _parse(file, serialize=serialize)))
    dags = {way: int(sum(one["dags"] for one in each)) for way, each in found.items()}
    if len(set(dags.values())) != 1:
        raise SystemExit(f"these are not the same DAGs: {dags}")
    print(
        f"{MODELS} models, {dags['by hand']} DAGs, each file in a fork; processor seconds (serialized: every tenth)\n"
    )
    print(f"{'':<24}{'definitions':>14}{'by hand':>12}{'ratio':>8}")
    parsing = _row("parse all", [sum(_of(found[way], "parse")) for way in found])
    _row("parse a file, median", [statistics.median(_of(found[way], "parse")) for way in found])
    _row("serialize a file, median", [statistics.median(_of(found[way], "serialize")) for way in found])
    print(f"goal for parsing: at most {_GOAL}: {'met' if parsing <= _GOAL else 'MISSED'}")
    return parsing


def _of(found: Sequence[Mapping[str, float]], what: str) -> list[float]:
    return [one[what] for one in found if what in one]


def _row(name: str, seconds: Sequence[float]) -> float:
    ratio = seconds[0] / seconds[1]
    print(f"{name:<24}{seconds[0]:>12.3f} s{seconds[1]:>10.3f} s{ratio:>8.2f}")
    return ratio


def compare_counts(folder: Path) -> None:
    """Print what the parse of one task costs beside so many models."""
    counts = (1, 50, MODELS)
    for count in counts:
        if count != MODELS:
            write_models(folder / f"of-{count}", count)
    homes = {count: folder / ("ours" if count == MODELS else f"of-{count}") for count in counts}
    first = names(1)[0]

    def parse(home: Path) -> dict[str, float]:
        os.environ["NORIA_MODELS"] = str(home / "models")
        os.environ["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = f"{first}.train"
        return _parse(home / "dags" / f"{first}.py", serialize=False)

    found: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(_ROUNDS):
        for count, home in homes.items():
            found[count].append(_in_a_fork(lambda home=home: parse(home))["parse"])
    print("\na task's own parse, median of processor seconds")
    alone = statistics.median(found[1])
    for count, seconds in found.items():
        median = statistics.median(seconds)
        print(f"{f'beside {count} models':<24}{median:>12.4f} s, ratio to one model alone {median / alone:.2f}")


def main(parts: Sequence[str]) -> int:
    """Print all of it, or the parts that are named: hand, counts, watch."""
    chosen = parts or ["hand", "counts", "watch"]
    with bench_folder("parsing") as folder:
        os.environ |= {
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "NORIA_HOME": str(folder / "noria"),
        }
        import plugins.preloaded  # noqa: F401 - as the dag-processor has, before it forks

        good = True
        if {"hand", "counts"} & set(chosen):
            good = compare_with_hand(folder) <= _GOAL
        if "counts" in chosen:
            compare_counts(folder)
        if "watch" in chosen:
            from tests.bench.watching import watch_a_change

            good = watch_a_change(folder / "watched") and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

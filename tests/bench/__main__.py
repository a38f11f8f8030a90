"""``make bench``: speed as ratios within one run, on the flagship's real data.

What a process for each step costs, forked by the warm parent or cold, beside the same steps called in one process;
what the way to an answer costs beside the packaged model alone; features beside raw DuckDB; a search for parameters
beside bare Optuna. Seconds depend on the machine, so compare the ratios.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from include.registry.state import switch_champion
from include.spec.windows import needed_partitions
from include.stack.life import first_rows
from include.stack.processes import wait_for
from tests.bench.lab import MODEL, Bench, Document, open_bench
from tests.bench.prepare import compare_prepare
from tests.bench.search import compare_searches
from tests.bench.turn import take_turn

Run = Callable[[str, Document], Document]
_CALLS = 300


def _turn(bench: Bench, run: Run, seconds: dict[str, float]) -> Document:
    """Data and training, every partition anew; seconds by task are added to ``seconds``."""

    def timed(task: str, step: str, inputs: Document) -> Document:
        begin = time.perf_counter()
        output = run(step, inputs)
        seconds[task] = time.perf_counter() - begin
        return output

    keys = [partition.key for partition in needed_partitions(bench.definition, bench.as_of)]
    return take_turn(timed, keys[0], keys[-1])


def _compare_steps(alone: dict[str, float], forked: dict[str, float], processes: dict[str, float]) -> None:
    print(f"\n{'step':<20}{'one process':>14}{'warm parent':>14}{'ratio':>8}{'cold process':>15}{'ratio':>8}")
    columns = [{**seconds, "all": sum(seconds.values())} for seconds in (alone, forked, processes)]
    for task, one in columns[0].items():
        warm, cold = columns[1][task], columns[2][task]
        print(f"{task:<20}{one:>12.2f} s{warm:>12.2f} s{warm / one:>8.2f}{cold:>13.2f} s{cold / one:>8.2f}")


@contextmanager
def _server(bench: Bench) -> Iterator[str]:
    port = bench.settings.server_url.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "include.serving", "--host", "127.0.0.1", "--port", port]
    with (bench.settings.home / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, env=bench.environment(), cwd=bench.settings.home.parent, stderr=log, stdout=log
        )
    try:
        address = f"{bench.settings.server_url}/models/{MODEL}"
        if not wait_for(lambda: _serves(address), 60):
            raise SystemExit(f"The server did not serve:\n{(bench.settings.home / 'server.log').read_text()}")
        yield address
    finally:
        server.terminate()
        server.wait()


def _serves(address: str) -> bool:
    try:
        return bool(requests.get(address, timeout=5).json().get("status") == "serving")
    except (requests.RequestException, ValueError):
        return False


def _compare_answers(bench: Bench, training: Document) -> None:
    import mlflow
    from mlflow.artifacts import download_artifacts

    from include.training.packaged_model import TabularModel

    rows = first_rows(bench.settings.store / training["training_set"]["directory"] / "holdout_inputs.parquet", 100)
    mlflow.set_tracking_uri(bench.settings.tracking_url)
    folder = download_artifacts(training["model_uri"])
    model = TabularModel.open(Path(folder) / "artifacts")
    with _server(bench) as address, requests.Session() as session:
        live = address.replace(f"/models/{MODEL}", "/health/live")
        print(f"\n{'one connection':<34}{'p50':>10}{'p99':>10}")
        _row("the server's empty answer", lambda: session.get(live))
        for count in (1, 100):
            _row(f"packaged model alone, {count} rows", lambda count=count: model.predict_rows(rows[:count]))
            _row(
                f"server, {count} rows",
                lambda count=count: session.post(f"{address}/predict", json={"rows": rows[:count]}),
            )


def _row(name: str, call: Callable[[], object]) -> None:
    for _ in range(20):
        call()
    times = []
    for _ in range(_CALLS):
        begin = time.perf_counter()
        call()
        times.append((time.perf_counter() - begin) * 1000)
    cuts = statistics.quantiles(times, n=100)
    print(f"{name:<34}{statistics.median(times):>7.2f} ms{cuts[98]:>7.2f} ms")


def main() -> None:
    """Print all of it."""
    alone: dict[str, float] = {}
    forked: dict[str, float] = {}
    processes: dict[str, float] = {}
    with open_bench() as bench:
        _turn(bench, bench.in_this_process, alone)
    with open_bench() as bench, bench.warm_parent():
        _turn(bench, bench.forked, forked)
    with open_bench() as bench:
        outcome = _turn(bench, bench.as_a_process, processes)
        _compare_steps(alone, forked, processes)
        switch_champion(bench.settings, MODEL, outcome["version"], reason="bench", actor="bench")
        _compare_answers(bench, outcome["training"])
        compare_prepare(bench.settings, bench.definition)
        compare_searches(bench.definition, bench.settings.store / outcome["training"]["training_set"]["directory"])


if __name__ == "__main__":
    main()

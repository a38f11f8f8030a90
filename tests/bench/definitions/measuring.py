"""A stack with so many definitions, and what its dag-processor and its scheduler do with them."""

from __future__ import annotations

import itertools
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from tests.bench.copies import names
from tests.bench.running import running_line
from tests.bench.watching import FAMILIES, change, line_of, rows_of, until, written
from tests.e2e.line import Line

_RUNS: Final = 10
_LOOK_SECONDS: Final = 2.0
_OLDEST_LOOK: Final = "SELECT extract(epoch FROM now() - min(last_parsed_time)) AS seconds FROM dag WHERE NOT is_stale"
_TASKS: Final = """
    SELECT run.queued_at, task.start_date, task.end_date
    FROM task_instance AS task JOIN dag_run AS run USING (dag_id, run_id)
    WHERE dag_id = 'chain' AND run_id = :run ORDER BY task.start_date
"""
_CHAIN: Final = '''"""Tasks that do nothing, one after the other."""

from airflow.sdk import DAG, task

with DAG(dag_id="chain", schedule=None) as dag:

    @task
    def nothing() -> None:
        pass

    first = last = nothing()
    for _ in range(4):
        following = nothing()
        last >> following
        last = following
'''


@dataclass(kw_only=True)
class Measured:
    """Figures of one number of models; times in seconds, memory in bytes.

    :param oldest_look: the longest time since a file was last parsed.
    :param cores: processors that a service and its children used on average while nothing ran.
    :param memory: the dag-processor's with its children, at most, in each half of the quiet time.
    :param first_task: from a trigger to the start of the run's first task.
    :param between: from the end of a task to the start of the next one.
    """

    models: int
    dags: int = 0
    interval: float = 0.0
    known_seconds: float = 0.0
    oldest_look: float = 0.0
    cores: dict[str, float] = field(default_factory=dict)
    memory: tuple[float, float] = (0.0, 0.0)
    scheduler_memory: float = 0.0
    first_task: float = 0.0
    between: float = 0.0
    between_longest: float = 0.0
    change_seen: float = 0.0


def measure(folder: Path, models: int, quiet_seconds: float) -> Measured:
    """Start such a stack, watch it, stop it."""
    line = line_of(folder, models)
    (folder / "dags" / "chain.py").write_text(_CHAIN)
    found = Measured(models=models)
    begin = time.monotonic()
    with running_line(line):
        wanted = models * FAMILIES + 1
        until(lambda: len(written(line)) >= wanted, "Airflow does not know all DAGs")
        found.known_seconds = time.monotonic() - begin
        found.dags = wanted
        found.interval = float(line.stack.environment()["AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL"])
        _watch(line, found, quiet_seconds)
        _play_chains(line, found)
        found.change_seen = change(line, names(models)[models // 2], touch=True)
    return found


def _watch(line: Line, found: Measured, seconds: float) -> None:
    """The stack while nothing runs but the alerts' own DAG."""
    services = {name: _process(line, name) for name in ("dag-processor", "scheduler")}
    before = {name: _processor_seconds(process) for name, process in services.items()}
    memory: list[float] = []
    begin = time.monotonic()
    while (spent := time.monotonic() - begin) < seconds:
        memory.append(_memory(services["dag-processor"]))
        found.scheduler_memory = max(found.scheduler_memory, _memory(services["scheduler"]))
        found.oldest_look = max(found.oldest_look, float(rows_of(line, _OLDEST_LOOK)[0]["seconds"]))
        time.sleep(_LOOK_SECONDS)
    found.cores = {name: (_processor_seconds(services[name]) - before[name]) / spent for name in services}
    half = len(memory) // 2
    found.memory = (max(memory[:half]), max(memory[half:]))


def _play_chains(line: Line, found: Measured) -> None:
    """Runs one after the other, as people start them."""
    first, between = [], []
    for number in range(_RUNS):
        run = f"chain-{number}"
        line.trigger("chain", run, {})
        if line.finish("chain", run, 600) != "success":
            raise SystemExit(f"The run {run} failed.")
        tasks = rows_of(line, _TASKS, run=run)
        first.append((tasks[0]["start_date"] - tasks[0]["queued_at"]).total_seconds())
        pairs = itertools.pairwise(tasks)
        between += [(later["start_date"] - earlier["end_date"]).total_seconds() for earlier, later in pairs]
    found.first_task = statistics.median(first)
    found.between, found.between_longest = statistics.median(between), max(between)


def _process(line: Line, service: str) -> psutil.Process:
    return psutil.Process(line.stack.instance.processes[service].pid)


def _processor_seconds(process: psutil.Process) -> float:
    """Of it and its children, those that have ended, too."""
    times = process.cpu_times()
    spent = times.user + times.system + times.children_user + times.children_system
    for child in process.children(recursive=True):
        try:
            own = child.cpu_times()
        except psutil.Error:
            continue
        spent += own.user + own.system
    return float(spent)


def _memory(process: psutil.Process) -> float:
    """Bytes of it and its children; what they share is shared out among them."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_full_info().pss
        except psutil.Error:
            continue
    return float(total)

"""A stack with so many definitions, and what its dag-processor and its scheduler do with them."""

from __future__ import annotations

import itertools
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from include.spec.families import FAMILIES
from tests.bench.copies import names
from tests.bench.running import running_line
from tests.bench.watching import change, line_of, until, written
from tests.e2e.line import Line

_RUNS: Final = 10
_CHANGES: Final = 5
_LOOK_SECONDS: Final = 2.0
_OLDEST_LOOK: Final = "SELECT extract(epoch FROM now() - min(last_parsed_time)) AS seconds FROM dag WHERE NOT is_stale"
_TASKS: Final = """
    SELECT run.queued_at, task.start_date, task.end_date
    FROM task_instance AS task JOIN dag_run AS run USING (dag_id, run_id)
    WHERE dag_id = 'chain' AND run_id = :run ORDER BY task.start_date
"""
_BESIDE: Final = 100
"""Tasks of a run that may all begin at once."""
_IDLE: Final = '''"""Tasks that do nothing: one after the other, and all at once."""

from airflow.sdk import DAG, task


@task
def nothing() -> None:
    pass


with DAG(dag_id="chain", schedule=None) as chain:
    first = last = nothing()
    for _ in range(4):
        following = nothing()
        last >> following
        last = following

with DAG(dag_id="beside", schedule=None) as beside:
    for _ in range({beside}):
        nothing()
'''.replace("{beside}", str(_BESIDE))


@dataclass(kw_only=True)
class Measured:
    """Figures of one number of models; times in seconds, memory in bytes.

    :param oldest_look: the longest time since a file was last parsed.
    :param cores: processors that a service and its children used on average while nothing ran.
    :param memory: the dag-processor's with its children, at most, in each half of the quiet time.
    :param first_task: from a trigger to the start of the run's first task.
    :param between: from the end of a task to the start of the next one.
    :param rate: tasks that do nothing, a second, if all may begin at once.
    :param task_cost: processor seconds of each: of the scheduler itself, of the task's processes, of the API server.
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
    rate: float = 0.0
    task_cost: dict[str, float] = field(default_factory=dict)
    change_seen: float = 0.0


def measure(folder: Path, models: int, quiet_seconds: float) -> Measured:
    """Start such a stack, watch it for so long and at least until each file is parsed once more, stop it."""
    line = line_of(folder, models)
    (folder / "dags" / "chain.py").write_text(_IDLE)
    found = Measured(models=models)
    begin = time.monotonic()
    with running_line(line):
        wanted = models * len(FAMILIES) + 2
        until(lambda: len(written(line)) >= wanted, "Airflow does not know all DAGs")
        found.known_seconds = time.monotonic() - begin
        found.dags = wanted
        found.interval = float(line.stack.environment()["AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL"])
        _watch(line, found, max(quiet_seconds, found.interval))
        _play_chains(line, found)
        _play_beside(line, found)
        found.change_seen = statistics.median(change(line, name, touch=True) for name in names(models)[:_CHANGES])
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
        found.oldest_look = max(found.oldest_look, float(line.airflow_rows(_OLDEST_LOOK)[0]["seconds"]))
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
        tasks = line.airflow_rows(_TASKS, run=run)
        first.append((tasks[0]["start_date"] - tasks[0]["queued_at"]).total_seconds())
        pairs = itertools.pairwise(tasks)
        between += [(later["start_date"] - earlier["end_date"]).total_seconds() for earlier, later in pairs]
    found.first_task = statistics.median(first)
    found.between, found.between_longest = statistics.median(between), max(between)


def _play_beside(line: Line, found: Measured) -> None:
    """One run of tasks that all may begin at once: what a task costs, and how many a second this machine does."""
    scheduler, server = _process(line, "scheduler"), _process(line, "api-server")

    def spent() -> dict[str, float]:
        own = scheduler.cpu_times()
        itself = float(own.user + own.system)
        return {
            "scheduler": itself,
            "task": _processor_seconds(scheduler) - itself,
            "api-server": _processor_seconds(server),
        }

    before, began = spent(), time.monotonic()
    line.trigger("beside", "beside", {})
    if line.finish("beside", "beside", 900) != "success":
        raise SystemExit("The run of tasks that may all begin at once failed.")
    found.rate = _BESIDE / (time.monotonic() - began)
    found.task_cost = {name: (seconds - before[name]) / _BESIDE for name, seconds in spent().items()}


def _process(line: Line, service: str) -> psutil.Process:
    return psutil.Process(line.stack.instance.processes[service].pid)


def _processor_seconds(process: psutil.Process) -> float:
    """Of it and its children and theirs, those that have ended, too."""
    spent = 0.0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.Error):  # it has ended meanwhile
            times = one.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
    return spent


def _memory(process: psutil.Process) -> float:
    """Bytes of it and its children; what they share is shared out among them."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_full_info().pss
        except psutil.Error:
            continue
    return float(total)

"""A running stack with many models like one, whose trainings become due in the same minute by their own cron."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml

from include.settings import PROJECT
from include.stack.airflow_api import FINISHED
from tests.bench.copies import names
from tests.bench.many.fairness import Ran
from tests.bench.running import running_line
from tests.bench.watching import until
from tests.e2e.line import Line

MODEL: Final = "tumor_malignant"
_PARSED_SECONDS: Final = 600.0
_AHEAD: Final = timedelta(seconds=90)
_BREADTH_FIRST: Final = """

for dag in list(globals().values()):
    for task in getattr(dag, "tasks", ()):
        if str(task.weight_rule) == "upstream":
            task.weight_rule = "downstream"
"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What Airflow's database says at the end.

    :param runs: state by DAG.
    :param unfinished: DAGs whose run is still open, or was never made.
    :param tasks: all task instances that ran; of several tries the last one.
    :param failed: names of those that failed.
    :param retries: how often a task was tried again.
    :param slots: of each pool.
    """

    runs: Mapping[str, str]
    unfinished: list[str]
    tasks: list[Ran]
    failed: list[str]
    retries: int
    slots: Mapping[str, int]


@contextmanager
def stack_of(folder: Path, count: int, *, breadth_first: bool) -> Iterator[Line]:
    """So many models with published data, DAGs that Airflow knows, no schedules yet."""
    line = Line(folder)
    for room in ("models", "expectations", "dags"):
        (folder / room).mkdir(parents=True)
    shutil.copy(PROJECT / "dags" / "noria_alerts.py", folder / "dags")
    dag_file = (PROJECT / "dags" / f"{MODEL}.py").read_text() + (_BREADTH_FIRST if breadth_first else "")
    for name in names(count):
        _define(folder, name, None)
        shutil.copytree(PROJECT / "expectations" / MODEL, folder / "expectations" / name)
        (folder / "dags" / f"{name}.py").write_text(dag_file)
    with running_line(line):
        _done(line, "include.datasets", MODEL)
        _done(line, "tests.bench.line.data", *names(count))
        until(lambda: _parsed(line) == 2 * count, "Airflow does not know all DAGs", _PARSED_SECONDS)
        # What a training starts is not part of it.
        line.api.call("PATCH", "/dags?dag_id_pattern=%25.deploy", json={"is_paused": True})
        yield line


def due_together(line: Line, count: int) -> datetime:
    """Give all definitions a cron by which their training is due in the same minute, and wait for it."""
    for _ in range(5):
        due = (datetime.now(UTC) + _AHEAD + timedelta(seconds=59)).replace(second=0, microsecond=0)
        for name in names(count):
            _define(line.home, name, f"{due.minute} {due.hour} * * *")
        if _is_planned(line, due, count):
            return due
    raise SystemExit("Airflow did not see all changed definitions before they were due.")


def outcome(line: Line, due: datetime, count: int, *, patience: float) -> Outcome:
    """Wait until all runs have ended, or the patience has; then what Airflow's database says."""
    deadline = time.monotonic() + patience
    runs: dict[str, str] = {}
    said = 0
    while True:
        runs = {row["dag_id"]: row["state"] for row in line.airflow_rows(_RUNS, due=due)}
        ended = len([state for state in runs.values() if state in FINISHED])
        if ended >= said + 10:
            said = ended
            print(f"  {ended} runs have ended after {(datetime.now(UTC) - due).total_seconds():.0f} s")
        if ended == count or time.monotonic() > deadline:
            break
        time.sleep(2)
    rows = line.airflow_rows(_TASKS, due=due)
    return Outcome(
        runs=runs,
        unfinished=[name for name in map(_train, names(count)) if runs.get(name) not in FINISHED],
        tasks=[_ran(row) for row in rows if row["state"] in _RAN and row["start_date"] and row["end_date"]],
        failed=[f"{row['dag_id']} {row['task_id']}" for row in rows if row["state"] == "failed"],
        retries=sum(max(row["try_number"] - 1, 0) for row in rows),
        slots={row["pool"]: row["slots"] for row in line.airflow_rows("SELECT pool, slots FROM slot_pool")},
    )


_RAN: Final = frozenset({"success", "failed", "skipped"})
_RUNS: Final = "SELECT dag_id, state FROM dag_run WHERE dag_id LIKE '%.train' AND run_after = :due"
_TASKS: Final = """
    SELECT task.dag_id, task.task_id, task.pool, task.state, task.try_number, task.start_date, task.end_date
    FROM task_instance AS task JOIN dag_run AS run USING (dag_id, run_id)
    WHERE task.dag_id LIKE '%.train' AND run.run_after = :due
"""


def _ran(row: Mapping[str, Any]) -> Ran:
    return Ran(
        model=row["dag_id"].split(".")[0],
        task=row["task_id"],
        pool=row["pool"],
        start=row["start_date"].timestamp(),
        end=row["end_date"].timestamp(),
    )


def _train(model: str) -> str:
    return f"{model}.train"


def _define(folder: Path, name: str, cron: str | None) -> None:
    """Write a definition, whole at once: Airflow may be reading it."""
    document = yaml.safe_load((PROJECT / "include" / "models" / f"{MODEL}.yaml").read_text())
    document["model"] = name
    document["schedule"] = {"train": cron} if cron else {}
    document["source"]["time_zone"] = "UTC"
    partial = folder / "models" / f"{name}.partial"
    partial.write_text(yaml.safe_dump(document, sort_keys=False))
    partial.rename(folder / "models" / f"{name}.yaml")


def _is_planned(line: Line, due: datetime, count: int) -> bool:
    """Whether, some seconds before it is due, Airflow plans every training for then."""
    query = "SELECT count(*) AS planned FROM dag WHERE dag_id LIKE '%.train' AND next_dagrun_create_after = :due"
    while datetime.now(UTC) < due - timedelta(seconds=5):
        if line.airflow_rows(query, due=due)[0]["planned"] == count:
            return True
        time.sleep(1)
    return False


def _parsed(line: Line) -> int:
    query = "SELECT count(*) AS parsed FROM serialized_dag WHERE dag_id LIKE '%.train' OR dag_id LIKE '%.deploy'"
    return int(line.airflow_rows(query)[0]["parsed"])


def _done(line: Line, module: str, *words: str) -> None:
    done = line.command("exec", "python", "-m", module, *words, seconds=1200)
    if done.returncode != 0:
        raise SystemExit(f"{module} failed:\n{done.stdout}{done.stderr}")

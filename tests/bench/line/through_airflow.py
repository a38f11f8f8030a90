"""One run of ``<model>.train`` through Airflow, and what its task instances and the steps' own lines say of times."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from include.stack.airflow_api import FINISHED, AirflowApi
from tests.bench.line.timing import Row, TaskTimes, split_run

_POLL_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 600.0
# The step's process is there; its function begins; it is done.
_FORKED: Final = re.compile(r"^step \w+ runs as process")
_BEGAN: Final = re.compile(r"^\w+ of \w+ as of \S+ starts ")
_DONE: Final = re.compile(r"^\w+ of \w+ done in ")


def train_through_airflow(api: AirflowApi, dag_id: str, run_id: str, as_of: str) -> dict[str, Row]:
    """Start a run, wait for its end; seconds by task and part.

    :raises SystemExit: if it does not succeed.
    """
    asked = time.time()
    api.trigger(dag_id, run_id, {"as_of": as_of})
    while (run := api.run(dag_id, run_id))["state"] not in FINISHED:
        if time.time() - asked > _PATIENCE_SECONDS:
            raise SystemExit(f"{dag_id} {run_id} did not end.")
        time.sleep(_POLL_SECONDS)
    if run["state"] != "success":
        failed = [task.task for task in api.tasks(dag_id, run_id) if task.state == "failed"]
        raise SystemExit(f"{dag_id} {run_id} failed in {', '.join(failed)}.")
    return split_run(list(_tasks(api, dag_id, run_id)), asked, _seconds(run["end_date"]))


def _tasks(api: AirflowApi, dag_id: str, run_id: str) -> Iterable[TaskTimes]:
    path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
    for item in api.call("GET", path)["task_instances"]:
        if item["start_date"] is None:
            continue
        lines = api.call("GET", f"{path}/{item['task_id']}/logs/{item['try_number']}", params={"full_content": "true"})
        yield TaskTimes(
            task=item["task_id"],
            start=_seconds(item["start_date"]),
            end=_seconds(item["end_date"]),
            **marks([line for line in lines["content"] if isinstance(line, dict)]),
        )


def marks(lines: Iterable[dict[str, Any]]) -> dict[str, float]:
    """When the step's process was there, its function began and was done; empty for a task that is no step."""
    found: dict[str, float] = {}
    for line in lines:
        for name, pattern in (("forked", _FORKED), ("began", _BEGAN), ("done", _DONE)):
            if pattern.match(str(line.get("event", ""))) and line.get("timestamp"):
                found[name] = _seconds(line["timestamp"])
    return found


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()

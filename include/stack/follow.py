"""Starting a DAG run and following it on the terminal until it ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from include.errors import NoriaError
from include.stack.airflow_api import FINISHED, AirflowApi, TaskState

_PREFIX = "make-run"
# Each look costs Airflow's API server a part of the processor that the steps want.
_POLL_SECONDS = 1.0
_SHOWN = {"success": "✓", "skipped": "–", "failed": "✗", "upstream_failed": "·", "up_for_retry": "↻"}


class RunFailed(NoriaError):
    """A DAG run ended in failure; carries the failed tasks and what they said."""

    def __init__(self, dag_id: str, run_id: str, messages: Mapping[str, str]) -> None:
        self.dag_id = dag_id
        self.run_id = run_id
        self.messages = dict(messages)
        told = "\n".join(f"  {task}: {message}" for task, message in messages.items()) or "  (no task failed)"
        super().__init__(f"The run {run_id} of {dag_id} failed.\n{told}")


class RunTooLong(NoriaError):
    """A DAG run did not end in time."""

    def __init__(self, dag_id: str, run_id: str, seconds: float) -> None:
        super().__init__(
            f"The run {run_id} of {dag_id} did not end within {seconds:.0f} s; look at it in Airflow's UI."
        )


@dataclass
class FollowedRun:
    """A finished run with its tasks and what the steps returned."""

    dag_id: str
    run_id: str
    seconds: float
    tasks: dict[str, TaskState]
    outputs: dict[str, Any] = field(default_factory=dict)


class Follower:
    """Runs DAGs one after another and shows their tasks as they end."""

    def __init__(self, api: AirflowApi, *, limit_seconds: float = 1800) -> None:
        self._api = api
        self._limit = limit_seconds

    def run(self, dag_id: str, conf: Mapping[str, object]) -> FollowedRun:
        """Trigger a DAG and wait for its end. A run that an interrupted call left behind is finished first.

        :raises RunFailed: with the messages of the tasks that failed.
        """
        left_behind = self._left_behind(dag_id, conf)
        if left_behind is not None:
            print(f"\n{dag_id}  (going on with {left_behind})", flush=True)
            try:
                return self._follow(dag_id, left_behind)
            except RunFailed as failure:
                print(f"  that run failed; starting a new one. {failure}", flush=True)
        run_id = f"{_PREFIX}__{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"
        self._api.trigger(dag_id, run_id, conf)
        print(f"\n{dag_id}", flush=True)
        return self._follow(dag_id, run_id)

    def follow(self, dag_id: str, run_id: str) -> FollowedRun:
        """Wait for a run that something else started."""
        print(f"\n{dag_id}", flush=True)
        return self._follow(dag_id, run_id)

    def _left_behind(self, dag_id: str, conf: Mapping[str, object]) -> str | None:
        for run in self._api.runs(dag_id):
            ours = run["dag_run_id"].startswith(_PREFIX) and run["state"] not in FINISHED
            if ours and {**run["conf"], **conf} == run["conf"]:
                return str(run["dag_run_id"])
        return None

    def _follow(self, dag_id: str, run_id: str) -> FollowedRun:
        begin = time.monotonic()
        shown: dict[tuple[str, int], str] = {}
        while True:
            # State first, tasks second: what the last look at the tasks shows is then final.
            state = self._api.run(dag_id, run_id)["state"]
            tasks = self._api.tasks(dag_id, run_id)
            self._show(tasks, shown, time.monotonic() - begin)
            if state in FINISHED:
                break
            if time.monotonic() - begin > self._limit:
                raise RunTooLong(dag_id, run_id, self._limit)
            time.sleep(_POLL_SECONDS)
        _transient("")
        if state == "failed":
            raise RunFailed(dag_id, run_id, self._messages(dag_id, run_id, tasks))
        outputs = {task.task: self._api.output(dag_id, run_id, task.task) for task in tasks if task.state == "success"}
        elapsed = time.monotonic() - begin
        return FollowedRun(dag_id, run_id, elapsed, {task.task: task for task in tasks}, outputs)

    def _show(self, tasks: list[TaskState], shown: dict[tuple[str, int], str], elapsed: float) -> None:
        for task in sorted(tasks, key=lambda item: item.seconds or 0):
            state = task.state or ""
            if state in _SHOWN and shown.get((task.task, task.attempt)) != state:
                shown[task.task, task.attempt] = state
                seconds = f"{task.seconds:6.1f} s" if task.seconds is not None and state != "skipped" else " " * 8
                _transient("")
                print(f"  {_SHOWN[state]} {task.task:<22}{seconds}  {'' if state == 'success' else state}", flush=True)
        running = [task.task for task in tasks if task.state in ("running", "deferred")]
        _transient(f"  … {', '.join(running)} ({elapsed:.0f} s)" if running else "")

    def _messages(self, dag_id: str, run_id: str, tasks: list[TaskState]) -> dict[str, str]:
        failed = [task for task in tasks if task.state == "failed"]
        return {task.task: _last_error(self._api.log_lines(dag_id, run_id, task)) for task in failed}


def _last_error(lines: list[str]) -> str:
    telling = [line for line in lines if "Exception: " in line or "Error: " in line]
    return (telling or [line for line in lines if line] or ["no log"])[-1]


def _transient(text: str) -> None:
    """A line that the next one replaces; only on a real terminal."""
    if sys.stdout.isatty():
        print(f"\r\x1b[2K{text}", end="", flush=True)

"""The few calls of Airflow's REST API that the command line needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import requests

from include.errors import NoriaError

FINISHED: Final = frozenset({"success", "failed"})
_TIMEOUT = 30


class AirflowRefused(NoriaError):
    """Airflow's API answered with an error; carries the status and the answer."""

    def __init__(self, call: str, status: int, answer: str) -> None:
        self.status = status
        self.answer = answer
        super().__init__(f"Airflow answered {status} to {call}: {answer[:500]}")


class DagBroken(NoriaError):
    """Airflow does not get to know a DAG; carries the import errors of DAG files."""

    def __init__(self, dag_id: str, errors: Mapping[str, str]) -> None:
        self.dag_id = dag_id
        self.errors = dict(errors)
        details = "\n".join(f"{file}: {_last_lines(trace)}" for file, trace in errors.items())
        cause = (
            f"and these DAG files do not import:\n{details}"
            if errors
            else "though every DAG file imports. The dag-processor is late or away: see its log, and `make status`."
        )
        super().__init__(f"Airflow has no DAG {dag_id}, {cause}")


@dataclass(frozen=True)
class TaskState:
    """A task instance as the API tells it; ``seconds`` is None while it has not run."""

    task: str
    state: str | None
    seconds: float | None
    attempt: int


class AirflowApi:
    """A client of one Airflow with Noria's local login (all are admins on loopback)."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {self._token()}"

    def _token(self) -> str:
        answer = requests.get(f"{self._url}/auth/token", timeout=_TIMEOUT)
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """One call below ``/api/v2``; the JSON answer, or None for 404.

        :raises AirflowRefused: for any other error.
        """
        answer = self._session.request(method, f"{self._url}/api/v2{path}", timeout=_TIMEOUT, **arguments)
        if answer.status_code == 404:
            return None
        if not answer.ok:
            raise AirflowRefused(f"{method} {path}", answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def has_dag(self, dag_id: str) -> bool:
        """Whether Airflow has parsed this DAG."""
        return self.call("GET", f"/dags/{dag_id}") is not None

    def import_errors(self) -> dict[str, str]:
        """Stack trace by file, for the DAG files that do not import."""
        answer = self.call("GET", "/importErrors") or {"import_errors": []}
        return {error["filename"]: error["stack_trace"] for error in answer["import_errors"]}

    def trigger(self, dag_id: str, run_id: str, conf: Mapping[str, object]) -> None:
        """Start a run; one that exists under this id is left as it is."""
        body = {"dag_run_id": run_id, "logical_date": None, "conf": dict(conf)}
        try:
            self.call("POST", f"/dags/{dag_id}/dagRuns", json=body)
        except AirflowRefused as refusal:
            if refusal.status != 409:
                raise

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """The newest runs of a DAG, newest first."""
        answer = self.call("GET", f"/dags/{dag_id}/dagRuns", params={"order_by": "-run_after", "limit": 50})
        return list(answer["dag_runs"]) if answer else []

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """One run: its state, times and conf."""
        answer = self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")
        if answer is None:
            raise AirflowRefused(f"GET run {run_id} of {dag_id}", 404, "there is no such run")
        return dict(answer)

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """The run's task instances."""
        answer = self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances") or {"task_instances": []}
        return [
            TaskState(task=item["task_id"], state=item["state"], seconds=item["duration"], attempt=item["try_number"])
            for item in answer["task_instances"]
        ]

    def output(self, dag_id: str, run_id: str, task: str) -> Any:
        """What a task returned, or None."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task}/xcomEntries/return_value"
        answer = self.call("GET", path, params={"stringify": "false"})
        value = answer["value"] if answer else None
        if isinstance(value, str) and value[:1] in "{[":
            return json.loads(value)
        return value

    def log_lines(self, dag_id: str, run_id: str, task: TaskState) -> list[str]:
        """The lines of a task's log for its last try."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task.task}/logs/{task.attempt}"
        answer = self.call("GET", path, params={"full_content": "true"}) or {"content": []}
        return [_log_line(entry) for entry in answer["content"]]


def _log_line(entry: object) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    detail = entry.get("error_detail") or []
    causes = [f"{item.get('exc_type')}: {item.get('exc_value')}" for item in detail if isinstance(item, dict)]
    return " ".join([str(entry.get("event", "")), *causes]).strip()


def _last_lines(trace: str) -> str:
    lines = [line for line in trace.strip().splitlines() if line.strip()]
    return "\n  ".join(lines[-6:]) if lines else trace

"""What Airflow's own database says of runs: it is asked twice a second, which the REST API would feel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from tests.e2e.line import Line

_RUN = """SELECT state, extract(epoch FROM start_date)::float AS began, extract(epoch FROM end_date)::float AS ended
FROM dag_run WHERE dag_id = :dag AND run_id = :run"""
_TASKS = """SELECT task_id AS name, state, try_number AS tries, extract(epoch FROM start_date)::float AS began
FROM task_instance WHERE dag_id = :dag AND run_id = :run"""
_OTHERS = "SELECT dag_id, run_id FROM dag_run WHERE dag_id LIKE :dags AND state NOT IN ('success', 'failed')"
_OF_TASK = "SELECT dag_id, run_id FROM task_instance WHERE id = CAST(:id AS uuid)"
_UNDER_WAY = ("running", "deferred", "queued", "scheduled", "up_for_retry", "up_for_reschedule", "restarting")


@dataclass(frozen=True)
class Seen:
    """A run at one moment.

    :param began: seconds since 1970; None while it is queued.
    :param ended: None while it is not at its end.
    :param moved: when a try of one of its tasks began last.
    :param tasks: those under way.
    :param tries: tries of its tasks beyond the first.
    :param failed: tasks that failed for good.
    """

    state: str
    began: float | None
    ended: float | None
    moved: float
    tasks: Sequence[str]
    tries: int
    failed: Sequence[str]

    def is_under_way(self, since: float) -> bool:
        """Whether it runs and has got on since then: one that still waits for its rescue shows nothing new."""
        return self.state == "running" and self.began is not None and max(self.began, self.moved) > since

    def ran_at(self, at: float) -> bool:
        """Whether it was running at that moment, as is known afterwards."""
        return self.began is not None and self.began <= at and (self.ended is None or self.ended > at)


class Observer:
    """Looks at the runs of one stack."""

    def __init__(self, line: Line) -> None:
        self._engine = sa.create_engine(line.stack.postgres.url("airflow"), poolclass=sa.NullPool)

    def look(self, dag_id: str, run_id: str) -> Seen:
        """How a run is."""
        with self._engine.connect() as connection:
            [run] = _rows(connection, _RUN, dag=dag_id, run=run_id)
            tasks = _rows(connection, _TASKS, dag=dag_id, run=run_id)
        return Seen(
            run["state"],
            run["began"],
            run["ended"],
            max((task["began"] or 0.0 for task in tasks), default=0.0),
            sorted(task["name"] for task in tasks if task["state"] in _UNDER_WAY),
            sum(max(0, task["tries"] - 1) for task in tasks),
            sorted(task["name"] for task in tasks if task["state"] == "failed"),
        )

    def under_way(self, model: str) -> list[tuple[str, str]]:
        """DAG and run of all that a model does."""
        with self._engine.connect() as connection:
            found = _rows(connection, _OTHERS, dags=f"{model}.%")
        return [(row["dag_id"], row["run_id"]) for row in found]

    def run_of(self, task: str) -> tuple[str, str] | None:
        """DAG and run of a task instance."""
        with self._engine.connect() as connection:
            found = _rows(connection, _OF_TASK, id=task)
        return (found[0]["dag_id"], found[0]["run_id"]) if found else None


def _rows(connection: sa.Connection, statement: str, **parameters: object) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(sa.text(statement), parameters).mappings()]

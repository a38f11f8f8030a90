"""Which page a task has written: as its output says, or, where a refusal left none, as its check was recorded."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy import select

from include.console.model import page_at
from include.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

CHECKS: Final = {
    "gate_raw": ("gate", "raw"),
    "gate_features": ("gate", "features"),
    "gate_training": ("gate", "training"),
    "gate_predictions": ("gate", "predictions"),
    "evaluate": ("evaluation", "evaluate"),
    "decide": ("decision", "decide"),
    "monitor": ("drift", "monitor"),
}
"""The check that a task records, by its name: kind and stage."""


@dataclass(frozen=True)
class TaskReport:
    """A page, below ``reports/<model>/``."""

    model: str
    page: str


def report_of(
    session: Session, settings: Settings, *, dag_id: str, task_id: str, run_id: str, map_index: int
) -> TaskReport | None:
    """The page of a task instance's last try; None if it has none.

    :raises DatabaseAway: the registry's database cannot be reached.
    """
    if task_id not in CHECKS:
        return None
    model = dag_id.partition(".")[0]
    where = {"dag_id": dag_id, "task_id": task_id, "run_id": run_id, "map_index": map_index}
    page = _of_output(session, where) or _of_check(session, settings, model, where)
    prefix = f"reports/{model}/"
    return TaskReport(model, page.removeprefix(prefix)) if page and page.startswith(prefix) else None


def _of_output(session: Session, where: dict[str, Any]) -> str | None:
    conditions = [getattr(XComModel, name) == value for name, value in where.items()]
    value = session.scalar(select(XComModel.value).where(*conditions, XComModel.key == "return_value"))
    output = json.loads(value) if isinstance(value, str) else value
    page = output.get("page") if isinstance(output, dict) else None
    return page if isinstance(page, str) else None


def _of_check(session: Session, settings: Settings, model: str, where: dict[str, Any]) -> str | None:
    conditions = [getattr(TaskInstance, name) == value for name, value in where.items()]
    query = select(TaskInstance.start_date, TaskInstance.end_date).where(*conditions)
    found = session.execute(query).one_or_none()
    if found is None or found.start_date is None:
        return None
    kind, stage = CHECKS[where["task_id"]]
    return page_at(settings, model, kind, stage, found.start_date, found.end_date or datetime.now(UTC))

"""The way from a task to the MLflow run of the version that it makes, judges or deploys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import requires_access_dag
from airflow.models.dagrun import DagRun
from airflow.models.xcom import XComModel
from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import RedirectResponse
from sqlalchemy import select

from include.registry.versions import get_version
from plugins.operators.environment import project_settings, tracking_page

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

router = APIRouter()
_MAKES_THE_RUN: Final = "train"
"""The task of a training run whose output names the MLflow run."""


@router.get(
    "/tasks/{dag_id}/{task_id}/mlflow",
    dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.XCOM))],
)
def task_tracking(dag_id: str, task_id: str, run_id: str, session: SessionDep) -> RedirectResponse:
    """Lead on to MLflow. Which task of the run asks makes no difference: a run is about one version."""
    found = tracked_run(session, dag_id, run_id)
    if found is None:
        raise HTTPException(404, f"The run of {task_id} has made no version yet, so there is nothing of it in MLflow.")
    return RedirectResponse(f"{tracking_page()}/#/runs/{quote(found, safe='')}", status_code=302)


def tracked_run(session: Session, dag_id: str, run_id: str) -> str | None:
    """The MLflow run of what an Airflow run has trained, or of the version that it was started for.

    :raises VersionUnknown: there is no such version.
    :raises DatabaseAway: the registry's database cannot be reached.
    """
    where = (XComModel.dag_id == dag_id, XComModel.run_id == run_id, XComModel.task_id == _MAKES_THE_RUN)
    value = session.scalar(select(XComModel.value).where(*where, XComModel.key == "return_value"))
    output: Any = json.loads(value) if isinstance(value, str) else value
    if isinstance(output, dict) and isinstance(output.get("run_id"), str):
        return str(output["run_id"])
    conf = session.scalar(select(DagRun.conf).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    version = conf.get("version") if isinstance(conf, dict) else None
    if not isinstance(version, int):
        return None
    return get_version(project_settings(), dag_id.partition(".")[0], version).run_id

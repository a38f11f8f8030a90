"""The pages that steps have written, for whoever may look at their model; and the way to them from a task."""

from __future__ import annotations

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import HTMLResponse

from include.console.report_files import report_page
from plugins.operators.environment import project_settings
from plugins.pages.headers import REPORT
from plugins.pages.permissions import ReadableModel
from plugins.pages.task_reports import report_of

router = APIRouter()
_HEADERS = {"Content-Security-Policy": REPORT, "Cache-Control": "no-cache"}


@router.get("/reports/{model}/{page:path}")
def report(model: ReadableModel, page: str) -> HTMLResponse:
    """A page of the model's: of a gate, an evaluation, a check for drift, a deployment."""
    return HTMLResponse(report_page(project_settings(), model, page), headers=_HEADERS)


@router.get(
    "/tasks/{dag_id}/{task_id}/report",
    dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.XCOM))],
)
def task_report(dag_id: str, task_id: str, run_id: str, session: SessionDep, map_index: int = -1) -> HTMLResponse:
    """The page that a task's last try has written."""
    settings = project_settings()
    found = report_of(session, settings, dag_id=dag_id, task_id=task_id, run_id=run_id, map_index=map_index)
    if found is None:
        raise HTTPException(404, "This task has written no page yet, or none was kept.")
    return HTMLResponse(report_page(settings, found.model, found.page), headers=_HEADERS)

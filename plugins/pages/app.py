"""The pages as a FastAPI application. Whoever may read a DAG's task instances may read the pages of their pods."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse

from plugins.pages import cards
from plugins.pages.pod import pod_page

app = FastAPI(title="Noria", docs_url=None, redoc_url=None, openapi_url=None)
app.include_router(cards.router)


@app.get(
    "/pods/{dag_id}/{task_id}",
    dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE))],
    response_class=HTMLResponse,
)
def pod(
    dag_id: str, task_id: str, run_id: Annotated[str, Query()], session: SessionDep, map_index: int = -1
) -> HTMLResponse:
    """State and events of the pod of a task instance's last try."""
    page = pod_page(session, dag_id=dag_id, task_id=task_id, run_id=run_id, map_index=map_index)
    return HTMLResponse(page.html, status_code=200 if page.found else 404)

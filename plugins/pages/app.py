"""The pages as a FastAPI application, each behind Airflow's login: a model's are for whoever may look at its DAGs."""

from __future__ import annotations

from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse

from include.errors import NoriaError, Refused, TryAgain
from plugins.pages import built, cards, clients, lineage, models, reports, task_tracking
from plugins.pages.headers import REPORT, SafeHeaders
from plugins.pages.pod import pod_page

app = FastAPI(title="Noria", docs_url=None, redoc_url=None, openapi_url=None)
app.add_middleware(SafeHeaders)
app.include_router(cards.router)
app.include_router(models.router)
app.include_router(clients.router)
app.include_router(lineage.router)
app.include_router(reports.router)
app.include_router(task_tracking.router)
app.include_router(built.router)


@app.exception_handler(NoriaError)
def explain(request: Request, error: NoriaError) -> JSONResponse:  # noqa: ARG001 - FastAPI's own signature
    """Say what is wrong: what was asked for is not there, something outside is away, or it is a defect."""
    status = 404 if isinstance(error, Refused) else 503 if isinstance(error, TryAgain) else 500
    return JSONResponse({"detail": str(error)}, status_code=status)


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
    status = 200 if page.found else 404
    return HTMLResponse(page.html, status_code=status, headers={"Content-Security-Policy": REPORT})

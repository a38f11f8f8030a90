"""The model card of a version: one address for each, for whoever may look at the model's DAG ``<model>.train``."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import APIRouter, Depends, HTTPException, Path, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from include.errors import Refused, TryAgain
from plugins.operators.environment import project_settings

router = APIRouter()

_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'",
}

Model = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Version = Annotated[int, Path(ge=1, le=2**31 - 1)]


def may_look(request: Request, user: GetUserDep) -> None:
    """Let those through who may look at the DAG that trains the model; else 403."""
    requires_access_dag("GET", param_dag_id=f"{request.path_params['model']}.train")(request, user)


@router.get("/models/{model}/versions/{version}/card", dependencies=[Depends(may_look)])
def card(model: Model, version: Version, form: Literal["html", "markdown", "json"] = "html") -> Response:
    """The card as it is now: what was measured at registration, and what has become of the version since."""
    from include.reports.model_card_life import read_card
    from include.reports.model_card_page import card_document, markdown_card, render_card

    try:
        found, life = read_card(project_settings(), model, version)
    except Refused as error:
        raise HTTPException(404, str(error)) from None
    except TryAgain as error:
        raise HTTPException(503, str(error)) from None
    if form == "markdown":
        return PlainTextResponse(markdown_card(found, life), media_type="text/markdown", headers=_HEADERS)
    if form == "json":
        return Response(card_document(found, life), media_type="application/json", headers=_HEADERS)
    return HTMLResponse(render_card(found, life), headers=_HEADERS)

"""The model card of a version: one address for each, for whoever may look at the model's DAG ``<model>.train``."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from plugins.operators.environment import project_settings
from plugins.pages.headers import REPORT
from plugins.pages.permissions import ReadableModel

router = APIRouter()

_HEADERS: Final = {"Content-Security-Policy": REPORT, "Cache-Control": "no-cache"}

Version = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.get("/models/{model}/versions/{version}/card")
def card(
    model: ReadableModel,
    version: Version,
    form: Literal["html", "markdown", "json"] = "html",
    theme: Literal["light", "dark"] | None = None,
) -> Response:
    """The card as it is now: what was measured at registration, and what has become of the version since.

    Without a theme it is light or dark as the reader's system is.
    """
    from include.reports.layout import in_theme
    from include.reports.model_card_life import read_card
    from include.reports.model_card_page import card_document, markdown_card, render_card

    found, life = read_card(project_settings(), model, version)
    if form == "markdown":
        return PlainTextResponse(markdown_card(found, life), media_type="text/markdown", headers=_HEADERS)
    if form == "json":
        return Response(card_document(found, life), media_type="application/json", headers=_HEADERS)
    page = render_card(found, life)
    return HTMLResponse(in_theme(page, theme) if theme else page, headers=_HEADERS)

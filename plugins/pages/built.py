"""The console's front end as it was built: one page, its script, its style. Sources: ``plugins/pages/frontend``."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Final

from airflow.api_fastapi.core_api.security import get_user
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import FileResponse, RedirectResponse, Response

STATIC: Final = Path(__file__).resolve().parent / "static"
_KINDS: Final = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}

router = APIRouter(prefix="/models", dependencies=[Depends(get_user)])


@router.get("")
def without_slash(request: Request) -> RedirectResponse:
    """The page's addresses are relative to the folder."""
    return RedirectResponse(f"{request.url.path}/", status_code=308)


@router.get("/")
def index() -> Response:
    """The list."""
    return _page()


@router.get("/assets/{name}")
def asset(name: str) -> Response:
    """A script or style; its name changes with its content."""
    folder = STATIC / "assets"
    path = folder / name
    if path.parent != folder or not path.is_file():
        raise HTTPException(404, "There is no such file.")
    kind = _KINDS.get(path.suffix) or mimetypes.guess_type(name)[0]
    return FileResponse(path, media_type=kind, headers={"Cache-Control": "private, max-age=31536000, immutable"})


@router.get("/{model}")
def model(model: str) -> Response:  # noqa: ARG001 - the page reads it from its address
    """The page of one model; what it may show is asked of the API."""
    return _page()


def _page() -> Response:
    return FileResponse(STATIC / "index.html", media_type="text/html", headers={"Cache-Control": "no-cache"})

"""How the server answers: JSON by orjson, the request's id in every answer, and no error that shows a stack trace."""

from __future__ import annotations

import logging
import re
import uuid
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from include.serving.validation import RequestRefused

_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_log = logging.getLogger(__name__)


class Json(Response):
    """A JSON answer; floats are written so that reading them gives the same double."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Bytes of the document."""
        return orjson.dumps(content)


class RequestId:
    """Gives each request an id (the caller's ``X-Request-Id`` if it is a plain one) and each answer its header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value.decode("latin-1") for key, value in scope["headers"] if key == b"x-request-id"), "")
        request_id = given if _GIVEN_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        await self._app(scope, receive, send_with_id)


def request_id(request: Request) -> str:
    """The id of the request."""
    return str(request.scope["state"]["request_id"])


def refusal(request: Request, refused: RequestRefused, headers: dict[str, str] | None = None) -> Json:
    """The answer to a request that is refused."""
    return Json({**refused.to_document(), "request_id": request_id(request)}, refused.status, headers)


def install(app: FastAPI) -> None:
    """Make every error a JSON document ``{"error", "field", "row", "request_id"}``."""

    async def refused(request: Request, error: Exception) -> Response:
        if not isinstance(error, RequestRefused):
            raise error
        return refusal(request, error)

    async def of_http(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        problem = f"{error.detail}: {request.method} {request.url.path}. The addresses are listed at /docs."
        return refusal(request, RequestRefused(error.status_code, problem), dict(error.headers or {}))

    async def of_defect(request: Request, error: Exception) -> Response:
        _log.error("request %s failed", request_id(request), exc_info=error)
        problem = "The server failed on this request; its log has the request's id."
        answer = refusal(request, RequestRefused(500, problem))
        # Starlette sends this answer outside of all middleware.
        answer.headers["x-request-id"] = request_id(request)
        return answer

    app.add_exception_handler(RequestRefused, refused)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(Exception, of_defect)
    app.add_middleware(RequestId)

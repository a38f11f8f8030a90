"""The addresses of the server."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from include.serving.answers import Json, refusal, request_id
from include.serving.follower import Follower
from include.serving.loaded import ModelFailed
from include.serving.prediction import Predictor, answering, find
from include.serving.validation import RequestRefused

_log = logging.getLogger(__name__)
_PROBLEM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "error": {"type": "string"},
        "field": {"type": ["string", "null"]},
        "row": {"type": ["integer", "null"]},
        "request_id": {"type": "string"},
    },
}
_PREDICTIONS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "model": {"type": "string"},
        "version": {"type": "integer"},
        "predictions": {"type": "array", "items": {"type": "number"}},
        "request_id": {"type": "string"},
    },
}
_ROWS: dict[str, Any] = {
    "type": "object",
    "required": ["rows"],
    "additionalProperties": False,
    "properties": {
        "rows": {
            "type": "array",
            "minItems": 1,
            "description": "Raw input columns by name; `GET /models/{model}` lists them with their types.",
            "items": {
                "type": "object",
                "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
            },
        }
    },
}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    words = {
        400: "Not JSON",
        404: "No such model, or nothing of it in production",
        410: "The model is retired",
        413: "Too large a body or too many rows",
        415: "Not application/json",
        422: "A row or a field is wrong; says which",
        500: "The model failed on well-formed rows",
        503: "Not loaded yet",
    }
    content = {"application/json": {"schema": _PROBLEM}}
    return {status: {"description": words[status], "content": content} for status in statuses}


def build(follower: Follower, predictor: Predictor) -> APIRouter:
    """The routes over a follower's table and a predictor."""
    router = APIRouter()

    @router.post(
        "/models/{model}/predict",
        summary="Predict rows with the model's champion",
        tags=["predict"],
        responses={
            200: {"description": "Predictions", "content": {"application/json": {"schema": _PREDICTIONS}}},
            **_problems(400, 404, 410, 413, 415, 422, 500, 503),
        },
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": _ROWS}}}},
        response_class=Json,
    )
    async def predict(model: str, request: Request) -> Response:
        """Predictions in the order of the rows; the header X-Noria-Version says which version answered."""
        loaded = answering(follower.table, model)
        version = loaded.deployed.version
        headers = {"X-Noria-Version": str(version)}
        try:
            predictions = await predictor.predict(loaded, await predictor.read(request))
        except RequestRefused as refused:
            return refusal(request, refused, headers)
        except ModelFailed as failed:
            _log.error("request %s: %s", request_id(request), failed)
            problem = f"Version {version} of {model} failed on these rows; the server's log has the request's id."
            return refusal(request, RequestRefused(500, problem), headers)
        document = {"model": model, "version": version, "predictions": predictions, "request_id": request_id(request)}
        return Json(document, headers=headers)

    @router.get("/models", summary="All deployed models", tags=["models"], response_class=Json)
    async def models() -> Response:
        """Each model that was ever deployed, with the version that answers and what is wrong, if anything."""
        table = follower.table
        return Json(
            {
                "models": [table.models[name].to_document() for name in sorted(table.models)],
                "database_error": table.error,
                "database_error_since": table.error_since.isoformat() if table.error_since else None,
            }
        )

    @router.get(
        "/models/{model}", summary="One model", tags=["models"], responses=_problems(404, 503), response_class=Json
    )
    async def one_model(model: str) -> Response:
        """Status (serving, loading, stale, failed, none, retired), version, input columns, error and since when."""
        return Json(find(follower.table, model).to_document())

    @router.get("/health/live", summary="The process answers", tags=["health"], response_class=Json)
    async def live() -> Response:
        """Always 200."""
        return Json({"live": True})

    @router.get(
        "/health/ready",
        summary="Every champion answers",
        tags=["health"],
        responses=_problems(503),
        response_class=Json,
    )
    async def ready() -> Response:
        """200 when the state is known and each model with a champion has a version that answers; else 503."""
        table = follower.table
        document = {
            "ready": table.ready,
            "error": table.error,
            "models": {name: served.status for name, served in table.models.items()},
        }
        return Json(document, 200 if table.ready else 503)

    return router

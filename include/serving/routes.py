"""The addresses that FastAPI answers: models, health, metrics, and the documents of the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from include.serving import metrics
from include.serving.answers import Json
from include.serving.follower import Follower
from include.serving.lookup import champion, find, named
from include.serving.protocols import metadata
from include.serving.request_log.writer import RequestLog
from include.serving.table import Served
from include.settings import Settings


def build(settings: Settings, follower: Follower, log: RequestLog | None, is_draining: Callable[[], bool]) -> APIRouter:
    """The routes over a follower's table.

    :param settings: where the tables of labels are.
    :param log: the request log, whose losses are told.
    :param is_draining: whether the server is ending.
    """
    router = APIRouter(include_in_schema=False, default_response_class=Json)
    _add_models(router, settings, follower)
    _add_health(router, follower, log, is_draining)
    _add_protocol(router, follower, is_draining)

    @router.get("/metrics")
    async def all_metrics() -> Response:
        """Prometheus' text format, all processes together."""
        tell_ages(follower)
        return Response(metrics.page(), media_type=metrics.CONTENT_TYPE)

    return router


def _add_models(router: APIRouter, settings: Settings, follower: Follower) -> None:
    @router.get("/models")
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

    @router.get("/models/{model}")
    async def one_model(model: str) -> Response:
        """Status, version, roles, input columns, error and since when."""
        served = find(follower.table, model)
        return Json(served.to_document(), headers=_farewell(served))

    @router.get("/models/{model}/feedback")
    def labels(model: str) -> Response:
        """Labels that came back, counted as they stand now; not async, so it runs in a thread."""
        from include.serving.request_log.feedback import feedback_counts

        find(follower.table, model)
        return Json(feedback_counts(settings, model).to_document())


def _farewell(served: Served) -> dict[str, str]:
    """Headers of a model that is on its way out."""
    return {name.decode(): value.decode() for name, value in served.farewell}


def _add_health(router: APIRouter, follower: Follower, log: RequestLog | None, is_draining: Callable[[], bool]) -> None:
    @router.get("/health/live")
    async def live() -> Response:
        """Always 200."""
        return Json({"live": True})

    @router.get("/health/ready")
    async def ready() -> Response:
        """200 when the state is known and a model answers, or none has a champion; else 503. Needs no token."""
        table = follower.table
        is_ready = table.ready and not is_draining()
        document = {
            "ready": is_ready,
            "draining": is_draining(),
            "error": "The deployment state cannot be read now; /models says why." if table.error else None,
            "state_age_seconds": follower.state_age,
            "log_errors": log.errors if log else 0,
            "log_error": log.last_error if log else None,
            "models": {name: served.status for name, served in table.models.items()},
        }
        return Json(document, 200 if is_ready else 503)


def _add_protocol(router: APIRouter, follower: Follower, is_draining: Callable[[], bool]) -> None:
    def model_document(name: str, version: str | None) -> Response:
        served = find(follower.table, name)
        held = champion(served) if version is None else named(served, version)[1]
        loaded = served.loaded if version is None else held.loaded
        versions = _versions(served) if version is None else [held.deployed.version]
        if loaded is None:
            return Json({"error": f"Version {held.deployed.version} of {name} is not in memory."}, 503)
        return Json(
            metadata.model_metadata(
                name, versions, loaded.columns, loaded.entity, trainer=loaded.trainer, classes=loaded.classes
            ),
            headers=_farewell(served),
        )

    def model_ready(name: str, version: str | None) -> Response:
        served = find(follower.table, name)
        held = champion(served) if version is None else named(served, version)[1]
        is_ready = held.status in {"serving", "on demand"} or (version is None and served.loaded is not None)
        number = held.deployed.version
        return Json(metadata.model_ready(name, number, is_ready), 200 if is_ready else 503)

    @router.get("/v2")
    async def server() -> Response:
        return Json(metadata.server_metadata())

    @router.get("/v2/health/live")
    async def live() -> Response:
        return Json(metadata.server_live())

    @router.get("/v2/health/ready")
    async def ready() -> Response:
        is_ready = follower.table.ready and not is_draining()
        return Json(metadata.server_ready(is_ready), 200 if is_ready else 503)

    @router.get("/v2/models/{model}")
    async def of_model(model: str) -> Response:
        return model_document(model, None)

    @router.get("/v2/models/{model}/versions/{version}")
    async def of_version(model: str, version: str) -> Response:
        return model_document(model, version)

    @router.get("/v2/models/{model}/ready")
    async def ready_model(model: str) -> Response:
        return model_ready(model, None)

    @router.get("/v2/models/{model}/versions/{version}/ready")
    async def ready_version(model: str, version: str) -> Response:
        return model_ready(model, version)


def _versions(served: Served) -> list[int]:
    return sorted({held.deployed.version for held in served.roles.values()})


def tell_ages(follower: Follower) -> None:
    """Bring this process's gauges up to date; each process does so, since whoever is asked tells those of all."""
    now: Any = datetime.now(UTC)
    for name, served in follower.table.models.items():
        if served.loaded is not None:
            metrics.MODEL_AGE.labels(name).set((now - served.loaded.deployed.as_of).total_seconds())
    if follower.state_age is not None:
        metrics.STATE_AGE.set(follower.state_age)
    metrics.MODELS_LOADED.set(follower.loaded_count)

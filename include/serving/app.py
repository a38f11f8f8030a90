"""The server's application: routes over a follower and a predictor, started and stopped with the process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from include.serving import answers, routes
from include.serving.follower import Follower
from include.serving.limits import Limits
from include.serving.prediction import Predictor
from include.settings import Settings


def build(settings: Settings, limits: Limits | None = None) -> FastAPI:
    """An application that follows the deployment state of a database while it runs.

    :param settings: database, MLflow and home.
    :param limits: limits of requests and pace; the defaults suit a laptop.
    """
    limits = limits or Limits()
    follower = Follower(settings, limits)
    predictor = Predictor(limits)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        follower.start()
        yield
        follower.stop()
        predictor.close()

    app: FastAPI = FastAPIOffline(
        title="Noria inference server",
        version="1",
        description="Predictions of the models in production.",
        lifespan=life,
        swagger_ui_parameters={"validatorUrl": None},
    )
    answers.install(app)
    app.include_router(routes.build(follower, predictor))
    return app


def create() -> FastAPI:
    """The application of a server process, from the environment; each worker process makes its own."""
    import mlflow.pyfunc  # noqa: F401 - seconds of import, paid before the first request and not beside it

    return build(Settings.from_environment())

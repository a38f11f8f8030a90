"""The server's application: gateway, follower, predictor and log put together, started and stopped with the process."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from include.hashing import Hashing
from include.serving import answers, metrics, openapi, operations, routes
from include.serving.access import Access
from include.serving.follower import Follower
from include.serving.gateway import Gateway
from include.serving.limits import Limits
from include.serving.past import PastLookup
from include.serving.prediction import Predictor
from include.serving.request_log.segments import log_folder
from include.serving.request_log.writer import RequestLog
from include.serving.shadow import ShadowSender, socket_path
from include.serving.shared_state import SharedState
from include.serving.source import FixedSource, RegistrySource
from include.settings import Settings

_LOOK_SECONDS = 0.02
_COUNT_SECONDS = 0.25


class Server:
    """Everything that one worker process runs.

    :param settings: database, MLflow and home.
    :param limits: limits of requests and pace; the defaults suit a laptop.
    :param access: who may ask; everybody if left out.
    :param fixed: a deployment that never changes, in place of what the database says; then nothing is logged either,
        since nothing here could bring a log into the tables.
    :param shared: what this server's processes share; None for one that is alone.
    """

    def __init__(
        self,
        settings: Settings,
        limits: Limits | None = None,
        access: Access | None = None,
        fixed: FixedSource | None = None,
        shared: SharedState | None = None,
    ) -> None:
        self._limits = limits or Limits()
        source = fixed or RegistrySource(settings, shared)
        self.follower = Follower(settings, self._limits, remembers=fixed is None, source=source)
        self.log = None if fixed else RequestLog(log_folder(settings.home), hashing=Hashing.of(settings))
        self._pairs = ShadowSender(socket_path(settings.home))
        self._past = PastLookup(settings, self._limits.history_seconds)
        self._predictor = Predictor(self.follower, self._limits, self._past, self.log, self._pairs)
        self._counting: asyncio.Task[None] | None = None
        self._counted = (0, 0)
        self.gateway = Gateway(
            self._predictor,
            access or Access(),
            self._limits,
            operations={
                "explain": operations.explaining(self._predictor, self._limits, settings),
                "feedback": operations.labelling(self._predictor, self._limits, self.log),
            },
            others=self._others(settings),
            start=self.start,
            stop=self.stop,
        )

    async def start(self) -> None:
        """Begin to follow, and return when every champion is in memory or known not to load."""
        self.follower.start()
        self._past.start(lambda: self.follower.table.loaded)
        self._counting = asyncio.get_running_loop().create_task(self._count())
        deadline = asyncio.get_running_loop().time() + self._limits.load_seconds
        while self._is_starting() and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_LOOK_SECONDS)

    async def stop(self) -> None:
        """Stop following, let predictions finish, close the log."""
        if self._counting is not None:
            self._counting.cancel()
        await asyncio.to_thread(self._past.stop)
        await asyncio.to_thread(self.follower.stop)
        await asyncio.to_thread(self._predictor.close)
        self._pairs.close()
        if self.log is not None:
            self.log.close()
        self._tell_log()
        self._tell_pairs()

    def _is_starting(self) -> bool:
        table = self.follower.table
        if not table.known:
            return table.error is None
        return any(served.status == "loading" for served in table.models.values())

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(_COUNT_SECONDS)
            self._tell_log()
            self._tell_pairs()
            routes.tell_ages(self.follower)

    def _tell_log(self) -> None:
        if self.log is None:
            return
        written, lost = self.log.bytes_written, self.log.errors
        metrics.LOG_BYTES.inc(written - self._counted[0])
        metrics.LOG_ERRORS.inc(lost - self._counted[1])
        self._counted = written, lost

    def _tell_pairs(self) -> None:
        for model, (queued, dropped) in self._pairs.counted().items():
            metrics.paired(model, queued, dropped)

    def _others(self, settings: Settings) -> FastAPI:
        app: Any = FastAPIOffline(
            title="Noria inference server",
            version="1",
            description="Predictions of the models in production.",
            swagger_ui_parameters={"validatorUrl": None},
        )
        answers.install(app)
        app.include_router(routes.build(settings, self.follower, self.log, lambda: self.gateway.draining))
        document = openapi.extend(app.openapi())
        app.openapi = lambda: document
        return app  # type: ignore[no-any-return]


def build(
    settings: Settings,
    limits: Limits | None = None,
    access: Access | None = None,
    fixed: FixedSource | None = None,
    shared: SharedState | None = None,
) -> Gateway:
    """An ASGI application that follows the deployment state of a database while it runs.

    :param settings: database, MLflow and home.
    :param limits: limits of requests and pace; the defaults suit a laptop.
    :param access: who may ask; everybody if left out.
    :param fixed: what to serve instead of following a database.
    :param shared: what this server's processes share; None for one that is alone.
    """
    return Server(settings, limits, access, fixed, shared).gateway

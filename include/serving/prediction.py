"""From a request's bytes to an answer's: read, check, predict; the processor's work happens off the event loop."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from starlette.requests import ClientDisconnect, Request

from include.serving.limits import Limits
from include.serving.loaded import LoadedModel
from include.serving.table import Served, Table
from include.serving.validation import RequestRefused, check_content_type, check_length, parse_rows, too_large


class Predictor:
    """Answers predictions with a small pool of threads.

    :param limits: the server's limits.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pool = ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 1), thread_name_prefix="predict")

    def close(self) -> None:
        """Let the predictions under way finish."""
        self._pool.shutdown(wait=True)

    async def read(self, request: Request) -> bytes:
        """The body of a prediction request.

        :raises RequestRefused: 415 for another content type, 413 for too large a body.
        """
        check_content_type(request.headers.get("content-type"))
        check_length(request.headers.get("content-length"), self._limits)
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                if len(body) > self._limits.body_bytes:
                    raise too_large(self._limits)
        except ClientDisconnect:
            raise RequestRefused(400, "The connection ended before the body did.") from None
        return bytes(body)

    async def predict(self, model: LoadedModel, body: bytes) -> list[float]:
        """Predictions for a body, in the order of its rows.

        :raises RequestRefused: the body is refused.
        :raises ModelFailed: the model failed on well-formed rows.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._work, model, body)

    def _work(self, model: LoadedModel, body: bytes) -> list[float]:
        return model.predict(parse_rows(body, self._limits))


def find(table: Table, name: str) -> Served:
    """A model by name.

    :raises RequestRefused: 404 if it was never deployed, 503 if the server does not know yet what is deployed.
    """
    served = table.models.get(name)
    if served is not None:
        return served
    if not table.known:
        raise RequestRefused(503, f"The deployment state is not known yet: {table.error or 'the server is starting'}")
    names = ", ".join(sorted(table.models)) or "none"
    raise RequestRefused(404, f"There is no deployed model of this name. Deployed are: {names}.")


def answering(table: Table, name: str) -> LoadedModel:
    """The version that answers for a model.

    :raises RequestRefused: 404 or 410 if the model is not in production, 503 if its version is not loaded yet.
    """
    served = find(table, name)
    if served.status == "retired":
        raise RequestRefused(410, f"The model {name} was retired at {served.state.retired_at} and no longer answers.")
    if served.status == "none":
        raise RequestRefused(404, f"The model {name} has no champion: nothing is in production.")
    if served.loaded is None:
        raise RequestRefused(503, f"Version {served.wanted} of {name} is not loaded: {served.error or 'it is loading'}")
    return served.loaded

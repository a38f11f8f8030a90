"""From a request's body to an answer's: decode, route, predict, log. Small ones on the event loop, others beside it.

The order is part of the contract: the record is in the request log before the caller has the answer, and the pair for
the other version is handed over after it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar, TypeVarTuple

from include.serving import metrics, routing
from include.serving.answers import new_request_id
from include.serving.follower import Follower
from include.serving.limits import Limits
from include.serving.loaded import INLINE_ROWS, LoadedModel, ModelFailed
from include.serving.lookup import champion, find, named
from include.serving.past import PastLookup
from include.serving.protocols.calls import Call, Encoded, Headers, Protocol
from include.serving.protocols.rows import ROWS
from include.serving.request_log.records import problem
from include.serving.request_log.writer import RequestLog
from include.serving.shadow import ShadowSender
from include.serving.table import Held, Served
from include.serving.validation import RequestRefused

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")
INLINE_BYTES: Final = 16_384
INLINE_ROWS_BYTES: Final = 65_536
"""The same for plain JSON rows, of which reading so many takes a third of a millisecond."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Ask:
    """One request on its way through the engine.

    :param served: the model as it was when the request came; it keeps this view to its end.
    :param loaded: the version that answers unless the challenger does.
    :param role: that version's role.
    :param asked: whether the caller named the version.
    :param request_id: empty until it is known.
    """

    protocol: Protocol
    headers: Headers
    served: Served
    loaded: LoadedModel
    role: str
    asked: bool
    request_id: str
    began: float
    at_us: int


@dataclass(slots=True)
class Answered:
    """What a version said.

    :param call: what it was asked, with its columns of the past.
    :param headers: what the answer's head says of these.
    :param rescued: whether a challenger failed on these rows first.
    """

    loaded: LoadedModel
    role: str
    call: Call
    predictions: list[Any]
    seconds: float
    headers: list[tuple[bytes, bytes]]
    rescued: bool = False


class Predictor:
    """Answers predictions.

    :param follower: whose table says which versions answer.
    :param limits: the server's limits.
    :param log: the request log, or None if nothing is logged.
    :param pairs: takes requests that the other version shall score too, or None.
    :param past: fills the columns of the past.
    """

    def __init__(
        self,
        follower: Follower,
        limits: Limits,
        past: PastLookup,
        log: RequestLog | None = None,
        pairs: ShadowSender | None = None,
    ) -> None:
        self.past = past
        self._follower = follower
        self._limits = limits
        self._log = log
        self._pairs = pairs
        self._pool = ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 1), thread_name_prefix="predict")

    def close(self) -> None:
        """Let the predictions under way finish."""
        self._pool.shutdown(wait=True)

    async def in_thread(self, work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Run something longer beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)

    def knows(self, name: str) -> bool:
        """Whether a model of this name was ever deployed."""
        return name in self._follower.table.models

    # ---- who answers ------------------------------------------------------------------------------------------------

    async def find(self, name: str, version: str | None) -> tuple[Served, LoadedModel, str]:
        """The model, the version that answers as champion (or the named one) and its role; loads it if it must.

        :raises RequestRefused: 404, 410 or 503.
        """
        served = find(self._follower.table, name)
        if served.loaded is not None and version is None:
            return served, served.loaded, "champion"
        if version is not None:
            role, held = named(served, version)
        else:
            role, held = "champion", champion(served)
        return served, held.loaded or await self._demand(name, held), role

    async def _demand(self, name: str, held: Held) -> LoadedModel:
        version = held.deployed.version
        loading: Future[LoadedModel] = self._follower.demand(held.deployed)
        try:
            waiting = asyncio.shield(asyncio.wrap_future(loading))
            return await asyncio.wait_for(waiting, self._limits.load_seconds)
        except TimeoutError:
            raise RequestRefused(503, f"Version {version} of {name} is still loading. Try again.") from None
        except Exception as error:  # noqa: BLE001 - whatever the load met, the caller may try again
            raise RequestRefused(503, f"Version {version} of {name} is not loaded: {error}") from None

    # ---- the answer -------------------------------------------------------------------------------------------------

    async def answer(self, ask: Ask, body: bytes) -> tuple[Encoded, Answered]:
        """Decode a body, predict, log, encode.

        :raises RequestRefused: the body is refused.
        :raises ModelFailed: the champion (or the version that was asked for) failed on well-formed rows.
        """
        most = INLINE_ROWS_BYTES if ask.protocol is ROWS else INLINE_BYTES
        if not is_small(body, ask.headers, most) or not ask.loaded.inline_rows:
            return await self.in_thread(self._whole, ask, body)
        call = _decode(ask, body, self._limits)
        first = self._first(ask, call)
        if call.count > first[0].inline_rows:
            return await self.in_thread(self._finish, ask, call, first)
        return self._finish(ask, call, first)

    def _whole(self, ask: Ask, body: bytes) -> tuple[Encoded, Answered]:
        call = _decode(ask, body, self._limits)
        return self._finish(ask, call, self._first(ask, call))

    def _first(self, ask: Ask, call: Call) -> tuple[LoadedModel, str]:
        """Who is asked first: the challenger for the entities below its share, else the champion."""
        if not ask.request_id:
            ask.request_id = call.request_id or new_request_id()
        challenger = ask.served.challenger
        if ask.asked or challenger is None or challenger.loaded is None or not challenger.answers_below:
            return ask.loaded, ask.role
        key = ask.headers.get(b"x-noria-key")
        if key is not None:
            text = key.decode("latin-1")
        else:
            shape = ask.loaded.shape
            text = routing.entity_key(shape.entity, call.first_row(), shape.time_zone) or ask.request_id
        if routing.bucket(ask.served.state.model, challenger.version, text) >= challenger.answers_below:
            return ask.loaded, ask.role
        if challenger.asks_for and not call.has(challenger.asks_for - self.past.gives(challenger.loaded)):
            return ask.loaded, ask.role
        return challenger.loaded, challenger.role

    def pair(self, ask: Ask, answered: Answered) -> None:
        """Hand an answered request over for scoring by the other version; call it when the answer is on its way."""
        challenger = ask.served.challenger
        if self._pairs is None or challenger is None or not challenger.paired or ask.asked or answered.rescued:
            return
        self._pairs.offer(
            shape=answered.loaded.shape,
            request_id=ask.request_id,
            at_us=ask.at_us,
            call=answered.call,
            answered_version=answered.loaded.deployed.version,
        )

    def _finish(self, ask: Ask, call: Call, first: tuple[LoadedModel, str]) -> tuple[Encoded, Answered]:
        answered = self._predict(ask, call, *first)
        call, deployed = answered.call, answered.loaded.deployed
        self._write(ask, call, answered)
        encoded = ask.protocol.encode(
            call, answered.predictions, model=deployed.model, version=deployed.version, request_id=ask.request_id,
            classes=answered.loaded.classes,
        )  # fmt: skip
        encoded.headers = [*encoded.headers, *answered.headers]
        return encoded, answered

    def _predict(self, ask: Ask, call: Call, loaded: LoadedModel, role: str) -> Answered:
        """Predictions of the version, or the champion's if a challenger fails on rows that the champion can read."""
        counts = call.count > INLINE_ROWS  # a system call, at which a busy machine likes to take the processor away
        began, worked = time.monotonic(), time.thread_time() if counts else 0.0
        try:
            filled, headers = self.past.fill(call, loaded) if loaded.history else (call, [])
            predictions = loaded.predict(readable(ask.served, filled, loaded))
            if loaded is not ask.loaded:
                loaded.check_finite(predictions)
        except (ModelFailed, RequestRefused) as error:
            series = metrics.series(loaded.deployed.model, loaded.deployed.version, role)
            if loaded is ask.loaded:
                if isinstance(error, RequestRefused):
                    series.refused()
                else:
                    series.failed()
                    self._write_failure(ask, call, loaded, role, error)
                raise
            answered = self._predict(ask, call, ask.loaded, ask.role)
            answered.rescued = True
            series.failed()
            self._write_failure(ask, call, loaded, role, error)
            return answered
        now = time.monotonic()
        loaded.note(now, now - began, time.thread_time() - worked if counts else 0.0, call.count)
        metrics.series(loaded.deployed.model, loaded.deployed.version, role).answered(now - ask.began)
        return Answered(loaded, role, filled, predictions, now - ask.began, headers)

    # ---- the log ----------------------------------------------------------------------------------------------------

    def _write(self, ask: Ask, call: Call, answered: Answered) -> None:
        if self._log is not None:
            self._log.answered(
                shape=answered.loaded.shape,
                request_id=ask.request_id,
                role=answered.role,
                revision=ask.served.state.revision,
                at_us=ask.at_us,
                asked=ask.asked,
                protocol=ask.protocol.name,
                call=call,
                predictions=answered.predictions,
                latency_us=int(answered.seconds * 1e6),
                deployment=ask.served.deployment,
            )

    def _write_failure(self, ask: Ask, call: Call, loaded: LoadedModel, role: str, error: Exception) -> None:
        _log.error("request %s: %s", ask.request_id, problem(str(error), loaded.shape))
        if self._log is not None:
            self._log.failed(
                shape=loaded.shape,
                request_id=ask.request_id,
                role=role,
                revision=ask.served.state.revision,
                at_us=ask.at_us,
                asked=ask.asked,
                protocol=ask.protocol.name,
                call=call,
                latency_us=int((time.monotonic() - ask.began) * 1e6),
                error=str(error),
                deployment=ask.served.deployment,
            )


def _decode(ask: Ask, body: bytes, limits: Limits) -> Call:
    return ask.protocol.decode(body, ask.headers, ask.served.fields_for(ask.loaded), limits)


def readable(served: Served, call: Call, loaded: LoadedModel) -> Call:
    """The call without the fields that only other deployed versions know; wholly unknown ones stay, to be refused."""
    known = served.fields_for(loaded)
    return call if known is loaded.fields else call.without(known.keys() - loaded.fields.keys())


def is_small(body: bytes, headers: Headers, most: int = INLINE_BYTES) -> bool:
    """Whether a body is read so fast that the event loop may do it; a compressed one may be of any size inside."""
    return len(body) <= most and b"content-encoding" not in headers

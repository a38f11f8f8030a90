"""The server's front door: a plain ASGI application that answers predictions itself and hands the rest to FastAPI.

No regular expressions, no validation models and no middleware stand between a request and its model: the path is split,
the head becomes a dictionary, the codec reads the body.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from include.serving import metrics
from include.serving.access import Access, AccessRefused
from include.serving.addresses import Address, model_of, resolve, scope_of
from include.serving.answers import new_request_id
from include.serving.limits import Limits
from include.serving.loaded import ModelFailed
from include.serving.prediction import Answered, Ask, Predictor
from include.serving.protocols.calls import Encoded
from include.serving.protocols.rows import ROWS
from include.serving.validation import RequestRefused, check_length, too_large

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_GIVEN_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_CLOSE: Final = (b"connection", b"close")
_log = logging.getLogger(__name__)


class Disconnected(Exception):
    """The caller is gone; there is nobody to answer."""


@dataclass(slots=True)
class Visit:
    """One request before and after its answer.

    :param request_id: the caller's plain ``X-Request-Id``, or empty until one is needed.
    :param head: what is already known of the answer's head.
    """

    address: Address
    headers: Mapping[bytes, bytes]
    receive: Receive
    request_id: str
    head: Headers
    ask: Ask | None = None
    answered: Answered | None = None


Operation = Callable[[Visit, bytes], Awaitable[Encoded]]


class Gateway:
    """The ASGI application of a worker.

    :param predictor: answers predictions.
    :param access: who may ask.
    :param limits: the server's limits.
    :param operations: what answers addresses that are no predictions, by kind: explain, feedback.
    :param others: the application for all other addresses.
    :param start: begins the work of the process and waits until it can answer.
    :param stop: ends it.
    """

    def __init__(
        self,
        predictor: Predictor,
        access: Access,
        limits: Limits,
        *,
        operations: Mapping[str, Operation],
        others: Application,
        start: Callable[[], Awaitable[None]],
        stop: Callable[[], Awaitable[None]],
    ) -> None:
        self._predictor = predictor
        self._access = access
        self._limits = limits
        self._operations = operations
        self._others = others
        self._start = start
        self._stop = stop
        self.draining = False
        """Set when the server ends: every answer then closes its connection."""

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Handle one connection of ASGI."""
        kind = scope["type"]
        if kind == "http":
            await self._http(scope, receive, send)
        elif kind == "lifespan":
            await self._life(receive, send)
        elif kind == "websocket":
            await send({"type": "websocket.close", "code": 1000})

    async def _life(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Any, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id")
        request_id = given.decode() if given is not None and _GIVEN_ID.fullmatch(given) else ""
        address = resolve(scope["path"])
        if address is None or (scope["method"] == "GET" and address.kind == "feedback"):
            await self._other(scope, headers, request_id or new_request_id(), receive, send)
            return
        visit = Visit(address, headers, receive, request_id, [])
        try:
            if scope["method"] != "POST":
                allowed = "GET, POST" if address.kind == "feedback" else "POST"
                problem = f"{scope['method']} is not for this address; use {allowed}."
                raise AccessRefused(405, problem, [(b"allow", allowed.encode())])
            encoded = await self._answer(visit)
        except RequestRefused as refused:
            encoded = self._refusal(visit, refused)
        except Disconnected:
            return
        except ModelFailed as failed:
            encoded = self._failure(visit, failed)
        except Exception:  # noqa: BLE001 - the caller gets an answer, the log the stack trace
            _log.exception("request %s failed", identified(visit))
            problem = "The server failed on this request; its log has the request's id."
            encoded = address.protocol.refuse(RequestRefused(500, problem), identified(visit))
        await self._send(send, visit, encoded)
        if visit.ask is not None and visit.answered is not None:
            self._predictor.pair(visit.ask, visit.answered)

    async def _answer(self, visit: Visit) -> Encoded:
        address, headers = visit.address, visit.headers
        if not self._access.is_open:
            self._access.check("predict" if address.version is None else "admin", address.model, headers)
        length = headers.get(b"content-length")
        if length is not None:
            check_length(length.decode("latin-1"), self._limits)
        if address.kind != "predict":
            return await self._operations[address.kind](visit, await self._body(visit.receive))
        served, loaded, role = await self._predictor.find(address.model, address.version)
        visit.head = served.head(loaded, role)
        body = await self._body(visit.receive)
        ask = Ask(
            address.protocol, headers, served, loaded, role, address.version is not None, visit.request_id,
            time.monotonic(), time.time_ns() // 1000,
        )  # fmt: skip
        try:
            encoded, visit.answered = await self._predictor.answer(ask, body)
        finally:
            visit.request_id = ask.request_id
        if visit.answered.loaded is not loaded:
            visit.head = served.head(visit.answered.loaded, visit.answered.role)
        visit.ask = ask
        return encoded

    async def _body(self, receive: Receive) -> bytes:
        """The whole body.

        :raises RequestRefused: 413 if it is too large, 408 if it comes too slowly.
        :raises Disconnected: the caller left.
        """
        message = await receive()
        if not message.get("more_body", False) and message["type"] == "http.request":
            body: bytes = message.get("body", b"")
            if len(body) > self._limits.body_bytes:
                raise too_large(self._limits)
            return body
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                return await self._rest(receive, message)
        except TimeoutError:
            raise AccessRefused(408, "The body did not come in time.", [_CLOSE]) from None

    async def _rest(self, receive: Receive, message: dict[str, Any]) -> bytes:
        body = bytearray()
        while True:
            if message["type"] == "http.disconnect":
                raise Disconnected
            body += message.get("body", b"")
            if len(body) > self._limits.body_bytes:
                raise too_large(self._limits)
            if not message.get("more_body", False):
                return bytes(body)
            message = await receive()

    def _refusal(self, visit: Visit, refused: RequestRefused) -> Encoded:
        encoded = visit.address.protocol.refuse(refused, identified(visit))
        encoded.status = refused.status
        if isinstance(refused, AccessRefused):
            encoded.headers = [*encoded.headers, *refused.headers]
        model = visit.address.model
        metrics.refused(model if self._predictor.knows(model) else "", refused.status)
        return encoded

    def _failure(self, visit: Visit, failed: ModelFailed) -> Encoded:
        _log.error("request %s: %s", identified(visit), failed)
        problem = f"{visit.address.model} failed on these rows; the server's log has the request's id."
        return visit.address.protocol.refuse(RequestRefused(500, problem), identified(visit))

    async def _send(self, send: Send, visit: Visit, encoded: Encoded) -> None:
        body = encoded.body
        headers = [
            (b"content-type", encoded.content_type),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", visit.request_id.encode()),
            *visit.head,
            *encoded.headers,
        ]
        if self.draining:
            headers.append(_CLOSE)
        await send({"type": "http.response.start", "status": encoded.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _other(
        self, scope: Any, headers: Mapping[bytes, bytes], request_id: str, receive: Receive, send: Send
    ) -> None:
        """Everything else, with the token that it asks for."""
        scope.setdefault("state", {})["request_id"] = request_id
        extra: Headers = [(b"x-request-id", request_id.encode())]
        if self.draining:
            extra.append(_CLOSE)

        async def send_with_id(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        needed = scope_of(scope["path"])
        try:
            if needed is not None:
                self._access.check_token(needed, model_of(scope["path"]), headers)
        except AccessRefused as refused:
            encoded = ROWS.refuse(refused, request_id)
            head = [(b"content-type", encoded.content_type), *refused.headers]
            await send_with_id({"type": "http.response.start", "status": refused.status, "headers": head})
            await send({"type": "http.response.body", "body": encoded.body})
            return
        await self._others(scope, receive, send_with_id)


def identified(visit: Visit) -> str:
    """The request's id; makes one if there is none yet."""
    if not visit.request_id:
        visit.request_id = new_request_id()
    return visit.request_id

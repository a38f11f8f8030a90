"""Sends rows at a given rate over a few connections, and the labels of what was answered after a delay.

The loop is open: each request has its time, whatever became of the ones before. Connections are bounded, so a server
that is slower than the rate makes requests late (``behind_s`` says by how much), never pile up.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson

from include.errors import NoriaError, TryAgain
from include.serving.http_connection import Answer, ConnectionLost, HttpConnection, encode_request
from include.serving.replaying.tally import Tally, problem

AWAY_SECONDS = 15.0
_PAUSE = 0.1
_LABELS_AT_ONCE = 500
_LABEL_PAUSE = 0.25
_LONGEST_SLEEP = 0.5


class ServerAway(TryAgain):
    """The server does not answer.

    :param tally: what was sent until then.
    """

    def __init__(self, url: str, seconds: float, lost: str, tally: Tally) -> None:
        self.tally = tally
        place = urlsplit(url)
        super().__init__(
            f"The inference server at {place.hostname}:{place.port} has not answered for {seconds:.0f} s ({lost}); "
            f"{tally.answered.total()} of {tally.sent} requests were answered before. Start it (`make up`) and check "
            "NORIA_SERVER_URL; the replay then begins anew."
        )


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """One request.

    :param request_id: its id.
    :param rows: the rows' values; what orjson writes as text may stay what it is (times).
    :param labels: for each row its label or None.
    """

    request_id: str
    rows: list[dict[str, Any]]
    labels: Sequence[float | str | None] = ()


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How requests are sent.

    :param rate: requests a second; None: as fast as answers come.
    :param connections: most requests at once.
    :param seconds: after this time no request is sent any more; None: never.
    :param label_delay: seconds between an answer and its labels; None: no labels.
    :param away_seconds: how long the server may be silent before the replay gives up.
    """

    rate: float | None = 100.0
    connections: int = 8
    seconds: float | None = None
    label_delay: float | None = 0.0
    away_seconds: float = AWAY_SECONDS


@dataclass
class Sender:
    """Sends requests to one model of a server.

    :param url: the server's address.
    :param token: bearer token, if the server asks for one.
    """

    url: str
    model: str
    pace: Pace
    token: str | None = None
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        self._place = (str(parts.hostname), parts.port or 80)
        self._host = f"{self._place[0]}:{self._place[1]}"
        self._headers = {"Content-Type": "application/json"}
        if self.token:
            self._headers["Authorization"] = f"Bearer {self.token}"
        self._due: deque[tuple[float, ReplayRequest]] = deque()
        self._turn = asyncio.Lock()
        self._silent_since: float | None = None
        self._count = 0
        self._sending = True
        self._stopped = False

    def stop(self) -> None:
        """Send no further request, and the labels that wait at once; :meth:`run` then returns."""
        self._stopped = True

    async def run(self, requests: AsyncIterator[ReplayRequest]) -> float:
        """Send everything, labels included; returns the seconds that requests were sent.

        :raises ServerAway: it did not answer for :attr:`Pace.away_seconds`.
        :raises NoriaError: what the requests' source raises.
        """
        begin = time.monotonic()
        seconds = 0.0

        async def send_all() -> None:
            nonlocal seconds
            async with asyncio.TaskGroup() as group:
                for _ in range(self.pace.connections):
                    group.create_task(self._send(requests, begin))
            seconds = time.monotonic() - begin
            self._sending = False

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(send_all())
                if self.pace.label_delay is not None:
                    group.create_task(self._send_labels())
        except* NoriaError as group_error:
            raise _first(group_error) from None
        return seconds

    # -- requests --

    async def _send(self, requests: AsyncIterator[ReplayRequest], begin: float) -> None:
        connection: HttpConnection | None = None
        try:
            while (one := await self._next(requests, begin)) is not None:
                connection = await self._ask(connection, one)
        finally:
            if connection is not None:
                connection.close()

    async def _next(self, requests: AsyncIterator[ReplayRequest], begin: float) -> ReplayRequest | None:
        """The next request when its time has come; None if there is none any more."""
        async with self._turn:
            one = await anext(requests, None)
            number, self._count = self._count, self._count + 1
        now = time.monotonic() - begin
        due = now if self.pace.rate is None else number / self.pace.rate
        if one is None or (self.pace.seconds is not None and max(now, due) >= self.pace.seconds):
            return None
        self.tally.behind = max(self.tally.behind, now - due)
        while due > now and not self._stopped:
            await asyncio.sleep(min(due - now, _LONGEST_SLEEP))
            now = time.monotonic() - begin
        return None if self._stopped else one

    async def _ask(self, connection: HttpConnection | None, one: ReplayRequest) -> HttpConnection:
        connection = await self._connected(connection)
        self.tally.sent += 1
        self.tally.rows += len(one.rows)
        headers = {**self._headers, "X-Request-Id": one.request_id}
        begin = time.perf_counter()
        try:
            answer = await self._post(connection, "predict", {"rows": one.rows}, headers)
        except ConnectionLost as lost:
            self.tally.failed[lost.problem] += 1
            await self._away(lost)
            return connection
        if self.tally.add(answer, time.perf_counter() - begin) and one.labels and self.pace.label_delay is not None:
            self._due.append((time.monotonic() + self.pace.label_delay, one))
        return connection

    async def _connected(self, connection: HttpConnection | None) -> HttpConnection:
        """This connection, or a new one in its place; a request waits while a server starts anew.

        :raises ServerAway: nothing listens for too long.
        """
        while connection is None or connection.closed:
            try:
                connection = await HttpConnection.open(*self._place)
            except ConnectionLost as lost:
                await self._away(lost)
        return connection

    async def _post(self, connection: HttpConnection, path: str, document: object, headers: dict[str, str]) -> Answer:
        """Ask over a connection.

        :raises ConnectionLost: no answer came.
        """
        body = orjson.dumps(document)
        request = encode_request("POST", f"/models/{self.model}/{path}", self._host, body, headers)
        answer = await connection.exchange(request)
        self._silent_since = None
        return answer

    async def _away(self, lost: ConnectionLost) -> None:
        """Pause before the next try.

        :raises ServerAway: the server has been silent for too long.
        """
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        if now - self._silent_since >= self.pace.away_seconds:
            raise ServerAway(self.url, now - self._silent_since, lost.problem, self.tally)
        await asyncio.sleep(_PAUSE)

    # -- labels --

    async def _send_labels(self) -> None:
        connection: HttpConnection | None = None
        try:
            while self._sending or self._due:
                labels = self._labels_due()
                if labels:
                    connection = await self._tell(connection, labels)
                else:
                    await asyncio.sleep(_LABEL_PAUSE)
        finally:
            if connection is not None:
                connection.close()

    def _labels_due(self) -> list[dict[str, Any]]:
        labels: list[dict[str, Any]] = []
        now = time.monotonic()
        while self._due and (self._stopped or self._due[0][0] <= now) and len(labels) < _LABELS_AT_ONCE:
            _, one = self._due.popleft()
            labels += [
                {"request_id": one.request_id, "row": row, "label": label}
                for row, label in enumerate(one.labels)
                if label is not None
            ]
        return labels

    async def _tell(self, connection: HttpConnection | None, labels: list[dict[str, Any]]) -> HttpConnection:
        """Send labels until they are answered: feedback counts once, however often it comes."""
        while True:
            connection = await self._connected(connection)
            try:
                answer = await self._post(connection, "feedback", {"labels": labels}, self._headers)
            except ConnectionLost as lost:
                await self._away(lost)
                continue
            self.tally.labels_sent += len(labels)
            if answer.status in {200, 202}:
                self.tally.labels_accepted += int(orjson.loads(answer.body).get("accepted", len(labels)))
            elif answer.status < 500:
                self.tally.labels_refused[answer.status, problem(answer)] += len(labels)
            else:
                self.tally.labels_failed[f"HTTP {answer.status}: {problem(answer)}"] += len(labels)
            return connection


def _first(group: BaseExceptionGroup[NoriaError]) -> NoriaError:
    for error in group.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError

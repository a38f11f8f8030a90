"""A replay from its options: which rows, in what requests, at what pace."""

from __future__ import annotations

import asyncio
import re
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvloop

from include.serving.replaying.rows import LaterRows, ReplayRow
from include.serving.replaying.sender import Pace, ReplayRequest, Sender
from include.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What is sent.

    :param rows: most rows; None: all.
    :param rows_per_request: rows of one request.
    :param loop: begin anew with the first partition after the last one, until rows or seconds are used up; without
        either until SIGTERM.
    :param name: goes into the requests' ids, so that two replays do not meet.
    """

    pace: Pace
    rows: int | None = None
    rows_per_request: int = 1
    loop: bool = False
    name: str = "replay"


def replay(settings: Settings, model: str, source: LaterRows, options: Replay) -> dict[str, Any]:
    """Send the rows and wait for the end, or for SIGTERM; returns what came of it.

    :raises ServerAway: the server does not answer.
    """
    return uvloop.run(_replay(settings, model, source, options))


async def _replay(settings: Settings, model: str, source: LaterRows, options: Replay) -> dict[str, Any]:
    sender = Sender(settings.server_url, model, options.pace, settings.server_token)
    begin = time.monotonic()
    with _stopped_by_sigterm(sender):
        seconds = await sender.run(_requests(source, options))
    document = sender.tally.to_document(seconds)
    return {**document, "seconds_in_all": round(time.monotonic() - begin, 3)}


@contextmanager
def _stopped_by_sigterm(sender: Sender) -> Iterator[None]:
    """Let SIGTERM end the sending instead of the process, where this is the thread that gets signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, sender.stop)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def _requests(source: LaterRows, options: Replay) -> AsyncIterator[ReplayRequest]:
    """The rows as requests, in order."""
    left = options.rows
    turn = 0
    while True:
        found = False
        async for rows in _partitions(source):
            found = found or bool(rows)
            for first in range(0, len(rows), options.rows_per_request):
                part = rows[first : first + options.rows_per_request][:left]
                if not part:
                    return
                left = None if left is None else left - len(part)
                yield _request(part, options, turn)
        turn += 1
        if not options.loop or not found:
            return


async def _partitions(source: LaterRows) -> AsyncIterator[list[ReplayRow]]:
    """The rows of each partition; the next one is read in a thread while the one before is sent."""
    keys = source.keys
    reading = asyncio.create_task(asyncio.to_thread(source.read, keys[0]))
    try:
        for following in (*keys[1:], None):
            rows = await reading
            if following is not None:
                reading = asyncio.create_task(asyncio.to_thread(source.read, following))
            yield rows
    finally:
        reading.cancel()


def _request(rows: list[ReplayRow], options: Replay, turn: int) -> ReplayRequest:
    key = re.sub(r"[^A-Za-z0-9._-]", ".", rows[0].partition)
    again = f".{turn}" if turn else ""
    labels = [row.label for row in rows] if options.pace.label_delay is not None else ()
    return ReplayRequest(f"replay-{key}-{rows[0].number}-{options.name}{again}", [row.values for row in rows], labels)

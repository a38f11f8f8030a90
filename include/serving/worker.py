"""One worker process: uvicorn around the gateway on the supervisor's socket, and an end that loses no request."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import uvicorn

from include.serving.gateway import Gateway
from include.serving.limits import Limits
from include.serving.scheduling import wake_at_once
from include.serving.server_connection import Awaited, ServerConnection
from include.serving.validation import RequestRefused

KEEP_ALIVE_SECONDS: Final = 65
"""How long an idle connection stays; longer than the clients' usual, so that they close first."""

_TICKS_BETWEEN_SWEEPS: Final = 20
_LAST_SECONDS: Final = 0.2
_log = logging.getLogger(__name__)


class Worker(uvicorn.Server):
    """uvicorn's server with an end of its own: callers are sent away before the door closes.

    On SIGTERM every answer begins to close its connection, while new connections are still taken
    (``limits.linger_seconds``); then the listening socket is emptied and closed, and requests under way are finished.

    :param gateway: the application.
    :param limits: the server's limits.
    :param alive: called ten times a second for as long as the event loop moves.
    """

    def __init__(self, gateway: Gateway, limits: Limits, *, alive: Callable[[], None] = lambda: None) -> None:
        super().__init__(
            uvicorn.Config(
                gateway,
                loop="uvloop",
                http=ServerConnection,
                ws="none",
                interface="asgi3",
                lifespan="on",
                access_log=False,
                log_config=None,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=limits.drain_seconds,
            )
        )
        self._gateway = gateway
        self._limits = limits
        self._alive = alive
        self._waiting: dict[ServerConnection, tuple[tuple[Any, Awaited], float]] = {}

    def serve_on(self, listener: socket.socket) -> None:
        """Serve until SIGTERM."""
        wake_at_once()
        self.run(sockets=[listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then accept on copies of the sockets, so that these outlive uvicorn's own use."""
        await super().startup([listener.dup() for listener in sockets or []])
        gc.collect()
        gc.freeze()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Send callers away, close the door, finish what is under way, stop the application."""
        self._gateway.draining = True
        await asyncio.sleep(self._limits.linger_seconds)
        for server in self.servers:
            server.close()
        await asyncio.sleep(0.01)
        arrived = [connection for listener in sockets or [] for connection in _emptied(listener)]
        for connection in arrived:
            await asyncio.get_running_loop().connect_accepted_socket(self._connection, connection)
        await asyncio.sleep(_LAST_SECONDS)
        await super().shutdown([])

    def _connection(self) -> asyncio.Protocol:
        return ServerConnection(self.config, self.server_state, self.lifespan.state)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM ends; SIGINT is the supervisor's business, since a terminal sends it to every process."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._end)
        yield

    def _end(self) -> None:
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second; closes connections that do not get on with a request."""
        self._alive()
        if counter % _TICKS_BETWEEN_SWEEPS == 0:
            self._sweep(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def _sweep(self, now: float) -> None:
        waiting: dict[ServerConnection, tuple[tuple[Any, Awaited], float]] = {}
        for connection in self.server_state.connections:
            if not isinstance(connection, ServerConnection) or (awaited := connection.awaited()) is None:
                continue
            place = (connection.cycle, awaited)
            seen, since = self._waiting.get(connection, (place, now))
            if seen != place:
                since = now
            if now - since <= (self._limits.head_seconds if awaited == "head" else self._limits.body_seconds):
                waiting[connection] = (place, since)
            elif awaited == "head":
                connection.transport.close()
            else:  # nothing of the body came, else the gateway's own clock would run
                connection.refuse(RequestRefused(408, "The body did not come in time."))
        self._waiting = waiting


def _emptied(listener: socket.socket) -> Iterator[socket.socket]:
    """The connections that wait on a listening socket; it is closed at the moment when there are no more."""
    listener.setblocking(False)
    with listener:
        while True:
            try:
                yield listener.accept()[0]
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                _log.warning("connections that were waiting cannot be taken: %s", error)
                return

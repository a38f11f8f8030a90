"""How much one request may ask for, and how the server paces itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The server's limits.

    :param body_bytes: largest body of a request.
    :param rows: most rows of a request.
    :param rate: most requests a second of all callers and workers together; None for no limit.
    :param models: most versions in memory of one process; beyond that they are loaded on request.
    :param poll_seconds: pause between two looks at the deployment state.
    :param history_seconds: pause between two looks for newer values of the past.
    :param retry_seconds: first pause before a version that did not load is tried again; doubles up to a minute.
    :param load_seconds: how long a request waits for a version that is loaded for it.
    :param body_seconds: how long a caller may take to send a body.
    :param head_seconds: how long a connection may take to send the head of a request.
    :param linger_seconds: how long a server that ends still takes connections, closing each after its answer, so that
        callers leave it without losing a request.
    :param drain_seconds: how long requests under way may take after SIGTERM.
    """

    body_bytes: int = 16 * 1024 * 1024
    rows: int = 10_000
    rate: float | None = None
    models: int = 64
    poll_seconds: float = 0.5
    history_seconds: float = 5.0
    retry_seconds: float = 1.0
    load_seconds: float = 30.0
    body_seconds: float = 30.0
    head_seconds: float = 20.0
    linger_seconds: float = 0.5
    drain_seconds: int = 30

    def json_parts(self, columns: int = 0) -> int:
        """Most lists and objects in a JSON body, many times what right rows need: each costs memory before it is read.

        :param columns: of a request in which each value may have a list of its own.
        """
        return 10_000 + self.rows * max(20, columns + 2)

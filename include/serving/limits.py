"""How much one request may ask for, and how the server paces itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The server's limits.

    :param body_bytes: largest body of a request.
    :param rows: most rows of a request.
    :param poll_seconds: pause between two looks at the deployment state.
    :param retry_seconds: first pause before a version that did not load is tried again; doubles up to a minute.
    :param drain_seconds: how long requests under way may take after SIGTERM.
    """

    body_bytes: int = 16 * 1024 * 1024
    rows: int = 10_000
    poll_seconds: float = 0.5
    retry_seconds: float = 1.0
    drain_seconds: int = 30

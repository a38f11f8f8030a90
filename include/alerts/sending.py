"""What a channel is, and how long one may take: a receiver that hangs holds up nobody."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final, Protocol

from include.errors import NoriaError

LONGEST_SEND: Final = 8.0
"""Seconds that one delivery may take, whatever the receiver does. Each part of it has a shorter limit of its own."""

Document = Mapping[str, Any]


class SendFailed(NoriaError):
    """A delivery did not succeed; the words hold no address and no secret, and are kept."""


class Channel(Protocol):
    """A way to tell people."""

    def send(self, document: Document) -> None:
        """Deliver one alert (:meth:`include.alerts.alert.Alert.to_document`).

        :raises SendFailed: it was not taken.
        """


def send_within(channel: Channel, document: Document, seconds: float = LONGEST_SEND) -> None:
    """Deliver, but wait no longer than ``seconds``: a receiver may drip its answer byte by byte.

    :raises SendFailed: it was not taken, or not in time.
    """
    problems: list[Exception] = []

    def send() -> None:
        try:
            channel.send(document)
        except Exception as problem:  # noqa: BLE001 - handed to the caller's thread
            problems.append(problem)

    thread = threading.Thread(target=send, name="alert", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise SendFailed(f"no end after {seconds:g} s")
    for problem in problems:
        if isinstance(problem, SendFailed):
            raise problem
        # Not its words: they may hold an address with a token in it.
        raise SendFailed(f"{type(problem).__name__} while sending")

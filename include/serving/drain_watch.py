"""Tells the registry whether models that are on their way out of production are still asked, from the request log.

What a caller asked is in the log before it has its answer, over every restart, so that the log knows of silence, too.
Requests that named a version are an operator's, and refused ones are not logged: neither counts.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from include.lake.connections import open_duckdb
from include.registry.retirement_marks import report_sighting
from include.serving.request_log.compaction import Compactor
from include.serving.request_log.tables import scan_inference
from include.settings import Settings

_FAR_ENOUGH = timedelta(days=2)
"""How far back the table is read; who has not asked since then is quiet in anybody's eyes."""


class DrainWatch:
    """What one server has seen of requests.

    :param settings: home, store and database.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        home = hashlib.sha256(str(settings.home.resolve()).encode()).hexdigest()[:8]
        self._server = f"{socket.gethostname()}-{home}"
        self._before: dict[str, datetime | None] = {}

    def report(self, models: Collection[str], compactor: Compactor, seen_until: datetime) -> None:
        """Say of each model when it was last asked.

        :param models: those on their way out.
        :param compactor: it has brought all that was logged before ``seen_until`` into the tables, but for the models
            with a problem, of which nothing is said.
        """
        self._before = {model: at for model, at in self._before.items() if model in models}
        for model in models:
            if model in compactor.done.problems:
                continue
            if model not in self._before:
                self._before[model] = self._in_table(model, seen_until)
            asked = compactor.done.asked.get(model)
            now = None if asked is None else _instant(asked)
            known = [at for at in (self._before[model], now) if at is not None]
            report_sighting(
                self._settings, model, self._server, seen_until=seen_until, last_request_at=max(known, default=None)
            )

    def _in_table(self, model: str, now: datetime) -> datetime | None:
        """The newest request that is in the table, whichever server answered it."""
        with open_duckdb(self._settings, threads=1, memory="256MiB") as connection:
            columns = ("at", "answered", "asked", "error")
            scan_inference(connection, self._settings, model, "log", since=now - _FAR_ENOUGH, columns=columns)
            calls = "NOT coalesce(asked, false) AND (answered OR error IS NOT NULL)"
            newest = connection.execute(f'SELECT epoch_us(max("at")) FROM log WHERE {calls}').fetchone()  # nosec B608
        return None if newest is None or newest[0] is None else _instant(newest[0])


def _instant(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)

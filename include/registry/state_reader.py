"""The deployment state for those who ask again and again: what nobody has changed is not read again."""

from __future__ import annotations

import time
from typing import Final

from sqlalchemy import func, select

from include.registry import database
from include.registry.deployed import Decisions, ModelState, states_in
from include.registry.tables import deployment
from include.settings import Settings

REREAD_SECONDS: Final = 5.0
_MARK: Final = select(func.count(), func.coalesce(func.sum(deployment.c.revision), 0))
"""Another one after every change of the state: each raises its model's revision, and no model ever goes."""


class StateReader:
    """Reads the state of all models over one kept connection; used by one thread at a time.

    A look costs one row as long as no model's revision has risen. Since somebody with access to the database may change
    a version's row beside the ledger, such as its signature, all is read again every :data:`REREAD_SECONDS`.

    :param settings: where the database is.
    :param reread_seconds: how old an unchanged state may become.
    """

    def __init__(self, settings: Settings, reread_seconds: float = REREAD_SECONDS) -> None:
        self._url = settings.database_url
        self._engine = database.create(self._url, pooled=True).execution_options(isolation_level="AUTOCOMMIT")
        self._reread_seconds = reread_seconds
        self._decisions: Decisions = {}
        self._states: dict[str, ModelState] = {}
        self._mark: tuple[int, int] | None = None
        self._read_at = 0.0

    def read(self) -> dict[str, ModelState]:
        """The state by model; the very same object as long as nothing has changed.

        :raises DatabaseAway: the database cannot be reached.
        """
        database.ensure_schema(self._url)
        with database.speaking(self._url), self._engine.connect() as connection:
            count, revisions = connection.execute(_MARK).one()
            mark, now = (int(count), int(revisions)), time.monotonic()
            if mark != self._mark or now - self._read_at >= self._reread_seconds:
                states = states_in(connection, self._decisions)
                if states != self._states:
                    self._states = states
                self._mark, self._read_at = mark, now  # what changed since the mark was read shows at the next look
        return self._states

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()

"""The deployment state for those who ask again and again: what nobody has changed is not read again."""

from __future__ import annotations

import time
from typing import Final

from sqlalchemy import Connection, func, select

from include.registry import database
from include.registry.deployed import Mark, ModelState, read_marks, read_revisions, states_in
from include.registry.tables import deployment
from include.settings import Settings

REREAD_SECONDS: Final = 5.0
_TOTAL: Final = select(func.count(), func.coalesce(func.sum(deployment.c.revision), 0))
"""Another one after every change of the state: each raises its model's revision, and no model ever goes."""


class StateReader:
    """Reads the state of all models over one kept connection; used by one thread at a time.

    A look costs one row as long as no model's revision has risen; then the models are read whose own has. A version's
    row may be changed beside the ledger, by a signature or by somebody with access to the database: whether one was is
    looked at every :data:`REREAD_SECONDS`.

    :param settings: where the database is.
    :param reread_seconds: pause between two looks at the rows of all deployed versions.
    """

    def __init__(self, settings: Settings, reread_seconds: float = REREAD_SECONDS) -> None:
        self._url = settings.database_url
        self._engine = database.create(self._url, pooled=True).execution_options(isolation_level="AUTOCOMMIT")
        self._reread_seconds = reread_seconds
        self._states: dict[str, ModelState] = {}
        self._marks: dict[str, Mark] = {}
        self._total: tuple[int, int] | None = None
        self._looked_at = float("-inf")

    def read(self) -> dict[str, ModelState]:
        """The state by model; the very same object as long as nothing has changed.

        :raises DatabaseAway: the database cannot be reached.
        """
        database.ensure_schema(self._url)
        with database.speaking(self._url), self._engine.connect() as connection:
            count, revisions = connection.execute(_TOTAL).one()
            total, now = (int(count), int(revisions)), time.monotonic()
            if now - self._looked_at >= self._reread_seconds:
                self._take(connection, read_marks(connection))
                self._total, self._looked_at = total, now
            elif total != self._total:
                known = read_revisions(connection)
                risen = [model for model, revision in known.items() if self._marks.get(model, (None,))[0] != revision]
                same = {model: mark for model, mark in self._marks.items() if model in known}
                self._take(connection, same | read_marks(connection, risen))
                self._total = total
        return self._states

    def _take(self, connection: Connection, marks: dict[str, Mark]) -> None:
        """Read the models whose mark is another one. What changes between mark and state shows at the next look."""
        changed = {model for model, mark in marks.items() if self._marks.get(model) != mark}
        kept = {model: state for model, state in self._states.items() if model in marks and model not in changed}
        if changed or len(kept) != len(self._states):
            self._states = kept | states_in(connection, changed)
        self._marks = marks

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()

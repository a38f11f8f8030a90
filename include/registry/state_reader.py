"""The deployment state for those who ask again and again: what nobody has changed is not read again."""

from __future__ import annotations

import time
from typing import Any, Final

import psycopg2
from sqlalchemy import Connection, event, func, select

from include.registry import database
from include.registry.deployed import Mark, ModelState, read_marks, read_revisions, states_in
from include.registry.tables import deployment, model_version
from include.settings import Settings

REREAD_SECONDS: Final = 5.0
_LISTEN: Final = "LISTEN noria_state"
"""The channel on which triggers tell the table whose rows have changed: ``deployment``, or ``model_version``."""
_RARER: Final = 6
"""How many times longer the pause between two looks at all rows is, where a change of one is told."""
_TOTAL: Final = select(func.count(), func.coalesce(func.sum(deployment.c.revision), 0))
"""Another one after every change of the state: each raises its model's revision, and no model ever goes."""


class StateReader:
    """Reads the state of all models over one kept connection; used by one thread at a time.

    The database tells changes over the same connection. Once it has told one, it is asked when it tells the next, or
    after some seconds. If one is then found that it had not told (behind a pooler of connections it cannot), it is
    asked at each call again. Asking costs one row as long as no model's revision has risen; then the models are read
    whose own has. A version's row may be changed beside the ledger, by a signature or by somebody with access to the
    database: that is told, too, and whether one was is looked at every :data:`REREAD_SECONDS`, or six times as rarely.

    :param settings: where the database is.
    :param reread_seconds: pause between two looks at the rows of all deployed versions.
    :param silent_seconds: how long a database that tells changes is believed when it says nothing.
    """

    def __init__(
        self,
        settings: Settings,
        reread_seconds: float = REREAD_SECONDS,
        silent_seconds: float = REREAD_SECONDS,
    ) -> None:
        self._url = settings.database_url
        self._engine = database.create(self._url, pooled=True)
        event.listen(self._engine, "connect", self._listen)
        self._reread_seconds = reread_seconds
        self._silent_seconds = silent_seconds
        self._tells = False
        self._untold = False
        self._asked_at = float("-inf")
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
            notices, now = self._notices(connection), time.monotonic()
            told = [notice.payload for notice in notices]
            if told or self._untold:
                self._tells, self._untold = bool(told), False
                self._asked_at = float("-inf")
            if self._tells and now - self._asked_at < self._silent_seconds:
                return self._states
            count, revisions = connection.execute(_TOTAL).one()
            total = (int(count), int(revisions))
            # What tells of this very change may be on its way: it has until the next look.
            self._untold = not told and self._total not in (None, total)
            if self._is_time(now) or model_version.name in told:
                self._take(connection, read_marks(connection))
                self._total, self._looked_at = total, now
            elif total != self._total:
                known = read_revisions(connection)
                risen = [model for model, revision in known.items() if self._marks.get(model, (None,))[0] != revision]
                same = {model: mark for model, mark in self._marks.items() if model in known}
                self._take(connection, same | read_marks(connection, risen))
                self._total = total
            self._asked_at = now
            del notices[: len(told)]  # others may have come meanwhile
        return self._states

    def _is_time(self, now: float) -> bool:
        """Whether all deployed versions' rows are to be looked at."""
        return now - self._looked_at >= self._reread_seconds * (_RARER if self._tells else 1)

    def _listen(self, connection: Any, _record: object) -> None:
        """What a new connection begins with; whether it tells anything has to be seen."""
        self._tells = self._untold = False
        try:
            with connection.cursor() as cursor:
                cursor.execute(_LISTEN)
            connection.commit()
        except psycopg2.Error:  # such as a copy of the database that only reads: then it is asked
            connection.rollback()

    def _notices(self, connection: Connection) -> list[Any]:
        """What the database has told and nobody has looked after yet; asks for nothing."""
        own: Any = connection.connection.driver_connection
        try:
            own.poll()
        except psycopg2.Error:  # it is lost: whoever asks next opens another one
            connection.invalidate()
            self._tells = False
            return []
        found: list[Any] = own.notifies
        return found

    def _take(self, connection: Connection, marks: dict[str, Mark]) -> None:
        """Read the models whose mark is another one. What changes between mark and state shows at the next look."""
        changed = {model for model, mark in marks.items() if self._marks.get(model) != mark}
        kept = {model: state for model, state in self._states.items() if model in marks and model not in changed}
        if changed or len(kept) != len(self._states):
            self._states = kept | states_in(connection, changed)
        self._marks = marks

    def close(self) -> None:
        """Close the connection; who reads again opens another one."""
        self._engine.dispose()

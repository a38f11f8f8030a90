"""Data without time as of an instant: which delivery of it a run knows. See ``include/spec/ADR-data-without-time.md``.

Each delivery that differs replaces the whole, as a new version of the table, whose commit says as of when it was
ingested.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from include.errors import Refused
from include.lake.table import LakeTable


class NotDeliveredYet(Refused):
    """A run wants data as of an instant at which none had been delivered.

    :param as_of: the run's instant.
    :param first: as of when the first delivery was ingested.
    """

    def __init__(self, table: LakeTable, as_of: datetime, first: datetime) -> None:
        self.as_of, self.first = as_of, first
        super().__init__(
            f"The {table.label} holds nothing as of {as_of.isoformat()}: this data has no time, and its first delivery "
            f"was ingested as of {first.isoformat()}. Choose that instant or a later one."
        )


class NewerDelivery(Refused):
    """What lies in the source now would be ingested as older than what is published.

    :param as_of: the run's instant.
    :param newest: as of when the newest delivery was ingested.
    """

    def __init__(self, table: LakeTable, as_of: datetime, newest: datetime) -> None:
        self.as_of, self.newest = as_of, newest
        super().__init__(
            f"The {table.label} holds data as of {newest.isoformat()}, and data without time cannot be ingested for "
            f"the past ({as_of.isoformat()}): what the source held then is not known. Choose a later as_of, or none. "
            "Trainings as of the past need nothing ingested; they read the version that was published by then."
        )


def version_as_of(table: LakeTable, as_of: datetime) -> int:
    """The newest version of a table that exists that a run as of ``as_of`` or earlier published.

    :raises NotDeliveredYet: if there is none.
    """
    deliveries = list(_deliveries(table))
    known = [version for version, instant in deliveries if instant <= as_of]
    if not known:
        raise NotDeliveredYet(table, as_of, min(instant for _, instant in deliveries))
    return max(known)


def refuse_the_past(table: LakeTable, as_of: datetime) -> None:
    """Let nothing be ingested that would count as older than what is published.

    :raises NewerDelivery: if so.
    """
    newest = max((instant for _, instant in _deliveries(table)), default=None) if table.exists() else None
    if newest is not None and as_of < newest:
        raise NewerDelivery(table, as_of, newest)


def _deliveries(table: LakeTable) -> Iterator[tuple[int, datetime]]:
    """Each published version and the instant of the run that published it."""
    for entry in table.history():
        if "noria" in entry:
            yield int(entry["version"]), datetime.fromisoformat(entry["noria"]["as_of"])

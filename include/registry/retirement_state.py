"""How far a model's retirement has come, as the registry keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select

from include.registry.tables import retirement


@dataclass(frozen=True, kw_only=True)
class Retirement:
    """A model that is on its way out of production, or out of it.

    :param began_at: when a person began it; it names this retirement.
    :param until: the latest instant at which the model stops answering.
    :param quiet: it stops before that when nobody has asked for so long.
    :param keep: how long it can be undone once the model is out.
    :param sightings: what each server has last said of requests, while the model still answers.
    :param restorable_until: until when it can be undone; None while the model still answers.
    :param archive: folder of its archive in the store; None if there is none yet.
    :param archive_digest: digest of the archive's manifest.
    :param freeing_at: when it was settled that everything goes which audit does not need.
    :param freed_at: when all of that was gone.
    """

    model: str
    began_at: datetime
    until: datetime
    quiet: timedelta
    keep: timedelta
    sightings: Mapping[str, Mapping[str, Any]]
    restorable_until: datetime | None
    archive: str | None
    archive_digest: str | None
    freeing_at: datetime | None
    freed_at: datetime | None

    @property
    def is_draining(self) -> bool:
        """Whether the model still answers."""
        return self.restorable_until is None


def retirement_in(connection: Connection, model: str) -> Retirement | None:
    """A model's retirement in the caller's transaction; None if it has none, or was retired by a release before it."""
    row = connection.execute(select(retirement).where(retirement.c.model == model)).one_or_none()
    return None if row is None else retirement_of(row)


def retirement_of(row: Row[Any]) -> Retirement:
    """What a row of the table says."""
    values = dict(row._mapping)
    quiet, keep = (timedelta(seconds=values.pop(f"{name}_seconds")) for name in ("quiet", "keep"))
    return Retirement(**values, quiet=quiet, keep=keep)

"""Which version may take which place: the rules that every change of production asks."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from include.registry import versions
from include.registry.ledger import Locked
from include.registry.refusals import (
    ModelRetired,
    ModelRetiring,
    OlderThanChampion,
    StateChanged,
    VersionBarred,
    VersionFreed,
)
from include.registry.versions import ModelVersion


class AnyChampion:
    """Type of :data:`ANY`."""


ANY: Final = AnyChampion()
"""The expected champion may be any version, or none."""


def check_entry(
    connection: Connection, locked: Locked, wanted: ModelVersion, *, force: bool, expected: int | AnyChampion | None
) -> None:
    """Let a version go on its way into production, as champion or as its challenger, or say why not.

    :param force: also against a champion with a newer as-of, and for a retired model. A bar is never forced.
    :param expected: the champion that the change was decided against.
    :raises VersionBarred: the version is barred.
    :raises StateChanged: the champion is not the expected one.
    :raises VersionFreed: its artifact is gone.
    :raises ModelRetiring: the model is on its way out; that is never forced.
    :raises ModelRetired: the model is out of production.
    :raises OlderThanChampion: the champion knows newer data.
    """
    model = locked.model
    if wanted.status == "barred":
        raise VersionBarred(model, wanted.version)
    if wanted.freed_at is not None:
        raise VersionFreed(model, wanted.version, wanted.freed_at)
    if locked.retirement is not None and locked.retirement.is_draining:
        raise ModelRetiring(model, locked.retirement.until)
    if not isinstance(expected, AnyChampion) and expected != locked.champion:
        raise StateChanged(model, expected, locked.champion)
    if locked.retired and not force:
        raise ModelRetired(model)
    if locked.champion is not None and not force:
        current = versions.read_version(connection, model, locked.champion)
        if wanted.as_of < current.as_of:
            raise OlderThanChampion(model, wanted, current)

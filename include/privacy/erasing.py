"""Erasure: in an order in which a kill at any point does no harm, and the same command goes on.

First the record and the block list: from then on nobody can publish a row of the key, whatever is running. Then what
is found by the help of raw rows: versions, request log, MLflow. Raw rows go last, so that a second try finds the rest.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from include.errors import NothingToDo, TryAgain
from include.lake.erased import block, erasure_digest
from include.lake.locks import advisory_lock
from include.lake.table import LakeTable
from include.privacy import lake_rows, log_rows, messages, pages, store_files
from include.privacy.held import Held, added
from include.privacy.holding import holdings
from include.privacy.key import EntityKey
from include.privacy.lake_rows import RawRows
from include.privacy.log_rows import LogKey
from include.privacy.tracked_runs import Tracked
from include.registry import erasures
from include.registry.erasures import Erasure
from include.registry.versions import ModelVersion, list_versions
from include.settings import Settings


class NothingHeld(NothingToDo):
    """There is nothing to erase."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(f"Nothing is held of this key of {model}; nothing was changed, and nothing was recorded.")


class StillHeld(TryAgain):
    """Something of the key is still there, or came while it was erased."""

    def __init__(self, model: str, places: list[str]) -> None:
        self.places = places
        super().__init__(
            f"{model} still holds the key in {', '.join(places)}: it came there meanwhile, or the server "
            "is writing to that segment of its log for a minute at most. Give the same command again then."
        )


@dataclass(frozen=True)
class Erased:
    """What an erasure did.

    :param record: its row.
    :param notes: what stays, and what to do about it.
    """

    record: Erasure
    notes: list[str]


def erase(settings: Settings, key: EntityKey, *, actor: str, reason: str) -> Erased:
    """Erase a key from everything that is Noria's, or go on with an erasure that was killed.

    :raises NothingHeld: there is nothing, and no erasure was begun.
    :raises StillHeld: something came while it ran.
    :raises LockUnavailable: another erasure of this model runs.
    """
    model = key.definition.model
    with advisory_lock(settings.database_url, "erasure", model):
        digest = erasure_digest(settings, key.values)
        found = holdings(settings, key)
        is_open = any(one.finished_at is None for one in found.erasures)
        if not found.held and not is_open:
            raise NothingHeld(model)
        record = erasures.begin(settings, model, key_columns=key.columns, key_hmac=digest, actor=actor, reason=reason)
        block(settings, model, key.columns, digest)
        document = _take_out(settings, key, record)
        after = holdings(settings, key)
        if after.held:
            raise StillHeld(model, [place.place for place in after.held])
        document["remains"] = list(after.notes)
        return Erased(erasures.note(settings, record.id, document, finished=True), list(after.notes))


def _take_out(settings: Settings, key: EntityKey, record: Erasure) -> dict[str, Any]:
    document = dict(record.document)
    document.setdefault("tables", {name: {"before": _version(settings, key, name)} for name in lake_rows.TABLES})
    for step in _steps(settings, key, record):
        document["places"] = added(document.get("places", {}), step())
        erasures.note(settings, record.id, document)
    for name in lake_rows.TABLES:
        document["tables"][name]["after"] = _version(settings, key, name)
    return document


def _version(settings: Settings, key: EntityKey, name: str) -> dict[str, Any] | None:
    """Version and digest of a table."""
    table = LakeTable(settings, key.definition.model, name)
    return {"version": table.version(), "digest": table.digest()} if table.exists() else None


def _steps(settings: Settings, key: EntityKey, record: Erasure) -> Iterator[Callable[[], list[Held]]]:
    """What is taken out, in order."""
    model, attempt = key.definition.model, f"erasure-{record.id}-{uuid.uuid4().hex[:8]}"
    raw = RawRows.of(settings, key)
    log = LogKey.of(settings, key, raw.entities(key))

    def mark() -> list[Held]:
        affected = [one.version for one in list_versions(settings, model) if _is_of(one, key, raw)]
        erasures.mark_versions(settings, model, record.id, affected)
        return [Held(place="versions", rows=len(affected), where={str(version): 1 for version in affected})]

    yield mark
    yield lambda: [log_rows.remove_damaged(settings, key)]
    yield lambda: [log_rows.erase(settings, log, "feedback")]
    yield lambda: [log_rows.erase(settings, log, "inference")]
    yield lambda: [store_files.erase_staged(settings, key), store_files.erase_refused(settings, key, log)]
    yield lambda: [pages.erase(settings, key), messages.erase(settings, key)]
    yield lambda: [store_files.erase_training_sets(settings, key)]
    yield lambda: [Tracked(settings, key, raw).erase()]
    for name in lake_rows.TABLES:
        yield lambda name=name: [lake_rows.erase(settings, key, name, f"{attempt}-{name}")]  # type: ignore[misc]
    yield lambda: [store_files.erase_past(settings, key), store_files.erase_staged(settings, key)]


def _is_of(version: ModelVersion, key: EntityKey, raw: RawRows) -> bool:
    """Whether rows of the key lie in the windows of a version; of data without time all versions are meant."""
    if not raw.rows.num_rows:
        return False
    source = key.definition.source
    if not source.has_time:
        return True
    zone = ZoneInfo(source.time_zone)
    times = [one.replace(tzinfo=zone) for one in raw.times(key) if one is not None]
    return any(_within(window, time) for window in version.windows.values() for time in times)


def _within(window: Mapping[str, Any], time: datetime) -> bool:
    try:
        return datetime.fromisoformat(window["start"]) <= time < datetime.fromisoformat(window["end"])
    except (KeyError, ValueError, TypeError):
        return False


def summary(erased: Erased) -> list[str]:
    """What an erasure did, for people."""
    record = erased.record
    lines = [f"{record.model}: erasure {record.id} is done."]
    for place, found in record.document.get("places", {}).items():
        files = f", {found['files']} file(s)" if found["files"] else ""
        lines.append(f"  {place:20} {found['rows']:7,} rows{files}")
    versions = record.document.get("places", {}).get("versions", {}).get("where", {})
    if versions:
        lines.append(f"  versions that can no longer be reproduced: {', '.join(versions)}")
    return [*lines, *(f"  note: {note}" for note in erased.notes)]

"""What one place holds of a key: the lines of the listing, and of the record of an erasure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a place holds, or what was taken out of it.

    :param place: such as ``raw``, ``inference``, ``quarantine``.
    :param rows: rows, records or mentions.
    :param where: rows by partition, day, file or run.
    :param files: files of older versions, copies and leftovers.
    :param digests: digest of each partition before and after, where it has one.
    """

    place: str
    rows: int = 0
    where: Mapping[str, int] = field(default_factory=dict)
    files: int = 0
    digests: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.rows or self.files)

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        document: dict[str, Any] = {"rows": self.rows, "files": self.files, "where": dict(self.where)}
        if self.digests:
            document["digests"] = {key: {"before": old, "after": new} for key, (old, new) in self.digests.items()}
        return document


def added(document: Mapping[str, Any], more: Iterable[Held]) -> dict[str, Any]:
    """What was taken out by earlier tries of an erasure, and by this one."""
    places = {name: dict(value) for name, value in document.items()}
    for held in filter(None, more):
        new, old = held.to_document(), places.get(held.place, {})
        places[held.place] = {
            "rows": old.get("rows", 0) + new["rows"],
            "files": old.get("files", 0) + new["files"],
            "where": {**old.get("where", {}), **new["where"]},
            **({"digests": {**old.get("digests", {}), **new["digests"]}} if "digests" in new else {}),
            **({"digests": old["digests"]} if "digests" in old and "digests" not in new else {}),
        }
    return places

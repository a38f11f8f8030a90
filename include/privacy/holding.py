"""The listing of what is held about a key: where, how much, of which partitions and days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from include.lake.erased import erasure_digest
from include.privacy import lake_rows, log_rows, messages, pages, store_files
from include.privacy.held import Held
from include.privacy.key import EntityKey
from include.privacy.lake_rows import RawRows
from include.privacy.log_rows import LogKey
from include.privacy.tracked_runs import Tracked
from include.registry.erasures import Erasure, list_erasures
from include.settings import Settings
from include.spec.definition import Definition

_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """What is held of a key, without the key.

    :param places: what each place holds; those that hold nothing too.
    :param notes: what no place here says: of the source, of models that learned a value.
    :param erasures: of the same key, oldest first.
    """

    model: str
    columns: Sequence[str]
    places: Sequence[Held]
    notes: Sequence[str]
    erasures: Sequence[Erasure]

    @property
    def held(self) -> list[Held]:
        """The places that hold something."""
        return [place for place in self.places if place]

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "model": self.model,
            "key_columns": list(self.columns),
            "held": {place.place: place.to_document() for place in self.held},
            "nothing_in": [place.place for place in self.places if not place],
            "notes": list(self.notes),
            "erasures": [
                {
                    "id": one.id,
                    "started_at": one.started_at.isoformat(),
                    "finished_at": one.finished_at.isoformat() if one.finished_at else None,
                    "reason": one.reason,
                }
                for one in self.erasures
            ],
        }

    def lines(self) -> list[str]:
        """The same for people."""
        head = f"{self.model}, a key of {', '.join(self.columns)}:"
        lines = [head] if self.held else [f"{head} nothing is held."]
        for place in self.held:
            names = [f"{name} ({count})" for name, count in list(place.where.items())[:_SHOWN]]
            more = f" and {len(place.where) - _SHOWN} more" if len(place.where) > _SHOWN else ""
            files = f", {place.files} file(s) of older versions, copies or leftovers" if place.files else ""
            lines.append(f"  {place.place:20} {place.rows:7,} rows{files}  {', '.join(names)}{more}".rstrip())
        nothing = [place.place for place in self.places if not place]
        lines += [f"  nothing in: {', '.join(nothing)}"] if nothing and self.held else []
        lines += [f"  note: {note}" for note in self.notes]
        for one in self.erasures:
            ended = f"{one.finished_at:%Y-%m-%d %H:%M}" if one.finished_at else "not ended; give the same command again"
            lines.append(f"  erasure {one.id}: begun {one.started_at:%Y-%m-%d %H:%M}, ended {ended}: {one.reason}")
        return lines


def holdings(settings: Settings, key: EntityKey) -> Holdings:
    """Look everywhere. What the server has not brought into its tables yet is brought there first."""
    model = key.definition.model
    log_rows.compact(settings, model)
    raw = RawRows.of(settings, key)
    log = LogKey.of(settings, key, raw.entities(key))
    tracked = Tracked(settings, key, raw)
    places = [
        *(lake_rows.find(settings, key, name) for name in reversed(lake_rows.TABLES)),
        log_rows.find(settings, log, "inference"),
        log_rows.find(settings, log, "feedback"),
        log_rows.find_segments(settings, key),
        *store_files.find(settings, key, log),
        pages.find(settings, key),
        tracked.find(),
        messages.find(settings, key),
    ]
    digest = erasure_digest(settings, key.values)
    known = [one for one in list_erasures(settings, model) if one.key_hmac == digest]
    found = Holdings(model=model, columns=key.columns, places=places, notes=notes(tracked), erasures=known)
    if not found.held:
        return found
    return Holdings(
        model=model,
        columns=key.columns,
        places=places,
        notes=[source_note(key.definition), *found.notes],
        erasures=known,
    )


def notes(tracked: Tracked) -> list[str]:
    """What erasing leaves behind."""
    return [
        f"logged model {model} has learned a value of the key (in its features or profile) and keeps it: train again, "
        "deploy, and delete the old version in MLflow"
        for model in tracked.packages()
    ]


def source_note(definition: Definition) -> str:
    """What is said of the team's own source."""
    source = definition.source
    place = source.path or source.table or "the query"
    return (
        f"the source ({source.type}: {place}) is your own and may hold it still: erase it there too. A new ingest "
        "leaves rows of an erased key out and counts them"
    )

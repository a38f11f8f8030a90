"""A definition's groups of the past, each with the definition that declares it, and the columns that they give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from include.spec.definition import ColumnType, Definition
from include.spec.duration import format_duration


@dataclass(frozen=True, kw_only=True)
class History:
    """One group as a model uses it.

    :param name: of the group, the same in every model that uses it.
    :param owner: the definition that declares it, whose rows are the past.
    :param keys: the using model's key columns.
    :param by: the owner's columns for the same.
    :param over: length of the window.
    :param known_after: how long after its end a partition is known.
    :param values: name → aggregate and its expression.
    """

    name: str
    owner: Definition
    keys: tuple[str, ...]
    by: tuple[str, ...]
    over: timedelta
    known_after: timedelta
    values: Mapping[str, tuple[str, str]]

    @property
    def columns(self) -> dict[str, ColumnType]:
        """The columns that it gives, and their types: counts are integers, everything else a number or null."""
        return {
            f"{self.name}_{value}": "integer" if aggregate == "count" else "number"
            for value, (aggregate, _) in self.values.items()
        }

    @property
    def key_types(self) -> list[ColumnType]:
        """Types of the key's columns."""
        return [self.owner.source.columns[name] for name in self.by]

    def to_document(self) -> dict[str, Any]:
        """Everything that decides on its values, beside the rows."""
        source = self.owner.source
        return {
            "model": self.owner.model,
            "group": self.name,
            "by": list(self.by),
            "types": self.key_types,
            "over": format_duration(self.over),
            "known_after": format_duration(self.known_after),
            "values": {name: list(value) for name, value in self.values.items()},
            "partition": source.partition,
            "time_zone": source.time_zone,
            "event_time": source.event_time,
        }


def histories(definition: Definition) -> tuple[History, ...]:
    """The groups of a checked definition, those of other models among them."""
    return tuple(found for name in definition.history if (found := history_of(definition, name)) is not None)


def history_of(definition: Definition, name: str) -> History | None:
    """One group; None if a definition that was not checked does not say all of it."""
    used = definition.history[name]
    owner = definition if used.model is None else definition.lenders.get(used.model)
    declared = owner.history.get(name) if owner is not None else None
    if owner is None or declared is None or declared.model is not None or declared.by is None or declared.over is None:
        return None
    return History(
        name=name,
        owner=owner,
        keys=tuple(declared.by if used.by is None else used.by),
        by=tuple(declared.by),
        over=declared.over,
        known_after=owner.label.known_after if declared.known_after is None else declared.known_after,
        values={value: one.given[0] for value, one in declared.values.items() if one.given},
    )


def history_columns(definition: Definition) -> dict[str, ColumnType]:
    """The columns that a model's rows get from the past, and their types."""
    return {name: kind for history in histories(definition) for name, kind in history.columns.items()}


def row_columns(definition: Definition) -> dict[str, ColumnType]:
    """Everything that a feature may read: the source's columns, and those of the past."""
    return {**definition.source.columns, **history_columns(definition)}

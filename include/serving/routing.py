"""Which version answers a request: sticky by the hash of its entity, the same on every worker and server.

A challenger answers the entities whose bucket lies below its share. The buckets depend on the challenger's version, so
that each challenger meets other entities first; a share that grows keeps the entities that it had.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson

BUCKETS = 10_000


def bucket(model: str, version: int, key: str) -> int:
    """The bucket, 0 to 9999, of a routing key for a challenger.

    :param version: the challenger's version.
    :param key: the caller's own key, :func:`entity_key`'s text, or the request's id.
    """
    digest = blake2b(f"{model}\0{version}\0{key}".encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest) % BUCKETS


def threshold(share: float) -> int:
    """The first bucket that a challenger with this share (0 to 1) does not answer."""
    return round(share * BUCKETS)


def entity_key(entity_columns: Mapping[str, str], row: Mapping[str, Any], time_zone: str = "UTC") -> str | None:
    """Canonical JSON text of a row's entity: the values of the entity columns in order; None if it has none of them.

    Writings of the same value are the same: ``1`` and ``1.0``, ``2013-10-01 05:00`` and ``2013-10-01T05:00:00``, and
    in New York ``2013-10-01T05:00:00`` and ``2013-10-01T09:00:00Z``. A column that is not given counts as null.

    :param entity_columns: name and type (string, integer, number, boolean, timestamp) of each column, in order.
    :param time_zone: the source's, in which a time without zone is meant.
    """
    if not entity_columns:
        return None
    return _key(tuple([_CANONICAL[kind](row.get(name), time_zone) for name, kind in entity_columns.items()]))


def entity_keys(
    entity_columns: Mapping[str, str], columns: Sequence[Sequence[Any]], time_zone: str = "UTC"
) -> list[str | None]:
    """:func:`entity_key` of many rows.

    :param columns: the values of each entity column, in order, at least one column.
    """
    canonical = [
        values if _CANONICAL[kind] is _as_it_is else [_CANONICAL[kind](value, time_zone) for value in values]
        for values, kind in zip(columns, entity_columns.values(), strict=True)
    ]
    return [_key(values) for values in zip(*canonical, strict=True)] if canonical else [None]


def _key(values: tuple[Any, ...]) -> str | None:
    if not any(value is not None for value in values):
        return None
    try:
        return orjson.dumps(values).decode()
    except TypeError:  # an integer beyond 64 bits, or half a surrogate pair
        return repr(list(values))


def _as_it_is(value: Any, _: str) -> Any:
    return value


def _integer(value: Any, _: str) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(value: Any, _: str) -> Any:
    if type(value) not in {int, float}:
        return value
    try:
        return float(value) + 0.0  # of -0.0 too
    except OverflowError:
        return value


def _instant(value: Any, time_zone: str) -> Any:
    return _local(value, time_zone) if isinstance(value, str) else value


_CANONICAL: Final[dict[str, Callable[[Any, str], Any]]] = {
    "string": _as_it_is,
    "boolean": _as_it_is,
    "integer": _integer,
    "number": _number,
    "timestamp": _instant,
}


@lru_cache(maxsize=4096)
def _local(text: str, time_zone: str) -> str:
    """The local time that a text means, as the packaged model reads it."""
    try:
        instant = datetime.fromisoformat(text.strip())
        if instant.tzinfo is not None:
            instant = instant.astimezone(ZoneInfo(time_zone)).replace(tzinfo=None)
        return instant.isoformat()
    except (ValueError, OverflowError):  # no instant, or one beyond the years 1 to 9999 in UTC
        return text

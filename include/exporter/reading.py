"""Reading from a database beside those that work with it: read-only, each statement for two seconds at most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from sqlalchemy import Connection, Row, text

from include.registry import database

STATEMENT_SECONDS: Final = 2
LOCK_SECONDS: Final = 1


@contextmanager
def reading(database_url: str) -> Iterator[Connection]:
    """A transaction that can change nothing, on a connection of its own; the schema is taken as it is.

    :raises DatabaseAway: the database cannot be reached, or was too slow.
    :raises SQLAlchemyError: its tables are others.
    """
    with database.speaking(database_url), database.create(database_url).begin() as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        connection.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'"))
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
        yield connection


def rows(connection: Connection, statement: str, values: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
    """All rows of a statement."""
    return connection.execute(text(statement), values or {}).all()


def gauge(
    name: str, words: str, labels: Sequence[str], samples: Mapping[tuple[str, ...], float | None]
) -> GaugeMetricFamily:
    """A gauge with a sample for each combination of labels; None is left out."""
    family = GaugeMetricFamily(name, words, labels=labels)
    for values, value in samples.items():
        if value is not None:
            family.add_metric(values, float(value))
    return family


def counter(
    name: str, words: str, labels: Sequence[str], samples: Mapping[tuple[str, ...], float]
) -> CounterMetricFamily:
    """A counter, whose samples get the name's ``_total``."""
    family = CounterMetricFamily(name, words, labels=labels)
    for values, value in samples.items():
        family.add_metric(values, float(value))
    return family

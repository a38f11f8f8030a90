"""Spark's executors as workers: every item is a task, done as a thread of one machine would do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from include.engines.spark.errors import Outcome, SparkFailed, cause_of
from include.engines.spark.session import SparkSession
from include.lake.workers import Work
from include.settings import Settings

Item = TypeVar("Item")
Result = TypeVar("Result")


class SparkWorkers:
    """See :class:`include.lake.workers.Workers`."""

    def __init__(self, session: SparkSession) -> None:
        self._session = session

    @property
    def threads(self) -> int:
        """An executor's processors: it does one work at a time."""
        return self._session.engine.cpu

    @property
    def memory(self) -> str:
        """DuckDB's share of an executor's memory."""
        return self._session.duckdb_memory

    def map(self, work: Work[Item, Result], items: Sequence[Item]) -> list[Result]:
        """See :class:`include.lake.workers.Workers`.

        :raises SparkFailed: if an executor was lost too often.
        """
        if not items:
            return []
        task = _task(replace(cast(Any, work), settings=without_secrets(work.settings)))
        context = self._session.context
        try:
            outcomes = context.parallelize(items, len(items)).map(task).collect()
        except Exception as error:  # Java's, of whatever kind
            raise SparkFailed("do the work", cause_of(error)) from error
        return [outcome.get() for outcome in outcomes]


def without_secrets(settings: Settings) -> Settings:
    """What an executor is told of where things are: no database, no key, and a bucket without its credentials."""
    bucket = settings.bucket and replace(settings.bucket, key=None, secret=None, token=None)
    return replace(
        settings,
        database_url="",
        airflow_database_url=None,
        server_token=None,
        connections=(),
        signing_key=None,
        bucket=bucket,
    )


def with_own_secrets(settings: Settings) -> Settings:
    """The settings in an executor: the bucket's credentials are in its own environment."""
    if settings.bucket is None:
        return settings
    own = Settings.from_environment().bucket
    if own is None:
        return settings
    return replace(settings, bucket=replace(settings.bucket, key=own.key, secret=own.secret, token=own.token))


def _task(work: Any) -> Callable[[Any], Outcome]:
    def run(item: Any) -> Outcome:
        return Outcome.of(lambda: replace(work, settings=with_own_secrets(work.settings))(item))

    return run

"""Sensors on data: a partition's file or rows have arrived, the partitions that a training needs are published.

Each looks at once and defers only if there is something worth waiting for; a waiting task holds no worker slot.
A run about the past (an archive, a backfill, an old date by hand) does not wait for a day that cannot come by itself
any more: it ends at once with what to do. The form's ``wait_minutes`` overrules that.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.errors import NoriaError
from include.lake.paths import source_path
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.partitions import Partition, PartitionCalendar
from include.steps.waiting import source_file
from plugins.definitions import arrangement_of
from plugins.operators.environment import connection_variables
from plugins.sensors.missing import PartitionMissing
from plugins.sensors.triggers import (
    CheckFailed,
    FileTrigger,
    PublishedPartitionsTrigger,
    SourceTrigger,
    absent_partitions,
    missing_partitions,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

_SHOWN = 10
_LOOK_AGAIN = timedelta(minutes=2)


class PartitionArrivedSensor(BaseSensorOperator):
    """
    Waits until the data of the run's partition is in the source: its file, or rows.

    A run over a range of partitions does not wait.

    :param model: Name of the model.
    :param as_of: The run's instant, ISO 8601 with offset. (templated)
    """

    template_fields: Sequence[str] = ("as_of",)

    def __init__(self, *, model: str, as_of: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.as_of = as_of

    def execute(self, context: Context) -> None:
        """Look at once; defer if the data may still come."""
        params = context["params"]
        if params.get("first") or params.get("last"):
            self.log.info("a range was asked for: what is missing of it is said by the step ingest")
            return
        settings, definition, as_of = _situation(self.model, self.as_of)
        partition = PartitionCalendar.of(definition).last_complete(as_of)
        place = source_address(settings, definition, partition.key)
        if not _absent(settings, definition, [partition.key]):
            self.log.info("partition %s has arrived: %s", partition.key, place)
            return
        due = partition.end + definition.source.arrives_after
        wait = patience(definition, due, params.get("wait_minutes"))
        lacks, cure = _words(definition)
        what = f"Partition {partition.key} of {self.model}" if definition.source.has_time else f"{self.model}'s data"
        message = f"{what} is not there: {place} {lacks}."
        if not wait:
            raise PartitionMissing(
                f"{message} It is of the past, so this run does not wait for it. {cure}, or start "
                f"{self.model}.data with another as_of, or with wait_minutes if it is on its way.",
                partition.key,
            )
        until = datetime.now(UTC) + wait
        self.log.info("%s Waiting for it until %s.", message, until.isoformat(timespec="seconds"))
        self.defer(
            trigger=FileTrigger(place, until.isoformat())
            if _is_local_file(settings, definition)
            else SourceTrigger(self.model, partition.key, until.isoformat()),
            method_name="resume",
            kwargs={
                "message": f"{message} This run waited {wait} for it. {cure} and clear this task.",
                "key": partition.key,
            },
        )

    def resume(self, context: Context, event: dict[str, Any], message: str, key: str) -> None:  # noqa: ARG002
        """Go on if the data has arrived; fail if time was up."""
        if not event["arrived"]:
            raise PartitionMissing(message, key)
        self.log.info("the partition has arrived")


class PublishedPartitionsSensor(BaseSensorOperator):
    """
    Waits until the features of all partitions that a training as of ``as_of`` needs are published.

    When there is nothing left to wait for, up to ``training.max_missing_partitions`` may be missing.

    :param model: Name of the model.
    :param as_of: The run's instant, ISO 8601 with offset. (templated)
    """

    template_fields: Sequence[str] = ("as_of",)

    def __init__(self, *, model: str, as_of: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.as_of = as_of

    def execute(self, context: Context) -> None:
        """Look at once; defer if what is missing may still come."""
        self._look(context, started=datetime.now(UTC))

    def resume(self, context: Context, event: dict[str, Any], started: str) -> None:  # noqa: ARG002 - looked at afresh
        """Look again after the trigger fired."""
        self._look(context, started=datetime.fromisoformat(started))

    def _look(self, context: Context, *, started: datetime) -> None:
        settings, definition, as_of = _situation(self.model, self.as_of)
        try:
            missing = missing_partitions(self.model, self.as_of)
        except CheckFailed as problem:
            raise AirflowException(str(problem)) from None
        if not missing:
            self.log.info("all partitions that the training needs are published")
            return
        now = datetime.now(UTC)
        until = now
        # Old days do not come by themselves, however new as_of is: the newest missing one decides.
        due = PartitionCalendar.of(definition).due(missing[-1], as_of) + definition.source.arrives_after
        if wait := patience(definition, due, context["params"].get("wait_minutes")):
            until = started + wait
        elif any_data_run(context, self.model):
            # The past comes only by a data run, and there is one.
            until = min(started + definition.training.wait_for_data, now + _LOOK_AGAIN)
        if now < until:
            self.log.info("not published yet: %s. Looking again until %s.", shown(missing), until.isoformat())
            self.defer(
                trigger=PublishedPartitionsTrigger(self.model, self.as_of, until.isoformat()),
                method_name="resume",
                kwargs={"started": started.isoformat()},
            )
        self._judge(settings, definition, missing)

    def _judge(self, settings: Settings, definition: Definition, missing: list[str]) -> None:
        allowed = definition.training.max_missing_partitions
        if len(missing) <= allowed:
            self.log.warning("goes on without %s (max_missing_partitions is %d)", shown(missing), allowed)
            return
        # A database is asked for each: only for those that the message names.
        asked = missing if definition.source.type == "files" else missing[:_SHOWN]
        absent = _absent(settings, definition, asked)
        source = f"The source has no {_thing(definition)} for {shown(absent)}. " if absent else ""
        if not definition.source.has_time:
            raise AirflowFailException(
                f"{self.model} cannot be trained as of {self.as_of}: none of its data is published. {source}"
                f"Trigger the DAG {self.model}.data, then clear this task."
            )
        raise AirflowFailException(
            f"{self.model} cannot be trained as of {self.as_of}: {len(missing)} of the partitions that it needs are "
            f"not published: {shown(missing)}; {allowed} may be missing (training.max_missing_partitions). {source}"
            f"Ingest them: trigger the DAG {self.model}.data with "
            f'{{"first": "{missing[0]}", "last": "{missing[-1]}"}}, then clear this task.'
        )


def patience(definition: Definition, due: datetime, wait_minutes: int | None) -> timedelta:
    """How long to wait for data that was due at an instant: not at all if it is of the past.

    :param definition: the model's; ``training.wait_for_data`` is the longest wait.
    :param due: when the data was complete.
    :param wait_minutes: what the form says, if it says anything.
    """
    if wait_minutes is not None:
        return timedelta(minutes=wait_minutes)
    longest = definition.training.wait_for_data
    is_past = definition.source.ends is not None or _one_partition_later(definition, due) + longest < datetime.now(UTC)
    return timedelta(0) if is_past else longest


def any_data_run(context: Context, model: str) -> bool:
    """Whether a run that publishes the model's features is queued or running."""
    count = context["ti"].get_dr_count
    return any(count(dag_id=f"{model}.{family}", states=["queued", "running"]) for family in ("data", "restore"))


def shown(keys: Sequence[str]) -> str:
    """Some keys for a message: all if they are few, else the first and the last."""
    if len(keys) <= _SHOWN:
        return ", ".join(keys)
    return f"{', '.join(keys[: _SHOWN - 1])} … {keys[-1]} ({len(keys)} in all)"


def source_address(settings: Settings, definition: Definition, key: str) -> str:
    """Where a partition's raw rows are (or will be), as people know it: files, or rows of a database or a table."""
    source = definition.source
    if source.type == "sql":
        return f"{source.table or 'the query'} of the connection {source.connection}"
    place = _place(settings, source.path, key)
    if source.type == "delta":
        place = f"the Delta table {place}"
    joined = [_place(settings, table.path, key) for table in source.tables.values() if table.type == "files"]
    return f"{place} (or {', '.join(joined)}, which is joined with it)" if joined else place


def _place(settings: Settings, template: str, key: str) -> str:
    path = source_path(settings, template, key if "{partition}" in template else None)
    if settings.bucket is None or not path.is_relative_to(settings.store):
        return str(path)
    return f"{settings.bucket.url}/{path.relative_to(settings.store).as_posix()}"


def _absent(settings: Settings, definition: Definition, keys: Sequence[str]) -> list[str]:
    """Those of the partitions whose data is not in the source."""
    if _is_local_file(settings, definition):
        return [key for key in keys if not source_file(settings, definition, key).exists()]
    try:
        return absent_partitions(definition.model, keys)
    except CheckFailed as problem:
        raise AirflowException(str(problem)) from None


def _is_local_file(settings: Settings, definition: Definition) -> bool:
    """Whether a glance at this machine's files tells if a partition is there."""
    return definition.source.type == "files" and settings.bucket is None and not definition.source.tables


def _thing(definition: Definition) -> str:
    return "file" if definition.source.type == "files" else "rows"


def _words(definition: Definition) -> tuple[str, str]:
    """What is missing, and what a person can do about it."""
    if definition.source.type == "files":
        return "does not exist", "Put the file there"
    delay = definition.source.arrives_after
    late = f", or they are taken to be complete only {delay} after its end (source.arrives_after)" if delay else ""
    where = "database" if definition.source.type == "sql" else "table"
    return f"has no rows of it{late}", f"Load the rows into the {where}"


def _one_partition_later(definition: Definition, due: datetime) -> datetime:
    """A partition's data is still fresh while the next one is not complete."""
    following: Partition = PartitionCalendar.of(definition).containing(due)
    return following.end


def _situation(model: str, as_of: str) -> tuple[Settings, Definition, datetime]:
    try:
        settings = Settings.from_environment({**os.environ, **connection_variables()})
        return settings, arrangement_of(settings, model), datetime.fromisoformat(as_of)
    except NoriaError as error:
        raise AirflowFailException(str(error)) from None

"""The instants that ``make run`` takes a model through, so that its stages see the traffic of real later days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from include.spec.as_of import resolve_as_of
from include.spec.definition import Definition
from include.spec.partitions import PartitionCalendar
from include.spec.windows import earlier, first_trainable, needed_partitions

REPLAYED = timedelta(days=14)
"""How much of an archive's end is kept back as traffic."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """The instants of a run.

    :param as_of: of the model that is to answer in the end.
    :param earlier_as_of: of a first champion, against which that model passes its stages; None: there are no stages.
    :param data_as_of: up to where data is ingested.
    :param first: key of the first partition that any of it needs; None: the data has no time.
    :param last: key of the last one, likewise.
    """

    as_of: datetime
    earlier_as_of: datetime | None
    data_as_of: datetime
    first: str | None
    last: str | None


def plan_course(definition: Definition, requested: str | None) -> Course:
    """The course of a run.

    With stages that need traffic, and an archive to take it from, the last :data:`REPLAYED` is kept back as traffic;
    the first champion is as of the first start of a month at which there is enough past.

    :param requested: the as_of that a person asks for; the archive's end if None; of data without time, this moment.
    """
    if not definition.source.has_time:
        return _course_of_the_whole(definition, requested)
    calendar = PartitionCalendar.of(definition)
    as_of = resolve_as_of(definition, requested=requested, partition_key=None, data_interval_end=None)
    data_as_of, champion = as_of, None
    if _needs_traffic(definition) and calendar.end_of_data is not None:
        data_as_of = calendar.end_of_data
        if requested is None:
            as_of = resolve_as_of(
                definition,
                requested=earlier(calendar, data_as_of, REPLAYED).isoformat(),
                partition_key=None,
                data_interval_end=None,
            )
        month = month_from(first_trainable(definition), calendar)
        champion = month if month < as_of else None
    starts = [needed_partitions(definition, instant)[0] for instant in (as_of, champion) if instant is not None]
    return Course(
        as_of=as_of,
        earlier_as_of=champion,
        data_as_of=data_as_of,
        first=min(starts, key=lambda partition: partition.start).key,
        last=calendar.last_complete(data_as_of).key,
    )


def _course_of_the_whole(definition: Definition, requested: str | None) -> Course:
    """Data without time has no past to begin with and no later days that could be traffic."""
    as_of = resolve_as_of(definition, requested=requested, partition_key=None, data_interval_end=datetime.now(UTC))
    return Course(as_of=as_of, earlier_as_of=None, data_as_of=as_of, first=None, last=None)


def _needs_traffic(definition: Definition) -> bool:
    return any(stage.kind != "champion" for stage in definition.deployment.stages)


def month_from(instant: datetime, calendar: PartitionCalendar) -> datetime:
    """The first start of a month that is not before an instant."""
    local = calendar.local(instant)
    month = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if month < local:
        month = (month + timedelta(days=32)).replace(day=1)
    return calendar.instant(month)

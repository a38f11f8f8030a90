"""The one function that resolves a run's ``as_of``. Why it works as it does: ADR-as-of.md, beside this file."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from include.errors import Refused
from include.spec.definition import Definition
from include.spec.partitions import PartitionCalendar

FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 9000


class AsOfError(Refused):
    """A run's ``as_of`` that cannot be resolved."""


def resolve_as_of(
    definition: Definition,
    *,
    requested: str | None,
    partition_key: str | None,
    data_interval_end: datetime | None,
) -> datetime:
    """The end of the newest partition that a run may know of. The wall clock is never read.

    The first of these that is given decides; without any, an archive's end does. The result is then brought down to
    the end of a partition, and to the end of the archive. Of data without time every instant can be one: it says up to
    when a delivery must have been published (ADR-data-without-time.md); a partition's key says nothing there.

    :param requested: what a person or a trigger asked for: ISO 8601 with offset.
    :param partition_key: key of the newest partition that the run is about.
    :param data_interval_end: end of the run's data interval, with time zone.
    :returns: an instant with the offset of the source's clock.
    :raises AsOfError: if nothing is given and the data has no end, or it is malformed or before any data.
    :raises PartitionError: if ``partition_key`` is no partition.
    """
    calendar = PartitionCalendar.of(definition)
    limit = calendar.end_of_data
    key = partition_key if definition.source.has_time else None
    moment = _moment(calendar, requested, key, data_interval_end) or limit
    if moment is None:
        raise AsOfError(
            f"The model {definition.model} has no as_of for this run: nothing was requested, there is no partition key "
            "and no data interval. Give as_of, such as 2013-10-01T00:00:00-04:00."
        )
    if not definition.source.has_time:
        return calendar.stamp(moment.replace(microsecond=0))
    moment = moment if limit is None or moment < limit else limit
    floored = calendar.containing(moment).start
    if floored < calendar.first.end:
        raise AsOfError(
            f"as_of {moment.isoformat()} lies before any data of the model {definition.model}: its first partition "
            f"{calendar.first.key} ends at {calendar.first.end.isoformat()}. Choose that instant or a later one."
        )
    return floored


def parse_instant(text: str) -> datetime:
    """Read an ISO 8601 instant with offset.

    :raises AsOfError: if it is none, or says nothing of its offset from UTC.
    """
    example = "write it in ISO 8601 with its offset, such as 2013-10-01T00:00:00-04:00 or 2013-10-01T04:00:00Z."
    try:
        instant = datetime.fromisoformat(text.strip())
    except (ValueError, AttributeError):
        raise AsOfError(f"as_of {str(text)[:80]!r} is no instant; {example}") from None
    if instant.tzinfo is None:
        raise AsOfError(f"as_of {text!r} does not say its offset from UTC; {example}")
    if not FIRST_YEAR <= instant.year <= LAST_YEAR:
        raise AsOfError(f"as_of {text!r} lies outside the years {FIRST_YEAR} to {LAST_YEAR}; {example}")
    return instant


def _moment(
    calendar: PartitionCalendar, requested: str | None, partition_key: str | None, data_interval_end: datetime | None
) -> datetime | None:
    if requested is not None and requested.strip():
        return parse_instant(requested)
    if partition_key:
        return calendar.from_key(partition_key).end
    if data_interval_end is not None and data_interval_end.tzinfo is None:
        raise AsOfError(f"The data interval's end {data_interval_end.isoformat()} has no time zone; give as_of.")
    return data_interval_end

"""Checks of a definition's times: zone, archive, windows and schedules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from include.spec.check_whole import whole_findings
from include.spec.definition import Definition, PartitionSize
from include.spec.duration import format_duration
from include.spec.lengths import Lengths
from include.spec.problems import Finding, KeyPath, choose
from include.spec.share import Share

_DAY: Final = timedelta(days=1)
_STEPS: Final[dict[PartitionSize, timedelta]] = {"hour": timedelta(hours=1), "day": _DAY, "month": _DAY}
_PRESETS: Final = ("@hourly", "@daily", "@weekly", "@monthly", "@yearly")
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_CRON_WORDS: Final = frozenset({*_MONTHS, "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN", "L"})
_CRON_FIELD: Final = re.compile(r"[0-9A-Za-z*,/\-#L]+")


def time_findings(definition: Definition) -> Iterator[Finding]:
    """What is wrong with the times of a definition."""
    yield from _zone(definition)
    if definition.source.has_time:
        needs = list(_needs(definition))
        yield from needs
        if not needs:
            yield from _archive(definition)
            yield from _windows(definition)
    else:
        yield from whole_findings(definition)
    yield from _execution(definition)
    yield from _schedules(definition)


def _zone(definition: Definition) -> Iterator[Finding]:
    name = definition.source.time_zone
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        cure = choose(name, sorted(available_timezones()), kind="time zones").split(" The time zones are:")[0]
        cure = cure if cure.startswith("Did you mean") else "Write a name such as Europe/Berlin or UTC."
        yield Finding(("source", "time_zone"), f"there is no time zone {name!r}", cure)


def _needs(definition: Definition) -> Iterator[Finding]:
    """What data with time must say, and what only data without time may."""
    training = definition.training
    if definition.source.starts is None:
        cure = "Add `starts`: First day with data."
        yield Finding(("source", "starts"), "this key is missing, and the source has an event_time", cure)
    if training.window is None:
        cure = "Add `window`: Length of the training part, such as 90d."
        yield Finding(("training", "window"), "this key is missing, and the source has an event_time", cure)
    for name, value in (("validation", training.validation), ("holdout", training.holdout)):
        if isinstance(value, Share):
            what = f"{value} is a share of the rows, but the source has an event_time, by which rows are split"
            yield Finding(("training", name), what, "Write how long the part is, such as 14d.")


def _archive(definition: Definition) -> Iterator[Finding]:
    source = definition.source
    if source.ends is None or source.starts is None:
        return
    if source.ends < source.starts:
        yield Finding(
            ("source", "ends"), f"the data ends before it starts ({source.starts})", "Correct one of the two."
        )
        return
    span = source.ends - source.starts + _DAY
    asked = Lengths.of(definition).needed + definition.label.known_after
    if asked > span:
        what = (
            f"window, validation, holdout and label.known_after need {asked / _DAY:g}d, "
            f"but the archive holds {span.days}d"
        )
        yield Finding(("training", "window"), what, "Shorten the windows.")


def _windows(definition: Definition) -> Iterator[Finding]:
    size, training, lengths = definition.source.partition, definition.training, Lengths.of(definition)
    places: list[tuple[KeyPath, timedelta]] = [
        (("training", "window"), lengths.window),
        (("training", "validation"), lengths.validation),
        (("training", "holdout"), lengths.holdout),
        (("monitoring", "drift", "window"), definition.monitoring.drift.window),
    ]
    if training.shortest_window is not None:
        places.append((("training", "shortest_window"), training.shortest_window))
        if training.shortest_window > lengths.window:
            what = f"it is longer than training.window ({format_duration(lengths.window)})"
            yield Finding(("training", "shortest_window"), what, "Write a shorter time, or remove it.")
    step = _STEPS[size]
    for keys, value in places:
        if not value:
            yield Finding(keys, "the window is empty", "Write how long it is, such as 7d.")
        elif value % step:
            what = f"{format_duration(value)} is no multiple of {format_duration(step)}, with partitions of a {size}"
            yield Finding(
                keys,
                what,
                f"Write a multiple of {format_duration(step)}, such as {step.days * 7 or 7}"
                f"{'d' if step.days else 'h'}.",
            )


def _execution(definition: Definition) -> Iterator[Finding]:
    if not definition.execution.timeout:
        yield Finding(("execution", "timeout"), "no step can end in no time", "Write a time such as 2h.")
    if not definition.training.wait_for_data:
        yield Finding(("training", "wait_for_data"), "no wait at all is not possible", "Write a short one, such as 1s.")


def _schedules(definition: Definition) -> Iterator[Finding]:
    for name in ("data", "train", "monitor", "score"):
        cron = getattr(definition.schedule, name)
        if cron is not None and not _is_cron(cron):
            cure = 'Write minute, hour, day of month, month and day of week, such as "0 2 * * *" for 2:00 every night.'
            yield Finding(("schedule", name), f"{cron!r} is no cron expression", cure)


def _is_cron(text: str) -> bool:
    """Whether Airflow's scheduler can use it: five fields, no random ones, and a time that comes some day."""
    if text in _PRESETS:
        return True
    fields = text.split()
    words = set(re.findall(r"[A-Za-z]+", text.upper()))
    if len(fields) != 5 or not all(_CRON_FIELD.fullmatch(one) for one in fields) or words - _CRON_WORDS:
        return False
    from croniter import CroniterError, croniter  # type: ignore[import-untyped]

    try:
        croniter(" ".join(fields), datetime(2024, 1, 1, tzinfo=UTC)).get_next()
    except CroniterError:
        return False
    return True

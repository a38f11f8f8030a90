"""Short texts from definitions, forms and command lines: partitions, instants, durations, crons, patterns of paths."""

from __future__ import annotations

import contextlib
import fnmatch
import re
from collections.abc import Callable
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo

from include.errors import Refused
from include.lake.paths import UnsafeName, checked_key
from include.lake.patterns import fixed_part, path_pattern
from include.lake.raw_rows import partition_label
from include.spec.as_of import AsOfError, parse_instant
from include.spec.check_times import _is_cron
from include.spec.duration import format_duration, parse_duration
from include.spec.partitions import PartitionCalendar, PartitionError
from include.spec.share import parse_share
from include.steps.command import parse_as_of, read_inputs
from tests.fuzz.target import Broken, Target

_ZONES: Final = ("UTC", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo")
_CALENDARS: Final = [
    PartitionCalendar(size, ZoneInfo(zone), date(2013, 1, 1), None)  # type: ignore[arg-type]
    for size in ("hour", "day", "month")
    for zone in _ZONES
]


def partition_key(data: bytes) -> None:
    """No partition, or one that its start and last moment lie in, and a safe name of a file."""
    text = data.decode("utf-8", "surrogateescape")
    for calendar in _CALENDARS:
        try:
            partition = calendar.from_key(text)
        except PartitionError:
            continue
        checked_key(text)
        partition_label(text)
        if partition.key != text or calendar.containing(partition.start) != partition:
            raise Broken(f"{text} is {partition}, which does not begin in itself")
    try:
        checked_key(text)
    except UnsafeName:
        return
    if "/" in text or "\0" in text or "\n" in text:
        raise Broken(f"{text!r} can be a file's name")


def moment(data: bytes) -> None:
    """An instant, a duration, a share, a cron: read or refused, and the same when it is read again."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        instant = parse_instant(text)
        for calendar in _CALENDARS:
            if not (held := calendar.containing(instant)).start <= instant < held.end:
                raise Broken(f"{instant} is not in {held}")
    except AsOfError:
        pass
    _refused_or(parse_as_of, text, Refused)
    for parse in (parse_duration, parse_share):
        _refused_or(parse, text, ValueError)
    try:
        duration = parse_duration(text)
        if parse_duration(format_duration(duration)) != duration:
            raise Broken(f"{text} is another duration after a round trip")
    except ValueError:
        pass
    _is_cron(text)


def pattern(data: bytes) -> None:
    """A pattern of paths that finds what the standard library's finds."""
    text, _, name = data.decode("utf-8", "surrogateescape").partition("\n")
    fixed_part(text)
    found = path_pattern(text).matches(name)
    if "/" in text or "/" in name or "**" in text or name.startswith(".") or "\\" in text:
        return
    if found != (re.fullmatch(fnmatch.translate(text), name) is not None):
        raise Broken(f"{text!r} and {name!r}: {found}")


def step_inputs(data: bytes) -> None:
    """A step's ``--inputs``: an object, or refused."""
    text = data.decode("utf-8", "surrogateescape")
    if not text.startswith(("-", "@")):
        _refused_or(read_inputs, text, Refused)


def _refused_or(parse: Callable[[str], object], text: str, refusal: type[Exception]) -> None:
    with contextlib.suppress(refusal):
        parse(text)


TARGETS: Final = (
    Target(
        name="partition-key",
        check=partition_key,
        seeds=lambda: [b"2013-10-01", b"2013-10", b"2013-11-03T01+1", b"all", b"0123456789abcdef", b"9999-12-31T23"],
        longest=40,
    ),
    Target(
        name="moment",
        check=moment,
        seeds=lambda: [
            b"2013-10-01T00:00:00-04:00",
            b"90d",
            b"12.5%",
            b"0 2 * * MON-FRI",
            b"2013-W01-1T00Z",
            b"@daily",
        ],
        words=[b"T", b"Z", b"+23:59", b"9999", b"0001", b"*/", b"L", b"#", b"?", b"W"],
        longest=60,
    ),
    Target(
        name="pattern",
        check=pattern,
        seeds=lambda: [
            b"a*.[ch]\nab.c",
            b"**/x?[!a-b]\ny/xyz",
            b"[]a]\n]",
            b"a/**\na/b/c",
            b"[a-\\d]\nb",
            b"*a*b*c\nabc",
        ],
        longest=80,
    ),
    Target(
        name="step-inputs",
        check=step_inputs,
        seeds=lambda: [b'{"partitions": ["2013-10-01"], "force": true}', b"{}", b"[1e999, NaN]"],
        words=[b"[[[[[[[[", b'{"a":', b"9" * 50, b"\\ud800"],
        longest=20_000,
    ),
)

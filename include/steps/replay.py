"""Step replay: sends later real days as requests to the live server, and their labels as feedback.

Inputs, all optional: ``days`` (that many days after the run's instant, default 1) or ``first`` and ``last`` (partition
keys after it); ``rate`` (requests a second, default 100, null: as fast as answers come), ``connections``, ``labels``
(default true), ``label_delay_s``, ``rows`` and ``seconds`` (at most), ``rows_per_request``, ``loop`` (begin anew after
the last partition; without ``rows`` or ``seconds`` until SIGTERM, which ends a replay in good order).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from include.errors import NothingToDo, Refused
from include.spec.partitions import Partition, PartitionCalendar
from include.steps.protocol import Document, StepCall

_DEFAULTS: Final[dict[str, Any]] = {
    "days": 1, "first": None, "last": None, "rate": 100, "connections": 8, "labels": True, "label_delay_s": 0,
    "rows": None, "rows_per_request": 1, "seconds": None, "loop": False,
}  # fmt: skip
# Smallest value, largest value, and whether it is a whole number.
_NUMBERS: Final[dict[str, tuple[float, float, bool]]] = {
    "days": (1, 3660, True),
    "rate": (0.001, 1e6, False),
    "connections": (1, 256, True),
    "label_delay_s": (0, 30 * 86400, False),
    "rows": (1, 1e12, True),
    "rows_per_request": (1, 10_000, True),
    "seconds": (0.001, 30 * 86400, False),
}
_MAY_BE_NULL: Final = frozenset({"first", "last", "rate", "rows", "seconds"})
log = logging.getLogger(__name__)


class ReplayOptionWrong(Refused):
    """An input of the step is not what it must be.

    :param name: the input.
    """

    def __init__(self, name: str, value: object, problem: str) -> None:
        self.name = name
        self.value = value
        super().__init__(f"The input {name!r} of the step replay is {str(value)[:80]!r}: {problem}. Correct it.")


class NoLaterData(NothingToDo):
    """There is no partition after the run's instant: the data of this model ends before."""


def run(call: StepCall) -> Document:
    """Send later rows as requests and their labels as feedback.

    Refused requests are counted and shown; they do not fail the step. All labels are sent before it ends, so it lasts
    ``label_delay_s`` longer than its requests.

    :returns: counts by version and role, refusals, failures, labels, latencies; the partitions and where they are from.
    :raises NothingToDo: no later partition is there.
    :raises TryAgain: the server does not answer.
    """
    options = _options(call.inputs)
    keys = [partition.key for partition in later_partitions(call, options)]
    from include.serving.replaying.rows import later_rows
    from include.serving.replaying.run import Replay, replay
    from include.serving.replaying.sender import Pace

    pace = Pace(
        rate=options["rate"],
        connections=options["connections"],
        seconds=options["seconds"],
        label_delay=options["label_delay_s"] if options["labels"] else None,
    )
    chosen = Replay(
        pace=pace,
        rows=options["rows"],
        rows_per_request=options["rows_per_request"],
        loop=options["loop"],
        name=hashlib.sha256(call.attempt.encode()).hexdigest()[:8],
    )
    definition = call.definition
    with later_rows(call.settings, definition, keys, attempt=call.attempt, labels=options["labels"]) as source:
        place = {
            "partitions": [source.keys[0], source.keys[-1]],
            "from_raw_table": len(source.published),
            "from_source_files": len(source.delivered),
            "missing": source.missing,
        }
        document = {**place, **replay(call.settings, definition.model, source, chosen)}
    _report(document)
    return document


def later_partitions(call: StepCall, options: Mapping[str, Any]) -> list[Partition]:
    """The partitions that the options name, all of them after the run's instant, oldest first.

    :raises NoLaterData: the data ends before.
    :raises ReplayOptionWrong: a named partition begins before the run's instant.
    :raises PartitionError: a key is no partition.
    """
    calendar = PartitionCalendar.of(call.definition)
    if not call.definition.source.has_time:
        raise NoLaterData(f"There is nothing to replay for {call.definition.model}: its data has no time, so no later.")
    ends = calendar.end_of_data
    if options["first"] or options["last"]:
        first = options["first"] or options["last"]
        chosen = calendar.range(first, options["last"] or first)
        if chosen[0].start < call.as_of:
            raise ReplayOptionWrong(
                "first",
                first,
                f"it begins before as_of {call.as_of.isoformat()}, so the model may have learned from it",
            )
    else:
        until = calendar.instant(calendar.local(call.as_of) + timedelta(days=options["days"]))
        chosen = [one for one in calendar.covering(call.as_of, until) if one.start >= call.as_of]
    chosen = [one for one in chosen if ends is None or one.end <= ends]
    if not chosen:
        end = f"the data ends with {calendar.before(ends).key}" if ends else "no whole partition lies in this time"
        raise NoLaterData(
            f"There is nothing to replay for {call.definition.model} after {call.as_of.isoformat()}: {end}. "
            "Choose an earlier as_of, or more days."
        )
    return chosen


def _options(inputs: Mapping[str, Any]) -> dict[str, Any]:
    unknown = [name for name in inputs if name not in _DEFAULTS]
    if unknown:
        raise ReplayOptionWrong(
            unknown[0], inputs[unknown[0]], f"there is no such input; known: {', '.join(_DEFAULTS)}"
        )
    options = _DEFAULTS | dict(inputs)
    for name, value in options.items():
        if value is None and name in _MAY_BE_NULL:
            continue
        if name in _NUMBERS:
            _check_number(name, value)
        elif name in {"labels", "loop"} and not isinstance(value, bool):
            raise ReplayOptionWrong(name, value, "it must be true or false")
        elif name in {"first", "last"} and not isinstance(value, str):
            raise ReplayOptionWrong(name, value, "it must be a partition's key, such as 2013-10-01")
    return options


def _check_number(name: str, value: object) -> None:
    smallest, largest, whole = _NUMBERS[name]
    kind = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not smallest <= value <= largest:
        word = "a whole number" if whole else "a number"
        raise ReplayOptionWrong(name, value, f"it must be {word} from {smallest:g} to {largest:g}")


def _report(document: Document) -> None:
    log.info(
        "%d requests in %s s: %d answered, %d refused, %d failed; %d labels accepted",
        document["sent"], document["seconds"], document["answered"], document["refused"], document["failed"],
        document["labels"]["accepted"],
    )  # fmt: skip
    for one in (*document["refusals"], *document["labels"]["refusals"]):
        log.warning("refused %d times with %d: %s", one["count"], one["status"], one["problem"])
    for one in (*document["failures"], *document["labels"]["failures"]):
        log.warning("failed %d times: %s", one["count"], one["problem"])

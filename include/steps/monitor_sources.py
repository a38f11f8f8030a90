"""Where the step monitor finds answers of the champion that tell of its quality: data that has come since, requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from include.errors import Refused
from include.steps.champion_files import in_words
from include.steps.protocol import Document, StepCall

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from include.evaluation.answers import Answers
    from include.registry.state import DeployedVersion
    from include.spec.partitions import Partition

DATA, REQUESTS = "data", "requests"


@dataclass(frozen=True, kw_only=True)
class Answered:
    """Answers of one source.

    :param window: of those whose labels can be known by now.
    :param labelled: of these, those whose labels are.
    :param newest_window: of the newest answers, whatever is known of their labels.
    :param note: what else is to be said of the labels.
    """

    source: str
    window: Document
    labelled: Answers
    newest_window: Document
    newest: Answers
    note: str = ""


@dataclass(frozen=True)
class Unreadable:
    """A source whose answers cannot be had; carries why."""

    source: str
    window: Document
    problem: Refused


def read_sources(call: StepCall, champion: DeployedVersion, files: Path) -> Iterator[Answered | Unreadable]:
    """The answers of each source that has some which the champion has not seen.

    :param files: the champion's.
    """
    from include.training.holdout_inputs import RawDoesNotMatch

    judged, newest = _unseen_partitions(call, champion)
    if newest:
        try:
            yield _of_data(call, champion, files, judged, newest)
        except RawDoesNotMatch as problem:
            yield Unreadable(DATA, _described(judged or newest), problem)
    requests = _of_requests(call, champion)
    if requests is not None:
        yield requests


def _described(partitions: list[Partition]) -> Document:
    from include.monitoring.window import describe_window

    return describe_window(partitions)


def _of_data(
    call: StepCall, champion: DeployedVersion, files: Path, judged: list[Partition], newest: list[Partition]
) -> Answered:
    """The champion answers anew what has come since; it needs no server and no scoring."""
    from include.evaluation.logged_models import load_model
    from include.monitoring.labelled import data_answers
    from include.spec.duration import format_duration

    definition = call.definition
    both = sorted({one.key: one for one in (*judged, *newest)}.values(), key=lambda one: one.start)
    predict = load_model(files, whose=in_words(champion), classes=definition.label.class_names)
    known = {one.key for one in both if one.end <= call.as_of - definition.label.known_after}
    answers = data_answers(call.settings, definition, both, predict, known=known)
    late = f"Labels count as known {format_duration(definition.label.known_after)} after a partition's end."
    return Answered(
        source=DATA,
        window=_described(judged or newest),
        labelled=answers.within([one.key for one in judged or newest]).labelled(),
        newest_window=_described(newest),
        newest=answers.within([one.key for one in newest]),
        note="" if judged else late,
    )


def _of_requests(call: StepCall, champion: DeployedVersion) -> Answered | None:
    """None if there is no request log."""
    from include.serving.labelled import request_answers

    start, end = call.as_of - call.definition.monitoring.decay.window, call.as_of
    window = _described([]) | {"start": start.isoformat(), "end": end.isoformat()}
    found = request_answers(call.settings, call.definition, champion.version, start, end, since=champion.as_of)
    if found is None:
        return None
    return Answered(
        source=REQUESTS,
        window=window,
        labelled=found.labelled(),
        newest_window=window,
        newest=found,
        note=_notes(call),
    )


def _notes(call: StepCall) -> str:
    """That labels came which belong to no request."""
    from include.serving.request_log.feedback import feedback_counts

    unknown = feedback_counts(call.settings, call.definition.model).unknown
    return f"Labels for requests that are not in the log, which count for nothing: {unknown:,}." if unknown else ""


def _unseen_partitions(call: StepCall, champion: DeployedVersion) -> tuple[list[Partition], list[Partition]]:
    """The newest published partitions whose labels are known, and the newest of all, of which the champion has seen
    nothing.

    Data without time has none: what of it the champion has not seen is its holdout part.
    """
    from include.lake.table import LakeTable
    from include.monitoring.labelled import seen_until
    from include.monitoring.window import newest_partitions
    from include.spec.partitions import PartitionCalendar

    definition = call.definition
    if not definition.source.has_time:
        return [], []
    seen = seen_until(champion.windows)
    published = LakeTable(call.settings, definition.model, "features").partitions()
    calendar, length = PartitionCalendar.of(definition), definition.monitoring.decay.window
    known, newest = (
        newest_partitions(calendar, published, instant, length)
        for instant in (call.as_of - definition.label.known_after, call.as_of)
    )
    judged, shown = ([one for one in window if seen is None or one.start >= seen] for window in (known, newest))
    return judged, shown

"""What the step monitor says of the quality of the champion's answers: a verdict for each source of labels."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from include.steps.champion_files import in_words
from include.steps.monitor_records import record_verdict
from include.steps.protocol import Document, StepCall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from include.evaluation.answers import Answers
    from include.monitoring.retraining import EarlierStart
    from include.registry.state import DeployedVersion
    from include.spec.partitions import Partition

log = logging.getLogger("noria.steps.monitor")

KIND = "decay"
DATA, REQUESTS = "data", "requests"


def judge_answers(call: StepCall, champion: DeployedVersion, files: Path) -> list[Document]:
    """What labels say of the champion: those that came with the data, and those that were sent for requests.

    :param files: the champion's.
    :returns: documents with ``source``, ``window`` (first, last, start, end), ``verdict``, ``reason``, ``labels``,
        ``answered`` and ``changes`` (by metric: before, now, change, least, decayed).
    """
    from include.monitoring.decay import judge_decay, nothing_known
    from include.monitoring.labelled import holdout_answers
    from include.training.holdout_inputs import RawDoesNotMatch

    found = []
    before: Answers | None = None
    for source, window, read in _sources(call, champion, files):
        try:
            now = read()
            if now is None:
                continue
            before = before or holdout_answers(call.settings, call.definition, champion.fingerprint)
            if before is None:
                result = nothing_known(f"The holdout's answers of version {champion.version} are not published.")
            else:
                result = judge_decay(call.definition, before, now, threshold=champion.threshold)
        except RawDoesNotMatch as problem:
            result = nothing_known(str(problem))
        found.append({"source": source, "window": window, **result.to_document()})
    return found


def _sources(
    call: StepCall, champion: DeployedVersion, files: Path
) -> Iterator[tuple[str, Document, Callable[[], Answers | None]]]:
    """Name, window and reader of each source that can have labels of answers that the champion has not seen."""
    from include.evaluation.logged_models import load_model
    from include.monitoring.labelled import data_answers
    from include.monitoring.window import describe_window
    from include.serving.labelled import request_answers

    definition, settings = call.definition, call.settings
    if partitions := _labelled_partitions(call, champion):

        def answer_anew() -> Answers:
            predict = load_model(files, whose=in_words(champion), classes=definition.label.class_names)
            return data_answers(settings, definition, partitions, predict)

        yield DATA, describe_window(partitions), answer_anew
    start, end = call.as_of - definition.monitoring.decay.window, call.as_of
    window = describe_window([]) | {"start": start.isoformat(), "end": end.isoformat()}
    yield (
        REQUESTS,
        window,
        lambda: request_answers(settings, definition, champion.version, start, end, since=champion.as_of),
    )


def _labelled_partitions(call: StepCall, champion: DeployedVersion) -> list[Partition]:
    """The newest published partitions whose labels are known, and of which the champion has seen nothing.

    Data without time has none: what of it the champion has not seen is its holdout part.
    """
    from include.lake.table import LakeTable
    from include.monitoring.labelled import seen_until
    from include.monitoring.window import newest_partitions
    from include.spec.partitions import PartitionCalendar

    definition = call.definition
    if not definition.source.has_time:
        return []
    seen = seen_until(champion.windows)
    published = LakeTable(call.settings, definition.model, "features").partitions()
    known = call.as_of - definition.label.known_after
    length = definition.monitoring.decay.window
    newest = newest_partitions(PartitionCalendar.of(definition), published, known, length)
    return [one for one in newest if seen is None or one.start >= seen]


def answer_decay(
    call: StepCall,
    champion: DeployedVersion,
    quality: Sequence[Document],
    earlier: Sequence[EarlierStart],
    *,
    started: bool,
) -> list[Document]:
    """The documents with ``retrain`` and ``start_id``: the first that may start a retraining does, and only that.

    :param earlier: what checks have started before.
    :param started: whether drift has just started one.
    """
    from datetime import datetime

    from include.monitoring.retraining import answer_alarm

    answered = []
    for one in quality:
        said: Document = {"retrain": False, "start_id": None}
        if one["verdict"] == KIND and not started:
            answer = answer_alarm(
                call.definition.model,
                "decay",
                as_of=call.as_of,
                window_end=datetime.fromisoformat(one["window"]["end"]),
                champion_version=champion.version,
                champion_as_of=champion.as_of,
                rules=call.definition.monitoring.retrain,
                earlier=earlier,
            )
            started, reason = answer.retrain, f"{one['reason']} {answer.reason}"
            said = {"retrain": answer.retrain, "start_id": answer.start_id, "reason": reason}
        answered.append({**one, **said})
    return answered


def record_quality(call: StepCall, report: Mapping[str, Any], page: str) -> list[Document]:
    """Keep the verdicts as check results, whose stage is the source; return what travels to the next steps."""
    kept = []
    for one in report["quality"]:
        record_verdict(call, KIND, one["source"], {**one, "champion_version": report["champion_version"]}, page)
        log.info("%s of %s: %s", one["verdict"], one["source"], one["reason"])
        names = ("source", "window", "verdict", "reason", "labels", "retrain", "start_id")
        kept.append({name: one[name] for name in names})
    return kept

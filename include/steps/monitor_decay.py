"""What the step monitor says of the quality of the champion's answers: a verdict for each source of labels."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from include.steps.protocol import Document, StepCall

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from include.evaluation.answers import Answers
    from include.monitoring.retraining import EarlierStart
    from include.registry.state import DeployedVersion
    from include.spec.partitions import Partition

log = logging.getLogger("noria.steps.monitor")

KIND = "decay"
DATA, REQUESTS = "data", "requests"


def judge_answers(call: StepCall, champion: DeployedVersion) -> list[Document]:
    """What labels say of the champion: those that came with the data, and those that were sent for requests.

    :returns: documents with ``source``, ``window`` (first, last, start, end), ``verdict``, ``reason``, ``labels``,
        ``answered`` and ``changes`` (by metric: before, now, change, least, decayed).
    :raises ModelAway: if the champion's files cannot be had.
    """
    from include.monitoring.decay import judge_decay, nothing_known
    from include.monitoring.labelled import holdout_answers
    from include.training.holdout_inputs import RawDoesNotMatch

    found = []
    before: Answers | None = None
    for source, window, read in _sources(call, champion):
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


def _sources(call: StepCall, champion: DeployedVersion) -> Iterator[tuple[str, Document, Any]]:
    """Name, window and reader of each source that can have labels of answers that the champion has not seen."""
    from include.monitoring.labelled import seen_until
    from include.serving.labelled import request_answers

    definition, settings = call.definition, call.settings
    length = definition.monitoring.decay.window
    if definition.source.has_time:
        partitions = _labelled_partitions(call, seen_until(champion.windows))
        if partitions:
            yield DATA, _described(partitions), lambda: _predict(call, champion, partitions)
    start, end = call.as_of - length, call.as_of
    window = {"first": None, "last": None, "start": start.isoformat(), "end": end.isoformat()}
    yield REQUESTS, window, lambda: request_answers(settings, definition, champion.version, start, end)


def _labelled_partitions(call: StepCall, seen: datetime | None) -> list[Partition]:
    """The newest published partitions whose labels are known, and of which the champion has seen nothing."""
    from include.lake.table import LakeTable
    from include.monitoring.window import newest_partitions
    from include.spec.partitions import PartitionCalendar

    definition = call.definition
    published = LakeTable(call.settings, definition.model, "features").partitions()
    known = call.as_of - definition.label.known_after
    length = definition.monitoring.decay.window
    newest = newest_partitions(PartitionCalendar.of(definition), published, known, length)
    return [one for one in newest if seen is None or one.start >= seen]


def _predict(call: StepCall, champion: DeployedVersion, partitions: list[Partition]) -> Answers:
    from include.evaluation.logged_models import open_model
    from include.monitoring.labelled import data_answers
    from include.registry.mlflow_client import connect

    connect(call.settings)
    with open_model(
        call.settings.tracking_url,
        whose=f"champion version {champion.version}",
        model_uri=champion.model_uri,
        expected_digest=champion.artifact_digest,
        classes=call.definition.label.class_names,
    ) as predict:
        return data_answers(call.settings, call.definition, partitions, predict)


def _described(partitions: list[Partition]) -> Document:
    first, last = partitions[0], partitions[-1]
    return {
        "first": first.key,
        "last": last.key,
        "start": first.start.isoformat(),
        "end": last.end.isoformat(),
    }


def answer_decay(
    call: StepCall, champion: DeployedVersion, report: Mapping[str, Any], earlier: list[EarlierStart]
) -> None:
    """Say in each document of ``report["quality"]`` whether it starts a retraining: the first that may, only one.

    :param earlier: what checks have started before, this one's drift included.
    """
    from datetime import datetime

    from include.monitoring.retraining import answer_alarm

    started = bool(report["retrain"])
    for one in report["quality"]:
        one |= {"retrain": False, "start_id": None}
        if one["verdict"] != KIND or started:
            continue
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
        started = answer.retrain
        one |= {
            "retrain": answer.retrain,
            "start_id": answer.start_id,
            "reason": f"{one['reason']} {answer.reason}",
        }


def record_quality(call: StepCall, report: Mapping[str, Any], page: str) -> list[Document]:
    """Keep the verdicts as check results, whose stage is the source; return what travels to the next steps."""
    from include.registry.results import record_check

    kept = []
    for one in report["quality"]:
        window = one["window"]
        record_check(
            call.settings,
            model=call.definition.model,
            kind=KIND,
            stage=one["source"],
            as_of=call.as_of,
            subject=f"{window['first'] or window['start']}..{window['last'] or window['end']}",
            verdict=one["verdict"],
            details={**one, "champion_version": report["champion_version"]},
            page=page,
        )
        log.info("%s of %s: %s", one["verdict"], one["source"], one["reason"])
        kept.append({key: one[key] for key in ("source", "verdict", "reason", "labels", "retrain", "start_id")})
    return kept

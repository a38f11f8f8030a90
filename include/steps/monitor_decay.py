"""What the step monitor says of the quality of the champion's answers: a verdict and an estimate for each source.

Labels rule. The estimate is made without them, is kept apart, and is compared with them once they are in.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from include.steps.monitor_records import record_verdict
from include.steps.protocol import Document, StepCall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from include.evaluation.answers import Answers
    from include.monitoring.retraining import EarlierStart
    from include.monitoring.scored import Holdout
    from include.registry.results import CheckResult
    from include.registry.state import DeployedVersion
    from include.steps.monitor_sources import Answered, Unreadable

log = logging.getLogger("noria.steps.monitor")

KIND = "decay"
FAIRNESS = "fairness gap"
ESTIMATE = "estimated quality"
#: The most changed, which a row of a check keeps; the page's JSON has all.
_SLICES_KEPT = 5


def judge_answers(call: StepCall, champion: DeployedVersion, files: Path, profile: Mapping[str, Any]) -> list[Document]:
    """What is known of the champion's answers: to data that has come since, and to requests.

    :param files: the champion's.
    :param profile: its ``profile.json``.
    :returns: documents with ``source``, ``window`` (first, last, start, end), ``verdict``, ``reason``, ``labels``,
        ``answered``, ``changes`` (by metric: before, now, change, least, decayed), ``calibration``, ``slices``,
        ``warning``; ``estimates``: what was or would have been estimated of the same answers without their labels, by
        metric (name, value, low, high, made: the as_of of the check that did, or null); and ``estimate``: of the newest
        answers, with or without labels (window, verdict, reason, rows, metrics).
    """
    from include.monitoring.labelled import holdout_answers
    from include.monitoring.scored import Holdout
    from include.steps.monitor_sources import Unreadable, read_sources
    from include.training.holdout_inputs import RawDoesNotMatch

    sources = list(read_sources(call, champion, files))
    if not sources:
        return []
    try:
        answers = holdout_answers(call.settings, call.definition, champion.fingerprint)
    except RawDoesNotMatch as problem:
        return [_unreadable(Unreadable(one.source, one.window, problem)) for one in sources]
    before = None if answers is None else Holdout(call.definition, answers, champion.threshold)
    return [
        _unreadable(one) if isinstance(one, Unreadable) else _judge(call, champion, profile, before, one)
        for one in sources
    ]


def _judge(
    call: StepCall, champion: DeployedVersion, profile: Mapping[str, Any], before: Holdout | None, said: Answered
) -> Document:
    from include.monitoring.decay import judge_decay

    result = judge_decay(call.definition, before, said.labelled, threshold=champion.threshold)
    return {
        "source": said.source,
        "window": said.window,
        **result.noted(said.note).to_document(),
        "fairness": _fairness(call, champion, said),
        "estimates": _estimated_before(call, champion, profile, before, said) if result.changes else [],
        "estimate": {"window": said.newest_window, **_estimated(call, champion, profile, before, said.newest)},
    }


def _fairness(call: StepCall, champion: DeployedVersion, said: Answered) -> list[Document]:
    """The definition's rules of fairness, on the answers whose labels are in, as far as these carry the column."""
    from include.evaluation.group_fairness import Answered as Grouped
    from include.evaluation.group_fairness import judge_groups

    evaluation, labelled = call.definition.evaluation, said.labelled
    if not evaluation.fairness or not labelled.rows:
        return []
    threshold = evaluation.threshold if champion.threshold is None else champion.threshold
    grouped = Grouped.of(
        call.definition.task, labelled.labels, labelled.predictions, labelled.partitions.astype(str), threshold
    )
    return judge_groups(
        call.definition.task,
        evaluation.fairness,
        labelled.slices,
        grouped,
        confidence=evaluation.confidence,
        seed=call.definition.training.seed,
    )


def _unreadable(said: Unreadable) -> Document:
    """What is said of answers that cannot be had: nothing, and why."""
    from include.monitoring.decay import nothing_known
    from include.monitoring.estimated import no_estimate

    why = str(said.problem)
    nothing = nothing_known(why).to_document()
    estimate = {"window": said.window, **no_estimate(why).to_document()}
    return {
        "source": said.source,
        "window": said.window,
        **nothing,
        "fairness": [],
        "estimates": [],
        "estimate": estimate,
    }


def _estimated(
    call: StepCall, champion: DeployedVersion, profile: Mapping[str, Any], before: Holdout | None, answers: Answers
) -> Document:
    from include.monitoring.estimated import estimate_quality

    confidence = profile.get("confidence")
    return estimate_quality(call.definition, confidence, answers, before, threshold=champion.threshold).to_document()


def _estimated_before(
    call: StepCall, champion: DeployedVersion, profile: Mapping[str, Any], before: Holdout | None, said: Answered
) -> list[Document]:
    """What an earlier check estimated of this window; if none did, what it would have without the labels."""
    from include.registry.results import find_checks

    for check in find_checks(call.settings, call.definition.model, kind=ESTIMATE, stage=said.source):
        details = check.details
        same = details["champion_version"] == champion.version and details["window"] == said.window
        if same and check.as_of <= call.as_of and details["metrics"]:
            return _short(details["metrics"], made=check.as_of.isoformat())
    metrics = _estimated(call, champion, profile, before, said.labelled)["metrics"]
    return _short(metrics, made=None)


def _short(metrics: Sequence[Mapping[str, Any]], *, made: str | None) -> list[Document]:
    return [
        {"name": one["name"], **{key: one["estimate"][key] for key in ("value", "low", "high")}, "made": made}
        for one in metrics
    ]


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


def add_trends(report: Mapping[str, Any], checks: Sequence[CheckResult]) -> list[Document]:
    """The documents with ``trend``: what labels and estimates said of the last windows; and ``held``: by metric in how
    many of them the truth lay within the estimate's interval, and of how many that can be said.

    :param checks: of decay, newest first.
    """
    from include.monitoring.quality_trend import quality_trend, truth_within

    version = report["champion_version"]
    found: list[Document] = []
    for one in report["quality"]:
        earlier = [check.details for check in checks if check.stage == one["source"]]
        trend = quality_trend({**one, "champion_version": version}, earlier)
        found.append({**one, "trend": trend, "held": truth_within(trend)})
    return found


def record_quality(call: StepCall, report: Mapping[str, Any], page: str) -> list[Document]:
    """Keep the verdicts as check results, whose stage is the source; return what travels to the next steps."""
    kept = []
    for one in report["quality"]:
        short = {name: value for name, value in one.items() if name not in ("estimate", "trend")}
        short |= {"slices": one["slices"][:_SLICES_KEPT], "champion_version": report["champion_version"]}
        record_verdict(call, KIND, one["source"], short, page)
        log.info("%s of %s: %s", one["verdict"], one["source"], one["reason"])
        _record_fairness(call, one, report["champion_version"], page)
        names = ("source", "window", "verdict", "reason", "labels", "retrain", "start_id")
        kept.append({name: one[name] for name in (*names, "answered", "warning")})
    return kept


def _record_fairness(call: StepCall, said: Mapping[str, Any], version: int, page: str) -> None:
    """Keep whether the answers treat groups otherwise than the definition allows, which is told as an alert if so."""
    rules = [one for one in said["fairness"] if one["limit"] is not None]
    if not rules:
        return
    gaps = [one for one in rules if one["surely_failed"]]
    known = [one for one in rules if one["estimate"]["low"] is not None]
    verdict = FAIRNESS if gaps else "no gap" if known else "not enough data"
    reason = "; ".join(_gap(one) for one in gaps or rules)
    details = {"source": said["source"], "window": said["window"], "verdict": verdict, "reason": f"{reason}."}
    record_verdict(call, FAIRNESS, said["source"], {**details, "rules": rules, "champion_version": version}, page)
    log.info("%s of %s: %s", verdict, said["source"], reason)


def _gap(found: Mapping[str, Any]) -> str:
    estimate = found["estimate"]
    words = f"{found['title']} between the groups of {found['column']}"
    if estimate["value"] is None:
        return f"{words}: {found['note']}"
    between = "" if estimate["low"] is None else f" [{estimate['low']:.3g}, {estimate['high']:.3g}]"
    return f"{words} is {estimate['value']:.3g}{between}, allowed is {found['bound']}"


def record_estimates(call: StepCall, report: Mapping[str, Any], page: str) -> list[Document]:
    """Keep the estimates as check results, whose stage is the source; return what travels to the next steps."""
    kept = []
    for one in report["quality"]:
        said = {"source": one["source"], **one["estimate"], "champion_version": report["champion_version"]}
        record_verdict(call, ESTIMATE, one["source"], said, page)
        log.info("%s of %s: %s", said["verdict"], said["source"], said["reason"])
        kept.append({name: said[name] for name in ("source", "window", "verdict", "reason", "rows")})
    return kept

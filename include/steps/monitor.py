"""The step monitor: the newest data against the champion's training profile, its answers against their labels.

Drift and decay start a training once.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from include.errors import NothingToDo
from include.steps.champion_files import champion_files
from include.steps.monitor_decay import KIND as DECAY
from include.steps.monitor_decay import add_trends, answer_decay, judge_answers, record_estimates, record_quality
from include.steps.monitor_predictions import judge_predictions, record_predictions
from include.steps.monitor_records import record_verdict
from include.steps.protocol import Document, StepCall

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from include.monitoring.check import Check
    from include.monitoring.drift import DriftResult
    from include.monitoring.persistence import Lasting
    from include.monitoring.retraining import Answer, EarlierStart
    from include.registry.results import CheckResult
    from include.registry.state import DeployedVersion
    from include.spec.partitions import Partition

log = logging.getLogger("noria.steps.monitor")

KIND = "drift"


class NoChampion(NothingToDo):
    """Without a model in production there is no profile to compare with."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(f"{model} has no champion, so there is nothing to compare the newest data with. Train first.")


class NothingNew(NothingToDo):
    """Data without time: no other delivery than the one that the champion was trained on."""

    def __init__(self, model: str, champion: DeployedVersion) -> None:
        self.model = model
        super().__init__(
            f"{model} has no newer delivery than the one that champion version {champion.version} was trained on, so "
            "nothing can have drifted."
        )


def run(call: StepCall) -> Document:
    """Check for drift and decay; writes the page and check results, which are also the memory of what was started.

    :returns: ``drift``, ``retrain`` and ``start_id`` (of whichever cause), ``reason``, ``verdict`` (that counts),
        ``window_verdict`` (on this window alone), ``window`` (first, last, start, end, partitions, rows), ``share``,
        ``features`` (name, drifted, what, size, limit, p, missing and the distances), ``predictions`` (by source:
        source, verdict, window_verdict, reason, rows), ``quality`` (by source of labels: source, window, verdict,
        reason, labels, answered, warning, retrain, start_id), ``estimates`` (by source: source, window, verdict,
        reason, rows), ``report``, ``page``, ``champion_version``.
    :raises NoChampion: if nothing is in production.
    :raises NothingNew: of data without time, if there is no newer delivery than the champion's.
    :raises ModelAway: if the champion's files cannot be had.
    """
    from include.registry.state import champion as find_champion

    champion = find_champion(call.settings, call.definition.model)
    if champion is None:
        raise NoChampion(call.definition.model)
    if not call.definition.source.has_time:
        _require_new_delivery(call, champion)
    with champion_files(call.settings, champion) as files:
        return _judge(call, champion, files)


def _judge(call: StepCall, champion: DeployedVersion, files: Path) -> Document:
    from include.monitoring.window import describe_window
    from include.spec.columns import personal_features

    partitions, seasons = _windows(call)
    profile = _profile(files)
    check = _check(call, profile, partitions, seasons)
    hidden = personal_features(call.definition)
    report = {
        "model": call.definition.model,
        "as_of": call.as_of.isoformat(),
        "window_verdict": check.result.verdict,
        "share": check.result.share,
        "window": describe_window(partitions) | {"partitions": len(partitions), "rows": check.result.rows},
        "limits": call.definition.monitoring.drift.model_dump(mode="json"),
        "champion_version": champion.version,
        "champion_as_of": champion.as_of.isoformat(),
        "source": check.source(),
        "features": [shown_feature(feature.to_document(), hidden) for feature in check.result.features],
        "counts": check.vectors(),
        "domain_classifier": None if check.told is None else asdict(check.told),
        "predictions": judge_predictions(call, champion, profile, partitions),
        "quality": judge_answers(call, champion, files, profile),
    }
    return _answer_and_record(call, champion, partitions, check.result, report)


def shown_feature(feature: Document, hidden: Collection[str]) -> Document:
    """A feature's document as pages show it: of one that is made from personal columns without its categories.

    :param hidden: features that are made from personal columns.
    """
    if feature["name"] not in hidden or feature["type"] == "numeric":
        return feature
    bins = [one | {"name": f"value {number}"} for number, one in enumerate(feature["bins"], 1)]
    return feature | {"bins": bins}


def _require_new_delivery(call: StepCall, champion: DeployedVersion) -> None:
    """A champion's own data cannot have drifted from its profile, whatever chance has put into which part.

    :raises NothingNew: if there is no other.
    """
    from include.lake.deliveries import version_as_of
    from include.lake.table import LakeTable

    table = LakeTable(call.settings, call.definition.model, "features")
    if not table.exists():
        return
    now, then = (table.digest(version_as_of(table, instant)) for instant in (call.as_of, champion.as_of))
    if now == then:
        raise NothingNew(call.definition.model, champion)


def _version(call: StepCall) -> int | None:
    """The version of the features table that is looked at; None: the newest."""
    if call.definition.source.has_time:
        return None
    from include.lake.deliveries import version_as_of
    from include.lake.table import LakeTable

    return version_as_of(LakeTable(call.settings, call.definition.model, "features"), call.as_of)


def _windows(call: StepCall) -> tuple[list[Partition], list[list[Partition]]]:
    """The window's partitions, and those of the earlier windows of its season that are published."""
    from include.lake.table import LakeTable
    from include.monitoring.window import earlier_seasons, newest_partitions
    from include.spec.partitions import PartitionCalendar

    drift, calendar = call.definition.monitoring.drift, PartitionCalendar.of(call.definition)
    published = LakeTable(call.settings, call.definition.model, "features").partitions()
    window = newest_partitions(calendar, published, call.as_of, drift.window)
    if not window or drift.season is None:
        return window, []
    return window, earlier_seasons(calendar, published, window, drift.season.every, drift.season.windows)


def _profile(files: Path) -> dict[str, Any]:
    return dict(json.loads((files / "artifacts" / "profile.json").read_text(encoding="utf-8")))


def _check(
    call: StepCall, profile: dict[str, Any], partitions: list[Partition], seasons: list[list[Partition]]
) -> Check:
    from include.monitoring.check import check_window

    limits = call.definition.monitoring.drift
    model = call.definition.model
    return check_window(call.settings, model, profile, partitions, seasons, limits, version=_version(call))


def _answer_and_record(
    call: StepCall,
    champion: DeployedVersion,
    partitions: list[Partition],
    result: DriftResult,
    report: dict[str, Any],
) -> Document:
    """Decide on retraining and keep the verdict, one check of a model at a time, so that drift starts training once."""
    from include.lake.locks import advisory_lock
    from include.monitoring.persistence import trend_of
    from include.registry.results import find_checks

    model = call.definition.model
    with advisory_lock(call.settings.database_url, KIND, model):
        before = find_checks(call.settings, model, kind=KIND)
        lasting = _lasting(call, champion, partitions, result, before)
        labelled = find_checks(call.settings, model, kind=DECAY)
        earlier = _earlier_starts([*before, *labelled])
        answer = _answer(call, champion, partitions, lasting.verdict, earlier)
        reason = " ".join(words for words in (result.reason, lasting.reason, answer.reason if answer else "") if words)
        retrain = answer is not None and answer.retrain
        report |= {
            "verdict": lasting.verdict,
            "drift": lasting.verdict == "drift",
            "retrain": retrain,
            "reason": reason,
            "start_id": answer.start_id if answer else None,
            "quality": answer_decay(call, champion, report["quality"], earlier, started=retrain),
        }
        report["quality"] = add_trends(report, labelled)
        short = [feature.to_short_document() for feature in result.features]
        trend = trend_of({**report, "features": short}, [check.details for check in before])
        output = _write(call, {**report, "trend": trend}, short)
        record_verdict(call, KIND, "monitor", output, output["page"])
        output["predictions"] = record_predictions(call, report, output["page"])
        output["quality"] = record_quality(call, report, output["page"])
        output["estimates"] = record_estimates(call, report, output["page"])
    log.info("%s: %s", lasting.verdict, reason)
    return output | _started_by_decay(output)


def _started_by_decay(output: Document) -> Document:
    """What decay changes of the step's output, if it starts a retraining."""
    for one in output["quality"]:
        if one["retrain"]:
            return {**{name: one[name] for name in ("retrain", "start_id")}, "reason": one["reason"]}
    return {}


def _earlier_starts(checks: list[CheckResult]) -> list[EarlierStart]:
    """What checks have started."""
    from include.monitoring.retraining import EarlierStart

    found = (EarlierStart.from_details(check.as_of, check.details) for check in checks)
    return [start for start in found if start is not None]


def _lasting(
    call: StepCall,
    champion: DeployedVersion,
    partitions: list[Partition],
    result: DriftResult,
    before: list[CheckResult],
) -> Lasting:
    """The verdict that counts, by the windows before this one."""
    from include.monitoring.persistence import judge_persistence

    return judge_persistence(
        result.verdict,
        end=partitions[-1].end if partitions else None,
        champion_version=champion.version,
        earlier=[check.details for check in before],
        rule=call.definition.monitoring.drift.persistence,
    )


def _answer(
    call: StepCall, champion: DeployedVersion, partitions: list[Partition], verdict: str, earlier: list[EarlierStart]
) -> Answer | None:
    """What drift starts; None without drift."""
    from include.monitoring.retraining import answer_alarm

    if verdict != "drift":
        return None
    return answer_alarm(
        call.definition.model,
        "drift",
        as_of=call.as_of,
        window_end=partitions[-1].end,
        champion_version=champion.version,
        champion_as_of=champion.as_of,
        rules=call.definition.monitoring.retrain,
        earlier=earlier,
    )


def _write(call: StepCall, report: dict[str, Any], short: list[Document]) -> Document:
    """Write page and JSON; return what travels to the next steps."""
    from include.lake.store import store_of
    from include.reports.drift_page import write_drift_page
    from include.reports.layout import write_atomically

    name = f"{call.as_of:%Y%m%dT%H%M%S}-v{report['champion_version']}"
    path = call.settings.store / "reports" / call.definition.model / "drift" / f"{name}.json"
    write_atomically(path, json.dumps(report, indent=1, allow_nan=False, ensure_ascii=False))
    page = write_drift_page(path.with_suffix(".html"), report)
    store_of(call.settings).deliver(path, page)
    kept = (
        "drift", "retrain", "start_id", "reason", "verdict", "window_verdict", "window", "share", "champion_version",
        "domain_classifier",
    )  # fmt: skip
    return {
        **{key: report[key] for key in kept},
        "features": short,
        "report": path.relative_to(call.settings.store).as_posix(),
        "page": page.relative_to(call.settings.store).as_posix(),
    }

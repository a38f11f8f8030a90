"""What the step monitor says of the predictions: a verdict and a check result for each table of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include.steps.monitor_records import record_verdict
from include.steps.protocol import Document, StepCall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from include.registry.state import DeployedVersion
    from include.spec.partitions import Partition

KIND = "prediction drift"


def judge_predictions(
    call: StepCall, champion: DeployedVersion, profile: Mapping[str, Any], partitions: Sequence[Partition]
) -> list[Document]:
    """What is said of the champion's answers in the window, for each table that has some; lasting drift only.

    :returns: documents with ``source``, ``verdict``, ``window_verdict``, ``reason``, ``rows``, ``features`` (one, with
        everything) and ``counts``.
    """
    from include.monitoring.persistence import judge_persistence
    from include.monitoring.predictions import check_predictions
    from include.registry.results import find_checks
    from include.training.profile import FORMAT

    if not partitions or profile.get("format") != FORMAT:
        return []
    drift, model = call.definition.monitoring.drift, call.definition.model
    said = []
    for check in check_predictions(call.settings, model, champion.version, profile, partitions, drift):
        before = find_checks(call.settings, model, kind=KIND, stage=check.source)
        lasting = judge_persistence(
            check.result.verdict,
            end=partitions[-1].end,
            champion_version=champion.version,
            earlier=[one.details for one in before],
            rule=drift.persistence,
        )
        said.append(
            {
                "source": check.source,
                "verdict": lasting.verdict,
                "window_verdict": check.result.verdict,
                "reason": f"{check.result.reason} {lasting.reason}".strip(),
                "rows": check.result.rows,
                "features": [feature.to_document() for feature in check.result.features],
                "short": [feature.to_short_document() for feature in check.result.features],
                "counts": check.counts,
            }
        )
    return said


def record_predictions(call: StepCall, report: Mapping[str, Any], page: str) -> list[Document]:
    """Keep the verdicts as check results, whose stage is the source; return what travels to the next steps."""
    kept = []
    for one in report["predictions"]:
        short = {key: one[key] for key in ("source", "verdict", "window_verdict", "reason", "rows")}
        details = {"champion_version": report["champion_version"], "window": report["window"], "features": one["short"]}
        record_verdict(call, KIND, one["source"], short | details, page)
        kept.append(short)
    return kept

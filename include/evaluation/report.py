"""One document with everything that was measured about a challenger: what the page shows and the decision reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from include.evaluation.baselines import Baseline, linear_baseline, naive_baseline
from include.evaluation.class_scoring import MulticlassScorer
from include.evaluation.comparison import Comparison, Judging, MetricEstimates, compare
from include.evaluation.curves import (
    calibration,
    class_curves,
    cost_curve,
    precision_recall_curve,
    residuals,
    roc_curve,
)
from include.evaluation.fairness import Fairness
from include.evaluation.group_fairness import Answered, judge_groups, short
from include.evaluation.grouping import Floats
from include.evaluation.holdout import Holdout, TrainingSetIncomplete
from include.evaluation.metrics import display_order
from include.evaluation.objective import RowObjective
from include.evaluation.scoring import BinaryScorer
from include.evaluation.slices import judge_slices
from include.spec.columns import feature_types
from include.spec.definition import Definition


@dataclass(frozen=True)
class Rival:
    """The champion, as far as the challenger can meet it.

    :param version: None if there is no champion.
    :param fairness: on which rows the two may be compared, and why not on others.
    :param predictions: the champion's, for all holdout rows; None unless the comparison is fair (or fair in part).
    :param threshold: the champion's own, if it has one.
    """

    version: int | None
    fairness: Fairness
    predictions: Floats | None
    threshold: float | None = None

    @classmethod
    def nobody(cls, rows: int) -> Rival:
        """There is no champion."""
        return cls(None, Fairness("none", np.ones(rows, dtype=bool), "there is no champion yet"), None)

    @classmethod
    def itself(cls, version: int, rows: int) -> Rival:
        """The challenger is the champion, and is not compared with itself."""
        reason = f"This is champion version {version} itself, already champion; it is not compared with itself."
        return cls(version, Fairness("self", np.zeros(rows, dtype=bool), reason), None)


def judging_of(
    definition: Definition, holdout: Holdout, *, threshold: float | None = None, champion_threshold: float | None = None
) -> Judging:
    """How a definition wants its challengers judged on the holdout's rows.

    :param threshold: the challenger's own; the definition's if left out.
    :param champion_threshold: the champion's own.
    :raises TrainingSetIncomplete: if a column that the objective reads is not there.
    """
    evaluation = definition.evaluation
    objective = evaluation.objective
    return Judging(
        task=definition.task,
        threshold=evaluation.threshold if threshold is None else threshold,
        champion_threshold=champion_threshold,
        rounds=evaluation.bootstrap_rounds,
        confidence=evaluation.confidence,
        seed=definition.training.seed,
        costs=evaluation.costs,
        objective=RowObjective.of(objective, {name: _column(holdout, name) for name in objective.columns()})
        if objective
        else None,
        classes=definition.label.class_names,
    )


def evaluate(definition: Definition, holdout: Holdout, rival: Rival, threshold: float | None = None) -> dict[str, Any]:
    """Measure the challenger, the baselines and the champion on the holdout rows.

    :param threshold: the challenger's own; the definition's if left out.
    :returns: JSON: ``rows``, ``challenger``, ``baselines``, ``improvements`` (by reference, positive is better),
        ``comparison`` (with the champion: status, rows, reason, resampling, both models' metrics), ``champion`` (its
        metrics, or null), ``fair``, ``unfair_reason``, ``slices``, ``curves`` and how all of it was judged.
    :raises UnusablePredictions: if someone's predictions cannot be evaluated.
    """
    judging = judging_of(definition, holdout, threshold=threshold, champion_threshold=rival.threshold)
    evaluation = definition.evaluation
    costs, objective = evaluation.costs is not None, evaluation.objective
    shown = display_order(definition.task, evaluation.metrics, costs=costs, objective=objective)
    order = [metric.name for metric in shown]
    baselines = _baselines(definition, holdout)
    references = {baseline.name: baseline.predictions for baseline in baselines}
    everywhere = rival.predictions is not None and rival.fairness.status == "fair"
    if everywhere and rival.predictions is not None:
        references["champion"] = rival.predictions
    measured = compare(judging, holdout.labels, holdout.predictions, references, holdout.partitions)
    met = measured if everywhere else _on_common_rows(judging, holdout, rival)
    return {
        "model": definition.model,
        "task": definition.task,
        "rows": measured.rows,
        "metrics": order,
        "highlights": list(definition.evaluation.metrics),
        "judging": {
            "threshold": judging.threshold,
            "threshold_from": definition.evaluation.threshold_from,
            "costs": judging.costs.model_dump() if judging.costs else None,
            "objective": judging.objective.objective.model_dump() if judging.objective else None,
            "rounds": judging.rounds,
            "confidence": judging.confidence,
            "seed": judging.seed,
            "resampling": measured.resampling.to_document(),
        },
        "challenger": _document(measured.estimates["challenger"], order),
        "baselines": {one.name: _document(measured.estimates[one.name], order) for one in baselines},
        "baseline_descriptions": {one.name: one.description for one in baselines},
        "improvements": _improvements(measured, met, order),
        **_meeting(rival, met, order),
        "slices": _slices(definition, judging, holdout, rival),
        "fairness": _fairness(definition, judging, holdout),
        "curves": _curves(judging, holdout),
    }


def _baselines(definition: Definition, holdout: Holdout) -> list[Baseline]:
    labels = holdout.train["label"].to_numpy(dtype=np.float64)
    features = feature_types(definition)
    return [
        naive_baseline(definition.task, labels, len(holdout.frame), definition.label.class_names),
        linear_baseline(definition.task, features, holdout.train, holdout.frame, definition.label.class_names),
    ]


def _on_common_rows(judging: Judging, holdout: Holdout, rival: Rival) -> Comparison | None:
    """Challenger and champion on the rows that the champion has not seen, if it may be compared there."""
    if rival.predictions is None:
        return None
    usable = rival.fairness.usable
    champion = {"champion": rival.predictions[usable]}
    return compare(
        judging.on(usable), holdout.labels[usable], holdout.predictions[usable], champion, holdout.partitions[usable]
    )


def _meeting(rival: Rival, met: Comparison | None, order: list[str]) -> dict[str, Any]:
    """The comparison with the champion, and the three short answers about it."""
    fairness = rival.fairness
    comparison: dict[str, Any] = {
        "status": fairness.status,
        "champion_version": rival.version,
        "rows": met.rows if met else 0,
        "excluded": int((~fairness.usable).sum()),
        "reason": fairness.reason,
        "resampling": met.resampling.to_document() if met else None,
        "challenger": _document(met.estimates["challenger"], order) if met else None,
    }
    return {
        "comparison": comparison,
        "champion_version": rival.version,
        "champion": _document(met.estimates["champion"], order) if met else None,
        "fair": fairness.status in ("none", "fair", "part"),
        "unfair_reason": fairness.reason if fairness.status in ("unfair", "self") else None,
    }


def _improvements(measured: Comparison, met: Comparison | None, order: list[str]) -> dict[str, Any]:
    found = dict(measured.improvements)
    if met is not None:
        found["champion"] = met.improvements["champion"]
    return {name: _document(estimates, order) for name, estimates in found.items()}


def _document(estimates: MetricEstimates, order: list[str]) -> dict[str, Any]:
    return {name: estimates[name].to_document() for name in order}


def _slices(definition: Definition, judging: Judging, holdout: Holdout, rival: Rival) -> list[dict[str, Any]]:
    """Slices on all rows, or on the common ones where there is a champion to compare with."""
    names = [name for name in definition.evaluation.slices if name not in definition.serving.personal]
    if not names:
        return []
    usable = rival.fairness.usable if rival.predictions is not None else np.ones(len(holdout.frame), dtype=bool)
    columns = pd.DataFrame({name: _column(holdout, name) for name in names})[usable]
    references = {"champion": rival.predictions[usable]} if rival.predictions is not None else {}
    found = judge_slices(
        judging.on(usable),
        columns,
        holdout.labels[usable],
        holdout.predictions[usable],
        references,
        holdout.partitions[usable],
    )
    return [one.to_document(judging) for one in found]


def _fairness(definition: Definition, judging: Judging, holdout: Holdout) -> list[dict[str, Any]]:
    """The definition's rules of fairness on all holdout rows."""
    rules = definition.evaluation.fairness
    if not rules:
        return []
    answered = Answered.of(judging.task, holdout.labels, holdout.predictions, holdout.partitions, judging.threshold)
    columns = {rule.column: _column(holdout, rule.column) for rule in rules}
    return judge_groups(judging.task, rules, columns, answered, confidence=judging.confidence, seed=judging.seed)


def _column(holdout: Holdout, name: str) -> pd.Series[Any]:
    for frame in (holdout.frame, holdout.inputs, holdout.others):
        if name in frame:
            return frame[name].reset_index(drop=True)
    raise TrainingSetIncomplete(
        holdout.directory, f"has no column {name!r}, which the definition's slices, fairness or objective read"
    )


def _curves(judging: Judging, holdout: Holdout) -> dict[str, Any]:
    if judging.task == "regression":
        return {"residuals": residuals(holdout.labels, holdout.predictions)}
    if judging.task == "multiclass_classification":
        scorer = MulticlassScorer(holdout.labels, holdout.predictions)
        return {
            "confusion_matrix": {"classes": list(judging.classes), "counts": scorer.confusion().tolist()},
            "by_class": scorer.by_class(judging.classes),
            "by_class_curves": class_curves(holdout.labels, holdout.predictions, judging.classes),
            "calibration": calibration(scorer.right(), holdout.predictions.max(axis=1)),
        }
    return {
        "confusion": BinaryScorer(holdout.labels, holdout.predictions, judging.threshold).confusion(),
        "roc": roc_curve(holdout.labels, holdout.predictions),
        "pr": precision_recall_curve(holdout.labels, holdout.predictions),
        "positives": float(holdout.labels.mean()),
        "calibration": calibration(holdout.labels, holdout.predictions),
        "costs": cost_curve(holdout.labels, holdout.predictions, judging.costs) if judging.costs else None,
    }


def step_output(report: Mapping[str, Any], *, path: str, page: str) -> dict[str, Any]:
    """What travels to the next steps: the report without slices and curves.

    :param path: the report's JSON relative to the store.
    :param page: its page relative to the store.
    """
    kept = (
        *("challenger", "champion", "champion_version", "baselines", "improvements", "rows", "fair", "unfair_reason"),
        "robustness",
    )
    comparison = {key: value for key, value in report["comparison"].items() if key != "challenger"}
    resampling = report["judging"]["resampling"]
    kept_report = {key: report[key] for key in kept} | {"threshold": report["judging"]["threshold"]}
    kept_report["fairness"] = [short(found) for found in report["fairness"]]
    return {"report": path, "page": page, **kept_report, "comparison": comparison, "resampling": resampling}

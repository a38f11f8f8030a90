"""Quality estimated without labels, from how sure the model was and how right that was on its holdout part.

Labels are drawn from the model's own answers, as the version's confidence says (:mod:`include.training.confidence`),
and the metrics are those of the drawn labels. For a classification this is confidence-based performance estimation
(CBPE; Białek et al., "Estimating model performance in the presence of covariate shift without ground truth", 2024,
arXiv:2401.08348): each label is drawn with its calibrated probability. For a regression an error is drawn from those
that answers of about the same size had. Each round draws another calibration as well, within what the holdout part
leaves open and what days differ, so the interval is one for the metric of these very rows once their labels are in.

An estimate sees that there are more hard cases. It cannot see that the relation between features and label has changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from include.evaluation.answers import Answers
from include.evaluation.bootstrap import Draws
from include.evaluation.estimate import Estimate
from include.evaluation.grouping import Floats
from include.evaluation.metrics import OBJECTIVE, Metric
from include.evaluation.objective import RowObjective
from include.evaluation.scoring import UnusablePredictions
from include.monitoring.decay import watched
from include.monitoring.scored import FEWEST_LABELS, Holdout, scorer_of
from include.spec.definition import Definition
from include.spec.partitions import DAY_OF_KEY
from include.training.confidence import by_class, calibrated

Verdict = Literal["estimate", "warning", "no estimate"]

_ROUNDS: Final = 200
_MOST_ROWS: Final = 10_000
_SHARE_DEFINED: Final = 0.9

RESTS_ON: Final = (
    "An estimate without labels: it assumes that the calibration of the holdout part still holds, and cannot see a "
    "changed relation between features and label."
)
TOO_OLD: Final = "The version was made before what an estimate needs was kept with it; train again to have one."


@dataclass(frozen=True, kw_only=True)
class EstimatedMetric:
    """One metric, as it would be if the holdout part's calibration still holds.

    :param before: on the holdout part; None if that is not published.
    :param estimate: now, with the interval for what labels will say.
    :param change: how much better it is than before; negative is worse. None without ``before``.
    :param least: from which loss on it matters.
    """

    name: str
    title: str
    before: Estimate | None
    estimate: Estimate
    change: Estimate | None
    least: float | None

    @property
    def worse(self) -> bool:
        """Whether it is worse than what chance explains, and by enough to matter."""
        if self.change is None or self.change.value is None or self.change.high is None or self.least is None:
            return False
        return self.change.high < 0 and -self.change.value >= self.least

    def to_document(self) -> dict[str, Any]:
        """JSON."""
        sides = {name: getattr(self, name) for name in ("before", "estimate", "change")}
        return {
            "name": self.name,
            "title": self.title,
            **{name: None if side is None else side.to_document() for name, side in sides.items()},
            "least": self.least,
            "worse": self.worse,
        }


@dataclass(frozen=True)
class EstimatedQuality:
    """What can be said of some answers without their labels; never that all is well.

    :param rows: how many answers it is about.
    """

    verdict: Verdict
    reason: str
    rows: int
    metrics: tuple[EstimatedMetric, ...] = ()

    def to_document(self) -> dict[str, Any]:
        """JSON."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "rows": self.rows,
            "metrics": [one.to_document() for one in self.metrics],
        }


def no_estimate(why: str, rows: int = 0) -> EstimatedQuality:
    """That there is none, and why."""
    return EstimatedQuality("no estimate", f"No estimate: {why}", rows)


def estimate_quality(
    definition: Definition,
    confidence: Mapping[str, Any] | None,
    answers: Answers,
    before: Holdout | None,
    *,
    threshold: float | None,
) -> EstimatedQuality:
    """Estimate the watched metrics of some answers; their labels are not looked at.

    :param confidence: of the version's ``profile.json``; None if it has none.
    :param before: on the holdout part, if that is published.
    :param threshold: the version's own; the definition's if it has none.
    :raises ObjectiveFailed: the objective's SQL cannot be computed for these rows.
    """
    why = _why_not(confidence, answers)
    if why is not None or confidence is None:
        return no_estimate(why or TOO_OLD, answers.rows)
    days = np.unique(answers.partitions.astype(f"<U{DAY_OF_KEY}")).size
    thin = _thinned(answers)
    try:
        drawn = _draw(definition, confidence, thin, threshold, days=days)
        then = None if before is None else before.scored
    except UnusablePredictions as problem:
        return no_estimate(str(problem), answers.rows)
    found = []
    for metric in watched(definition):
        value = _estimate(drawn[metric.name], definition.evaluation.confidence)
        if then is None:
            found.append(_metric(metric, None, value, None, None))
            continue
        first = float(then[0].points[metric.name])
        earlier = _estimate(then[1][metric.name], definition.evaluation.confidence, first)
        least = None if earlier.value is None else definition.monitoring.decay.least_change * abs(earlier.value)
        found.append(_metric(metric, earlier, value, _change(definition, metric, drawn, then[1], first), least))
    return _said(found, answers.rows)


def _metric(
    metric: Metric, before: Estimate | None, value: Estimate, change: Estimate | None, least: float | None
) -> EstimatedMetric:
    return EstimatedMetric(
        name=metric.name, title=metric.title, before=before, estimate=value, change=change, least=least
    )


def _why_not(confidence: Mapping[str, Any] | None, answers: Answers) -> str | None:
    if confidence is None:
        return TOO_OLD
    if "reason" in confidence:
        return f"{confidence['reason']}."
    if answers.rows < FEWEST_LABELS:
        return f"{answers.rows} answers are too few; at least {FEWEST_LABELS} are needed."
    if not np.isfinite(answers.predictions).all():
        return "an answer is no finite number."
    return None


def _said(metrics: list[EstimatedMetric], rows: int) -> EstimatedQuality:
    known = [one for one in metrics if one.estimate.value is not None]
    if not known:
        why = "; ".join(f"{one.title}: {one.estimate.reason}" for one in metrics)
        return EstimatedQuality("no estimate", f"No estimate: {why}.", rows, tuple(metrics))
    worse = [one for one in known if one.worse]
    values = "; ".join(_words(one) for one in worse or known)
    warned = " That is worse than chance explains: wait for labels, or have some rows labelled." if worse else ""
    reason = f"{values}, estimated from {rows:,} answers.{warned} {RESTS_ON}"
    return EstimatedQuality("warning" if worse else "estimate", reason, rows, tuple(metrics))


def _words(one: EstimatedMetric) -> str:
    between = "" if one.estimate.low is None else f" [{one.estimate.low:.4g}, {one.estimate.high:.4g}]"
    before = "" if one.before is None or one.before.value is None else f" ({one.before.value:.4g} on the holdout part)"
    return f"{one.title} about {one.estimate.value:.4g}{between}{before}"


def _thinned(answers: Answers) -> Answers:
    """At most so many rows, evenly spread: more would not make the interval narrower by much."""
    if answers.rows <= _MOST_ROWS:
        return answers
    which = np.zeros(answers.rows, dtype=bool)
    which[np.unique(np.linspace(0, answers.rows - 1, _MOST_ROWS).astype(np.int64))] = True
    return answers.chosen(which)


def _draw(
    definition: Definition, confidence: Mapping[str, Any], answers: Answers, threshold: float | None, *, days: int
) -> Draws:
    """The metrics of drawn labels, each of shape (rounds,)."""
    random = np.random.default_rng(definition.training.seed)
    shared = np.array(confidence["shared"]) * (confidence["units"] / max(days, 1))
    covariance = np.array(confidence["covariance"]) + shared
    found: dict[str, list[float]] = {}
    centre, units = np.array(confidence["parameters"]), confidence["units"]
    away = random.multivariate_normal(np.zeros_like(centre), covariance, size=_ROUNDS, check_valid="ignore")
    # A covariance that few days tell is itself not sure: Student's distribution in place of the normal one.
    wider = np.sqrt((units - 1) / random.chisquare(units - 1, size=_ROUNDS))
    drawn = centre + away * wider[:, None]
    draw_labels = _classes_of if confidence["kind"] == "classes" else _values_of
    make = draw_labels(confidence, answers.predictions)
    objective = _yes_or_no(definition, answers, threshold)
    for parameters in drawn:
        labels = make(parameters, random)
        scorer = scorer_of(definition, replace(answers, labels=labels), threshold, objective=objective is None)
        values = scorer.points if objective is None else scorer.points | {OBJECTIVE: objective(labels)}
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in found.items()}


def _yes_or_no(definition: Definition, answers: Answers, threshold: float | None) -> Callable[[Floats], float] | None:
    """The objective of labels that are 0 or 1, whose SQL is then computed twice and not in each round.

    :returns: None if there is no objective, or labels are not yes or no.
    """
    evaluation = definition.evaluation
    if evaluation.objective is None or definition.task != "binary_classification":
        return None
    rows = RowObjective.of(evaluation.objective, answers.columns)
    decided = (answers.predictions >= (evaluation.threshold if threshold is None else threshold)).astype(np.float64)
    no, yes = (rows.values(np.full(answers.rows, label), answers.predictions, decided) for label in (0.0, 1.0))

    def value(labels: Floats) -> float:
        per = float(np.where(labels == 1, yes.per, no.per).sum())
        return float(np.where(labels == 1, yes.number, no.number).sum()) / per if per else math.nan

    return value


def _classes_of(confidence: Mapping[str, Any], predictions: Floats) -> Any:
    """Draws a label for each row: 0 or 1, or the place of one of several classes."""
    del confidence
    logarithms = by_class(predictions)

    def make(parameters: Floats, generator: np.random.Generator) -> Floats:
        # A slope below nothing would turn the order around, which no covariance of a usable model means.
        kept = np.concatenate(([max(parameters[0], 0.0)], parameters[1:]))
        upto = np.cumsum(calibrated(logarithms, kept), axis=1)
        places: Floats = (generator.random((len(upto), 1)) > upto[:, :-1]).sum(axis=1).astype(np.float64)
        return places

    return make


def _values_of(confidence: Mapping[str, Any], predictions: Floats) -> Any:
    """Draws a label for each row: the answer, and an error that answers of about its size had."""
    places = np.searchsorted(np.array(confidence["edges"]), predictions, side="right")
    sizes, residuals = np.array(confidence["sizes"])[places], np.array(confidence["residuals"])

    def make(parameters: Floats, random: np.random.Generator) -> Floats:
        errors = residuals[places, random.integers(0, residuals.shape[1], predictions.size)]
        labels: Floats = predictions + parameters[0] * sizes + math.exp(parameters[1]) * errors
        return labels

    return make


def _estimate(drawn: Floats, confidence: float, value: float | None = None) -> Estimate:
    """The middle of the draws, or a value, with the interval of the draws."""
    known = drawn[np.isfinite(drawn)]
    if known.size < _SHARE_DEFINED * drawn.size or (value is not None and not math.isfinite(value)):
        return Estimate(None, None, None, "it is undefined for too many of the labels that are drawn")
    low, high = np.quantile(known, ((1 - confidence) / 2, (1 + confidence) / 2))
    return Estimate(float(np.median(known)) if value is None else value, float(low), float(high))


def _change(definition: Definition, metric: Metric, drawn: Draws, before: Draws, first: float) -> Estimate:
    """How much better than before; all metrics that are watched share the confidence."""
    sign = 1.0 if metric.higher_is_better else -1.0
    shared = 1 - (1 - definition.evaluation.confidence) / len(watched(definition))
    now = np.resize(drawn[metric.name], before[metric.name].size)
    middle = float(np.nanmedian(now)) if np.isfinite(now).any() else math.nan
    return _estimate(sign * (now - before[metric.name]), shared, sign * (middle - first))

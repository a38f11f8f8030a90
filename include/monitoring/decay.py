"""The verdict on decay: a version's answers are worse than on its holdout part, beyond chance, and by enough to matter.

Both sides are resampled by whole partitions (:mod:`include.evaluation.resampling`), apart from each other as they are
other rows. A metric has decayed if the interval of its change lies wholly on the bad side and the change is at least
``monitoring.decay.least_change`` of the holdout's value.

Calibration and slices are told beside it and turn no verdict. All of them together share one chance of a false alarm,
which is as great as that of the verdict (:func:`include.monitoring.chance.holm`). See ``ADR-decay-verdict.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from include.evaluation.answers import Answers
from include.evaluation.bootstrap import Draws, estimate, improvement
from include.evaluation.estimate import Estimate
from include.evaluation.metrics import Metric, find_metric
from include.evaluation.resampling import Resampling
from include.evaluation.scoring import Scorer, UnusablePredictions
from include.monitoring.calibration import CalibrationChange, compare_calibration
from include.monitoring.chance import holm
from include.monitoring.scored import FEWEST_LABELS, Holdout, score_answers
from include.monitoring.slices import SliceChange, compare_slices
from include.spec.definition import Definition

Verdict = Literal["decay", "no decay", "not enough data"]

_ROUNDS: Final = 400
_OBJECTIVE: Final = "objective"
#: Slices and calibrations that a sentence names; the page shows all.
_TOLD: Final = 3


@dataclass(frozen=True, kw_only=True)
class Change:
    """One metric then and now.

    :param before: on the holdout part.
    :param now: on the newest labelled answers.
    :param change: how much better it is now; negative is worse, whatever the metric's direction.
    :param least: from which change on it matters; None if it cannot be said.
    """

    name: str
    title: str
    before: Estimate
    now: Estimate
    change: Estimate
    least: float | None

    @property
    def decayed(self) -> bool | None:
        """None if the metric or an interval is not defined for these rows."""
        if self.change.value is None or self.change.high is None or self.least is None:
            return None
        return self.change.high < 0 and -self.change.value >= self.least

    def to_document(self) -> dict[str, Any]:
        """JSON."""
        sides = {name: getattr(self, name).to_document() for name in ("before", "now", "change")}
        return {"name": self.name, "title": self.title, **sides, "least": self.least, "decayed": self.decayed}


@dataclass(frozen=True)
class DecayResult:
    """What is known of the answers' quality.

    :param labels: how many answers were judged.
    :param answered: how many there are, with or without a label.
    :param calibration: what is told of it beside the verdict.
    :param slices: likewise, the most changed first.
    """

    verdict: Verdict
    reason: str
    labels: int = 0
    answered: int = 0
    changes: tuple[Change, ...] = ()
    calibration: tuple[CalibrationChange, ...] = ()
    slices: tuple[SliceChange, ...] = ()

    @property
    def warning(self) -> str | None:
        """What is worse beside the verdict, in a sentence; None if nothing is."""
        told = [one.words() for one in self.slices if one.worse]
        told += [one.words() for one in self.calibration if one.worse]
        if not told:
            return None
        more = f" and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
        return f"Worse than chance explains: {'; '.join(told[:_TOLD])}{more}."

    def noted(self, note: str) -> DecayResult:
        """With another sentence at the reason's end."""
        return replace(self, reason=f"{self.reason} {note}".strip())

    def to_document(self) -> dict[str, Any]:
        """JSON."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "labels": self.labels,
            "answered": self.answered,
            "changes": [change.to_document() for change in self.changes],
            "calibration": [change.to_document() for change in self.calibration],
            "slices": [change.to_document() for change in self.slices],
            "warning": self.warning,
        }


def nothing_known(reason: str, *, labels: int = 0, answered: int = 0) -> DecayResult:
    """The verdict without labels, or without anything to compare with."""
    return DecayResult("not enough data", reason, labels=labels, answered=answered)


def _unknown(now: Answers, reason: str) -> DecayResult:
    return nothing_known(reason, labels=now.rows, answered=now.answered)


def judge_decay(
    definition: Definition, before: Holdout | None, now: Answers, *, threshold: float | None
) -> DecayResult:
    """Compare a version's answers with those on its holdout part.

    :param before: on the holdout part; None if they are not published.
    :param now: since then, only those whose truth is known.
    :param threshold: the version's own; the definition's if it has none.
    :raises ObjectiveFailed: the objective's SQL cannot be computed for these rows.
    """
    if now.rows < FEWEST_LABELS:
        return _unknown(now, _too_few(now))
    if before is None:
        return _unknown(now, "The champion's answers on its holdout part are not published.")
    try:
        then, today = before.scored, score_answers(definition, now, threshold, seed=1, rounds=_ROUNDS)
    except UnusablePredictions as problem:
        return _unknown(now, str(problem))
    changes = _changes(definition, then, today)
    decayed = [change for change in changes if change.decayed]
    known = [change for change in changes if change.decayed is not None]
    verdict: Verdict = "decay" if decayed else "no decay" if known else "not enough data"
    reason = " ".join([_reason(decayed, known, changes), f"{_labels(now)}.", *_narrow(now)])
    calibration, slices = _beside(definition, before.answers, now, threshold)
    return DecayResult(verdict, reason, now.rows, now.answered, tuple(changes), calibration, slices)


def _too_few(now: Answers) -> str:
    """That there are too few labels, or none, of how many answers."""
    have = "has a label" if now.rows <= 1 else "have labels"
    return (
        f"{now.rows or 'None'} of {now.answered:,} answers {have} yet: no verdict on quality. "
        f"At least {FEWEST_LABELS} labels are needed."
    )


def _beside(
    definition: Definition, before: Answers, now: Answers, threshold: float | None
) -> tuple[tuple[CalibrationChange, ...], tuple[SliceChange, ...]]:
    """Calibration and slices, corrected for all of them together; the most changed slices first."""
    calibration = compare_calibration(definition, before, now)
    slices = compare_slices(definition, watched(definition)[0], before, now, threshold=threshold)
    significance = (1 - definition.evaluation.confidence) / 2
    chances = iter(holm([*(one.p for one in calibration), *(one.p for one in slices)]))
    told = tuple(one.corrected(next(chances), significance) for one in calibration)
    found = [one.corrected(next(chances), significance) for one in slices]
    return told, tuple(sorted(found, key=lambda one: (not one.worse, one.p, one.change.value or 0.0)))


def watched(definition: Definition) -> list[Metric]:
    """The metrics that are watched: the definition's, else the first that it shows, and its objective."""
    evaluation = definition.evaluation
    objective = [_OBJECTIVE] if evaluation.objective else []
    names = definition.monitoring.decay.metrics or [*evaluation.metrics[:1], *objective]
    return [find_metric(name, definition.task, evaluation.objective) for name in dict.fromkeys(names)]


def _changes(definition: Definition, before: tuple[Scorer, Draws], now: tuple[Scorer, Draws]) -> list[Change]:
    metrics = watched(definition)
    confidence = definition.evaluation.confidence
    # All metrics together are wrong as seldom as one alone would be (Bonferroni).
    shared = 1 - (1 - confidence) / len(metrics)
    found = []
    for metric in metrics:
        then = estimate(*before, metric, confidence=confidence)
        found.append(
            Change(
                name=metric.name,
                title=metric.title,
                before=then,
                now=estimate(*now, metric, confidence=confidence),
                change=improvement(metric, now, before, confidence=shared),
                least=None if then.value is None else definition.monitoring.decay.least_change * abs(then.value),
            )
        )
    return found


def _reason(decayed: Sequence[Change], known: Sequence[Change], changes: Sequence[Change]) -> str:
    if decayed:
        return f"{'; '.join(map(_words, decayed))}: worse than chance explains, and by enough to matter."
    if known:
        return f"{'; '.join(map(_words, known))}: no worse than chance explains, or too little to matter."
    return "; ".join(f"{one.title}: {one.now.reason or one.before.reason}" for one in changes) + "."


def _words(change: Change) -> str:
    between = f"change {change.change.value:+.3g} [{change.change.low:+.3g}, {change.change.high:+.3g}]"
    return f"{change.title} {change.before.value:.4g} on the holdout part, {change.now.value:.4g} now ({between})"


def _labels(now: Answers) -> str:
    share = f" of {now.answered:,} answers" if now.answered != now.rows else ""
    return f"It rests on {now.rows:,} labels{share}"


def _narrow(now: Answers) -> list[str]:
    reason = Resampling.of_partitions(now.partitions).reason
    return ["The interval may be too narrow: the rows come from few partitions."] if reason else []

"""Fairness between groups by fairlearn's definitions, with intervals from resamples of whole partitions.

The points and the groups' rates are fairlearn's own. On a thousand resamples it would take minutes, so there the same
formulas are computed from weighted sums; tests hold them against fairlearn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.evaluation.estimate import Estimate
from include.evaluation.grouping import Floats, Groups
from include.evaluation.resampling import Resampling
from include.evaluation.slices import MISSING, MOST_VALUES
from include.spec.definition import Task
from include.spec.fairness import FairnessMeasure, FairnessRule

_ROUNDS: Final = 300
_BLOCK: Final = 2_000_000
TITLES: Final[dict[FairnessMeasure, str]] = {
    "demographic_parity_difference": "Demographic parity difference",
    "demographic_parity_ratio": "Demographic parity ratio",
    "equalized_odds_difference": "Equalized odds difference",
    "equalized_odds_ratio": "Equalized odds ratio",
    "equal_opportunity_difference": "Equal opportunity difference",
    "accuracy_difference": "Accuracy difference",
    "mae_difference": "MAE difference",
}
#: Rates of the groups that a measure compares; it is the worst of them.
_COMPARED: Final[dict[FairnessMeasure, tuple[str, ...]]] = {
    "demographic_parity_difference": ("selection_rate",),
    "demographic_parity_ratio": ("selection_rate",),
    "equalized_odds_difference": ("true_positive_rate", "false_positive_rate"),
    "equalized_odds_ratio": ("true_positive_rate", "false_positive_rate"),
    "equal_opportunity_difference": ("true_positive_rate",),
    "accuracy_difference": ("accuracy",),
    "mae_difference": ("mean_absolute_error",),
}
_RATES: Final[dict[str, dict[str, str]]] = {
    "binary_classification": {
        "selection_rate": "Share of yes",
        "true_positive_rate": "True positive rate",
        "false_positive_rate": "False positive rate",
        "accuracy": "Accuracy",
    },
    "multiclass_classification": {"accuracy": "Accuracy"},
    "regression": {"mean_absolute_error": "Mean absolute error"},
}


@dataclass(frozen=True)
class Answered:
    """What is compared: rows with their truth, the answers that were given, and what they are grouped by.

    :param labels: shape (rows,).
    :param answers: shape (rows,): 0 or 1, a class's place, or a value.
    :param partitions: each row's partition key.
    """

    labels: Floats
    answers: Floats
    partitions: NDArray[Any]

    @classmethod
    def of(
        cls, task: Task, labels: Floats, predictions: Floats, partitions: NDArray[Any], threshold: float
    ) -> Answered:
        """What a version answers for its predictions.

        :param predictions: shape (rows,), or of several classes (rows, classes).
        """
        if task == "binary_classification":
            return cls(labels, (predictions >= threshold).astype(np.float64), partitions)
        if task == "multiclass_classification":
            return cls(labels, predictions.argmax(axis=1).astype(np.float64), partitions)
        return cls(labels, predictions, partitions)


def judge_groups(
    task: Task,
    rules: Sequence[FairnessRule],
    columns: Mapping[str, Any],
    answered: Answered,
    *,
    confidence: float,
    seed: int,
) -> list[dict[str, Any]]:
    """Each rule whose column is there.

    :param columns: values by column, each of shape (rows,).
    :returns: JSON: ``column``, ``measure``, ``title``, ``estimate``, ``limit``, ``passed`` (None without a limit),
        ``surely_failed`` (the whole interval is beyond the limit), ``bound`` in words, ``note``, ``rates`` (titles) and
        ``groups`` (value, rows, judged, rates).
    """
    return [
        _judge(task, rule, _Named.of(columns[rule.column]), answered, confidence, seed)
        for rule in rules
        if rule.column in columns
    ]


@dataclass(frozen=True)
class _Named:
    """The rows' groups, the one with the most rows first.

    :param names: of the groups.
    :param rows: how many each has.
    :param places: shape (rows,): each row's group.
    """

    names: list[str]
    rows: list[int]
    places: NDArray[np.intp]

    @classmethod
    def of(cls, values: Any) -> _Named:
        column = pd.Series(values).astype(object)
        codes, names = pd.factorize(column.where(column.notna(), MISSING).map(str))
        counts = np.bincount(codes, minlength=len(names))
        order = sorted(range(len(names)), key=lambda code: (-counts[code], names[code]))
        places = np.empty(len(names), dtype=np.intp)
        places[order] = np.arange(len(names))
        return cls([str(names[code]) for code in order], [int(counts[code]) for code in order], places[codes])


def _judge(
    task: Task, rule: FairnessRule, named: _Named, answered: Answered, confidence: float, seed: int
) -> dict[str, Any]:
    shown = list(zip(named.names, named.rows, strict=True))[:MOST_VALUES]
    judged = [place for place, (_, rows) in enumerate(shown) if rows >= rule.fewest_rows]
    rates = _RATES[task]
    groups = [
        {
            "value": value,
            "rows": rows,
            "judged": place in judged,
            "rates": _rates(task, answered, named.places == place),
        }
        for place, (value, rows) in enumerate(shown)
    ]
    found = _estimate(rule, named, judged, answered, confidence, seed)
    return {
        "column": rule.column,
        "measure": rule.measure,
        "title": TITLES[rule.measure],
        "estimate": found.to_document() | {"reason": found.reason},
        "limit": rule.limit,
        **_verdict(rule, found),
        "rates": [_RATES[task][key] for key in rates],
        "groups": groups,
    }


def _verdict(rule: FairnessRule, found: Estimate) -> dict[str, Any]:
    if rule.limit is None:
        return {"passed": None, "surely_failed": False, "bound": "", "note": found.reason or ""}
    bound = f"{'at least' if rule.is_ratio else 'at most'} {rule.limit:g}"
    if found.value is None:
        return {"passed": False, "surely_failed": False, "bound": bound, "note": found.reason or ""}
    passed = found.value >= rule.limit if rule.is_ratio else found.value <= rule.limit
    end = found.high if rule.is_ratio else found.low
    surely = end is not None and (end < rule.limit if rule.is_ratio else end > rule.limit)
    return {"passed": passed, "surely_failed": surely, "bound": bound, "note": found.reason or ""}


def _rates(task: Task, answered: Answered, chosen: NDArray[np.bool_]) -> list[float | None]:
    """fairlearn's rates of a group; None where it has no row of the kind that a rate is of.

    Not by fairlearn's frame, which looks at each row by itself: that takes minutes for millions.
    """
    from fairlearn.metrics import false_positive_rate, selection_rate, true_positive_rate
    from sklearn.metrics import accuracy_score, mean_absolute_error

    known: dict[str, Callable[..., float]] = {
        "selection_rate": selection_rate,
        "true_positive_rate": _if_any(true_positive_rate, 1.0),
        "false_positive_rate": _if_any(false_positive_rate, 0.0),
        "accuracy": accuracy_score,
        "mean_absolute_error": mean_absolute_error,
    }
    labels, answers = answered.labels[chosen], answered.answers[chosen]
    rates = [float(known[key](labels, answers)) for key in _RATES[task]]
    return [None if math.isnan(rate) else rate for rate in rates]


def _if_any(rate: Callable[..., float], label: float) -> Callable[..., float]:
    """A rate among rows with a label, undefined without such a row: fairlearn would say 0, or warn."""

    def measured(y_true: Any, y_pred: Any) -> float:
        return float(rate(y_true, y_pred, pos_label=1)) if (np.asarray(y_true) == label).any() else float("nan")

    return measured


def _estimate(
    rule: FairnessRule, named: _Named, judged: list[int], answered: Answered, confidence: float, seed: int
) -> Estimate:
    if len(judged) < 2:
        reason = f"fewer than two groups of {rule.column} have {rule.fewest_rows} rows"
        return Estimate(None, None, None, reason)
    chosen = np.isin(named.places, judged)  # these are the first ones, in their order
    part = Answered(answered.labels[chosen], answered.answers[chosen], answered.partitions[chosen])
    resampling, random = Resampling.of_partitions(part.partitions), np.random.default_rng(seed)
    sums = _Sums.of(rule.measure, part, named.places[chosen], len(judged), resampling)
    value = float(measure(rule.measure, sums.rates(np.ones((1, resampling.units))))[0])
    if not np.isfinite(value):
        return Estimate(None, None, None, f"a group of {rule.column} has no row by which it could be judged")
    block = max(1, _BLOCK // resampling.units)
    draws = np.concatenate(
        [
            measure(rule.measure, sums.rates(resampling.counts(random, min(block, _ROUNDS - first))))
            for first in range(0, _ROUNDS, block)
        ]
    )
    defined, tail = draws[np.isfinite(draws)], (1 - confidence) / 2
    if defined.size < 0.9 * draws.size:
        return Estimate(value, None, None, "too few rows for an interval")
    low, high = np.quantile(defined, (tail, 1 - tail))
    return Estimate(value, float(low), float(high))


@dataclass(frozen=True)
class _Sums:
    """What is summed up by group: for each compared rate a numerator and a denominator, each (units, groups)."""

    parts: tuple[tuple[Floats, Floats], ...]

    @classmethod
    def of(
        cls,
        measured: FairnessMeasure,
        answered: Answered,
        places: NDArray[np.intp],
        groups: int,
        resampling: Resampling,
    ) -> _Sums:
        units = np.arange(places.size) if resampling.groups is None else resampling.groups.places
        cells = Groups(units * groups + places, resampling.units * groups)
        y, said = answered.labels, answered.answers
        kinds: dict[str, tuple[Floats, Floats]] = {
            "selection_rate": (said, np.ones_like(y)),
            "true_positive_rate": (said * (y == 1), (y == 1).astype(np.float64)),
            "false_positive_rate": (said * (y == 0), (y == 0).astype(np.float64)),
            "accuracy": ((said == y).astype(np.float64), np.ones_like(y)),
            "mean_absolute_error": (np.abs(said - y), np.ones_like(y)),
        }
        compared = ([cells.sums(part).reshape(-1, groups) for part in kinds[name]] for name in _COMPARED[measured])
        return cls(tuple((top, bottom) for top, bottom in compared))

    def rates(self, weights: Floats) -> list[Floats]:
        """Each rate by group, (weightings, groups), for counts of units; NaN where nothing counts."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return [(weights @ top) / (weights @ bottom) for top, bottom in self.parts]


def measure(measured: FairnessMeasure, rates: Sequence[Floats]) -> Floats:
    """The measure for each weighting.

    :param rates: of each compared rate (weightings, groups).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        if measured.endswith("_ratio"):
            found = np.min([rate.min(axis=1) / rate.max(axis=1) for rate in rates], axis=0)
        else:
            found = np.max([rate.max(axis=1) - rate.min(axis=1) for rate in rates], axis=0)
    return np.asarray(found, dtype=np.float64)


def short(found: Mapping[str, Any]) -> dict[str, Any]:
    """Without the groups: what travels between steps."""
    return {key: value for key, value in found.items() if key not in ("groups", "rates")}

"""The checks of what a challenger answers: predictions that move, and quality where labels are in.

Each check has its own small chance of a false alarm over all its looks (:mod:`include.evaluation.live_looks`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from include.evaluation.grouping import Floats
from include.evaluation.live_checks import Check, not_yet
from include.evaluation.live_evidence import Arm, Keys, Labelled, LiveEvidence, Rules
from include.evaluation.live_intervals import Groups, Spread, grouped, jackknife
from include.evaluation.live_looks import look_at, look_until
from include.evaluation.live_luck import luck_of_quality, luck_of_shift
from include.evaluation.metrics import OBJECTIVE, find_metric
from include.evaluation.objective import ObjectiveFailed, RowObjective
from include.evaluation.scoring import UnusablePredictions, make_scorer

SHIFT_ALPHA: Final = 0.015
QUALITY_ALPHA: Final = 0.015
SHIFT_FIRST: Final = 200
#: Even in a stage that asks for fewer requests.
SHIFT_LEAST: Final = 100
QUALITY_FIRST: Final = 300
#: From so many labels on, labels have a say in whether a shift is a fault.
LABELS_COMING: Final = 30
#: Labelled pairs beyond these are not needed for a judgement, and not looked at.
MOST_LABELLED: Final = 60_000
#: By what part of a metric's value two trainings of one definition differ, by the luck of their seeds: that much is
#: never held against a challenger.
LUCK_OF_SEEDS: Final = 0.01
_LABELS_ALPHA: Final = 0.05


def shift(evidence: LiveEvidence, rules: Rules) -> Check:
    """How far the mean prediction moves on the same rows, in standard deviations of the champion's predictions.

    A surely too large shift takes the challenger out, unless labels are in. Then they decide by the squared error,
    which sees a shift that a ranking metric does not: shown better, it goes on; shown worse, it goes; else it waits.
    """
    name, allowed, rows = "prediction_shift", rules.prediction_shift, evidence.rows
    places, first = np.flatnonzero(rows.paired), min(SHIFT_FIRST, max(rules.requests, SHIFT_LEAST))
    look = look_at(places.size, first, SHIFT_ALPHA)
    if look is None:
        return not_yet(name, allowed, places.size, first, "rows answered by both")
    chosen = places[look.rows]
    found, place = _moved_most(rows.challenger[chosen], rows.champion[chosen], rows.times[chosen])
    if not found.defined:
        return Check(name, None, allowed, True, False, "the champion predicts the same for every row")
    many = rows.champion.shape[1] if rows.champion.ndim == 2 else 1
    what = "its mean prediction is" if many == 1 else f"the mean probability of class {place + 1} of {many} is"
    words = f"{what} {found.value:+.3f} standard deviations beside the champion's on {chosen.size} rows"
    alpha = look.alpha / (2 * many)  # each class has its part of the look (Bonferroni)
    sure = max(found.low(alpha), -found.high(alpha))
    if sure <= allowed:
        seems = abs(found.value) - found.error > allowed
        holds = f"{words} (limit {allowed:g}): it seems too far, which more rows will tell" if seems else None
        return Check(name, found.value, allowed, True, True, f"{words} (limit {allowed:g})", holds=holds)
    words += f", surely more than {sure:.3f} (limit {allowed:g})"
    labels = _what_labels_say(evidence.labelled)
    if labels == "open":
        holds = f"{words}, and labels do not say yet whether rightly"
        return Check(name, found.value, allowed, True, True, words, holds=holds)
    also = {"worse": ", and labels show it to be worse", "better": ", but labels show it to be better"}.get(labels, "")
    return Check(name, found.value, allowed, labels == "better", True, words + also)


def _moved_most(challenger: Floats, champion: Floats, times: Keys) -> tuple[Spread, int]:
    """The shift, and of which class; of several classes that of the probability that has moved most by its luck."""
    if champion.ndim == 1:
        return _moved(challenger, champion, times), 0
    spreads = [_moved(challenger[:, place], champion[:, place], times) for place in range(champion.shape[1])]
    ranks = [abs(found.value) / max(found.error, 1e-300) if found.defined else -1.0 for found in spreads]
    place = int(np.argmax(ranks))
    return spreads[place], place


def _moved(challenger: Floats, champion: Floats, times: Keys) -> Spread:
    """The shift with its luck: that of the rows, and that good models disagree about an hour as a whole."""
    found = _shift(challenger, champion, grouped(times))
    return found.widened(luck_of_shift(challenger, champion, times)) if found.defined else found


def _shift(challenger: Floats, champion: Floats, groups: Groups) -> Spread:
    columns = np.column_stack((np.ones_like(champion), challenger - champion, champion, champion**2))

    def statistic(weights: Floats) -> Floats:
        total, moved, first, second = (weights @ columns).T
        variance = second / total - (first / total) ** 2
        spread = np.sqrt(np.where(variance > 1e-12 * np.maximum(second / total, 1e-300), variance, np.nan))
        shift: Floats = moved / total / spread
        return shift

    return jackknife(statistic, groups)


def _what_labels_say(labelled: Labelled) -> str:
    """``none``, ``open``, ``better`` or ``worse``: by the squared error on rows that both have answered."""
    found = labelled.first(MOST_LABELLED)
    if found.labels.size < LABELS_COMING:
        return "none"
    gain = _squares(found.champion, found.labels) - _squares(found.challenger, found.labels)
    spread = jackknife(lambda weights: weights @ gain / weights.sum(axis=1), grouped(found.times))
    if not spread.defined:
        return "open"
    if spread.low(_LABELS_ALPHA) > 0:
        return "better"
    return "worse" if spread.high(_LABELS_ALPHA) < 0 else "open"


def _squares(predictions: Floats, labels: Floats) -> Floats:
    """Squared errors, shape (rows,): of several classes the sum over them (Brier)."""
    if predictions.ndim == 1:
        squares: Floats = (predictions - labels) ** 2
        return squares
    truth = np.arange(predictions.shape[1]) == labels[:, None]
    summed: Floats = ((predictions - truth) ** 2).sum(axis=1)
    return summed


def quality(evidence: LiveEvidence, rules: Rules) -> Check:
    """The metric on rows that both have answered and whose label is in; positive is better.

    Out goes a challenger that is surely worse (upper bound of the look below zero) and by more than half of the margin:
    two trainings of one definition differ too, by luck. While it only seems so, the next stage waits.
    """
    name, margin = f"quality_{rules.metric}", rules.quality_margin
    first = max(QUALITY_FIRST, rules.labels)
    have = evidence.labelled.labels.size
    look = look_until(have, first, max(first, MOST_LABELLED), QUALITY_ALPHA)
    if look is None:
        return not_yet(name, -margin, have, first, "labelled rows answered by both")
    rows = evidence.labelled.first(look.stop)
    title = find_metric(rules.metric, rules.task, rules.objective).title
    try:
        found, champion = lead(rows, rules)
    except (UnusablePredictions, ObjectiveFailed) as error:
        return Check(name, None, -margin, True, False, str(error), holds=str(error))
    if not found.defined:
        return Check(name, None, -margin, True, False, f"{title} is undefined on {look.stop} labelled rows")
    words = (
        f"{title} is {_beside(found.value)} the champion's {champion:.4g} on the same {look.stop} labelled rows "
        f"(interval {found.low(0.025):.4g} to {found.high(0.025):.4g})"
    )
    if found.value >= -max(margin / 2, LUCK_OF_SEEDS * abs(champion)):
        return Check(name, found.value, -margin, True, True, words)
    if found.high(look.alpha) < 0:
        return Check(name, found.value, -margin, False, True, f"{words}; surely worse, after {look.number + 1} looks")
    seems = found.high(0.025) < 0 or (rules.labels > 0 and found.low(0.025) < -margin)
    holds = f"{words}: it seems worse, which more labels will tell" if seems else None
    return Check(name, found.value, -margin, True, True, words, holds=holds)


def lead(labelled: Labelled, rules: Rules) -> tuple[Spread, float]:
    """By how much the challenger's metric is better than the champion's on the same rows, and the champion's value.

    :raises UnusablePredictions: labels are none of the task's.
    :raises ObjectiveFailed: the objective's SQL cannot be computed for these rows.
    """
    mine, others = (
        _metric(labelled.labels, values, labelled.columns, its_rules)
        for values, its_rules in ((labelled.challenger, rules), (labelled.champion, _of_champion(rules)))
    )
    found = jackknife(lambda weights: mine(weights) - others(weights), grouped(labelled.times))
    value = abs(float(others(np.ones((1, labelled.labels.size)))[0]))
    return found.widened(luck_of_quality(labelled.challenger, labelled.champion, labelled.times) * value), value


def _metric(
    labels: Floats, predictions: Floats, columns: Mapping[str, Keys], rules: Rules
) -> Callable[[Floats], Floats]:
    metric = find_metric(rules.metric, rules.task, rules.objective)
    sign = 1.0 if metric.higher_is_better else -1.0
    # A faulty challenger may leave the range of probabilities; that must not hide how it does.
    values = predictions if rules.task == "regression" else np.clip(predictions, 0, 1)
    objective = rules.objective if rules.metric == OBJECTIVE else None
    scorer = make_scorer(
        rules.task,
        labels,
        values,
        threshold=rules.threshold,
        whose="a version in production",
        costs=rules.costs,
        objective=RowObjective.of(objective, columns) if objective else None,
    )
    return lambda weights: sign * scorer.score(weights)[metric.name]


def _of_champion(rules: Rules) -> Rules:
    """The same rules at the champion's own threshold, if it has one."""
    return rules if rules.champion_threshold is None else replace(rules, threshold=rules.champion_threshold)


def _beside(value: float) -> str:
    return f"{abs(value):.4g} {'better' if value >= 0 else 'worse'} than"


def arms(evidence: LiveEvidence, rules: Rules) -> Check:
    """An A/B test at its end: the metric on the entities that each version has answered itself; one look, at 99 %.

    Versions that answer the same are not told apart by the luck of who was answered by which.
    """
    name, need = f"ab_{rules.metric}", max(QUALITY_FIRST, rules.labels)
    mine, others = evidence.arms["challenger"], evidence.arms["champion"]
    have = min(mine.labels.size, others.labels.size)
    if have < need:
        return not_yet(name, 0.0, have, need, "labelled rows in the smaller arm")
    title = find_metric(rules.metric, rules.task, rules.objective).title
    try:
        found = _alone(mine, rules).minus(_alone(others, _of_champion(rules)))
    except (UnusablePredictions, ObjectiveFailed) as error:
        return Check(name, None, 0.0, True, False, str(error), holds=str(error))
    if not found.defined:
        return Check(name, None, 0.0, True, False, f"{title} is undefined on an arm's labelled rows")
    words = (
        f"in the A/B test {title} is {_beside(found.value)} the champion's (interval "
        f"{found.low(0.025):.4g} to {found.high(0.025):.4g}, {mine.labels.size} and "
        f"{others.labels.size} labelled rows)"
    )
    paired = evidence.rows.paired
    if paired.any() and np.array_equal(evidence.rows.challenger[paired], evidence.rows.champion[paired]):
        return Check(name, found.value, 0.0, True, True, f"{words}, but both versions answer the same: luck")
    return Check(name, found.value, 0.0, found.high(0.01) >= 0, True, words)


def _alone(arm: Arm, rules: Rules) -> Spread:
    return jackknife(_metric(arm.labels, arm.predictions, arm.columns, rules), grouped(arm.entities))

"""Answers with their truth as a scorer, and its metrics on resamples of whole days."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from include.evaluation.answers import Answers
from include.evaluation.bootstrap import Draws, draw
from include.evaluation.objective import RowObjective
from include.evaluation.resampling import Resampling
from include.evaluation.scoring import Scorer, make_scorer
from include.spec.definition import Definition

FEWEST_LABELS: Final = 100
"""Of fewer labelled answers, all or those of a slice, nothing is said."""
_HOLDOUT_ROUNDS: Final = 400


@dataclass(frozen=True)
class Holdout:
    """A version's answers on its holdout part, resampled once for all that is compared with them.

    :param threshold: the version's own; the definition's if it has none.
    """

    definition: Definition
    answers: Answers
    threshold: float | None

    @cached_property
    def scored(self) -> tuple[Scorer, Draws]:
        """The scorer and its metrics on resamples; raises what :func:`scorer_of` does."""
        return score_answers(self.definition, self.answers, self.threshold, seed=0, rounds=_HOLDOUT_ROUNDS)


def scorer_of(definition: Definition, answers: Answers, threshold: float | None, *, objective: bool = True) -> Scorer:
    """A scorer of these answers.

    :param threshold: the version's own; the definition's if it has none.
    :param objective: whether the definition's is among its metrics.
    :raises UnusablePredictions: if no metric can be computed from them.
    :raises ObjectiveFailed: the objective's SQL cannot be computed for these rows.
    """
    evaluation = definition.evaluation
    wanted = evaluation.objective if objective else None
    return make_scorer(
        definition.task,
        answers.labels,
        answers.predictions,
        threshold=evaluation.threshold if threshold is None else threshold,
        whose="the champion",
        costs=evaluation.costs,
        objective=RowObjective.of(wanted, answers.columns) if wanted else None,
    )


def score_answers(
    definition: Definition, answers: Answers, threshold: float | None, *, seed: int, rounds: int
) -> tuple[Scorer, Draws]:
    """The scorer and its metrics on resamples; raises what :func:`scorer_of` does.

    :param seed: added to the definition's.
    """
    scorer = scorer_of(definition, answers, threshold)
    resampling = Resampling.of_partitions(answers.partitions)
    drawn = draw({"": scorer}, rounds=rounds, seed=definition.training.seed + seed, resampling=resampling)
    return scorer, drawn[""]

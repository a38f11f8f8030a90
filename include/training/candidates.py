"""Trains a definition's candidates and takes the best: judged on the validation part and on older windows before it.

All are judged by the loss that early stopping and the search watch, before calibration and refit; of equal ones the
first wins. Where boosting stops by the rows that it is judged on, its loss is a little too good, as in a search.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.errors import Refused
from include.spec.candidates import fold_count, trainings
from include.spec.definition import Definition
from include.training.folds import Fold
from include.training.matrices import AnyEncoded
from include.training.trainers.boosting import Machines
from include.training.trainers.losses import loss, loss_name
from include.training.trainers.protocol import Request, Trained
from include.training.trainers.registry import train

_log = logging.getLogger(__name__)


class NoCandidateWorks(Refused):
    """Not one candidate's loss is a finite number."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"{model}: the answers of every candidate are so far off that no loss can be computed. "
            "Look at the labels, and at the parameters in training.candidates."
        )


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The run's model.

    :param name: of the candidate; empty for a definition without candidates.
    :param definition: with the candidate's settings in ``training``.
    :param document: all candidates with their losses and why this one won, as JSON values; None without candidates.
    """

    name: str
    definition: Definition
    trained: Trained
    document: Mapping[str, Any] | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """Each candidate's loss, as the run's metrics."""
        if self.document is None:
            return {}
        name = self.document["metric"]
        return {
            f"candidate_{one['name']}_{name}": one["loss"]
            for one in self.document["candidates"]
            if one["loss"] is not None
        }


def train_candidates(
    definition: Definition,
    features: Sequence[Mapping[str, Any]],
    train_part: AnyEncoded,
    validation: AnyEncoded,
    *,
    older_folds: Sequence[Fold] = (),
    modules: Mapping[str, Path] | None = None,
    threads: int | None = None,
    machines: Machines | None = None,
) -> Chosen:
    """Train every candidate of a definition, or the definition itself if it has none.

    :param older_folds: windows before the validation part, newest first, on which candidates are judged besides.
    :param modules: candidate → source of its trainer module, where it has one.
    :param machines: who boosts; this process if left out.
    :raises NoCandidateWorks: if nothing can be compared.
    """
    names = trainings(definition)
    made: dict[str, Trained] = {}
    losses: dict[str, list[float]] = {}
    for name, one in names.items():
        request = Request(
            definition=one,
            features=features,
            train=train_part,
            validation=validation,
            older_folds=older_folds[: fold_count(one) - 1],
            threads=threads,
            module=(modules or {}).get(name),
            machines=machines,
        )
        made[name] = train(request)
        if len(names) == 1:
            return Chosen(name=name, definition=one, trained=made[name])
        losses[name] = _judge(request, made[name], older_folds)
        _log.info("Candidate %s: %s %s", name, loss_name(one.task), ", ".join(f"{value:.6g}" for value in losses[name]))
    return _choose(definition, names, made, losses)


def _judge(request: Request, trained: Trained, older_folds: Sequence[Fold]) -> list[float]:
    """The loss on the validation part, and on each older window after a training on what was before it."""
    found = [loss(request.definition.task, request.validation.labels, trained.judged)]
    plain = _plain(request.definition, trained)
    for fold in older_folds:
        again = train(
            Request(
                definition=plain,
                features=request.features,
                train=fold.train,
                validation=fold.validation,
                threads=request.threads,
                module=request.module,
            )
        )
        found.append(loss(request.definition.task, fold.validation.labels, again.judged))
    return found


def _plain(definition: Definition, trained: Trained) -> Definition:
    """The same training with what its search has found, and without what comes after early stopping."""
    params = {**definition.training.params, **(trained.found.params if trained.found else {})}
    changes = {"params": params, "search": None, "calibration": "none", "refit": "none"}
    return definition.model_copy(update={"training": definition.training.model_copy(update=changes)})


def _choose(
    definition: Definition,
    names: Mapping[str, Definition],
    made: Mapping[str, Trained],
    losses: Mapping[str, Sequence[float]],
) -> Chosen:
    metric = loss_name(definition.task)
    means = {name: float(f"{sum(values) / len(values):.10g}") for name, values in losses.items()}
    finite = {name: mean for name, mean in means.items() if mean < float("inf")}
    if not finite:
        raise NoCandidateWorks(definition.model)
    best = min(finite, key=lambda name: finite[name])
    windows = len(losses[best])
    where = "the validation part" if windows == 1 else f"the validation part and {windows - 1} older windows"
    others = ", ".join(f"{name} {means[name]:.6g}" for name in names if name != best)
    reason = f"{best} has the smallest {metric} on {where}: {means[best]:.6g} (the others: {others})."
    _log.info("The candidates are compared: %s", reason)
    document = {
        "metric": metric,
        "windows": windows,
        "chosen": best,
        "reason": reason,
        "candidates": [
            {
                "name": name,
                "trainer": one.training.trainer.module or one.training.trainer.name,
                "loss": means[name] if name in finite else None,
                "losses": [value if value < float("inf") else None for value in losses[name]],
                "best_round": made[name].best_round,
                "parameters": {key: value for key, value in made[name].parameters.items() if key != "eval_metric"},
            }
            for name, one in names.items()
        ],
    }
    return Chosen(name=best, definition=names[best], trained=made[best], document=document)

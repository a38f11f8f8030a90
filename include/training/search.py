"""The search for parameters: Optuna's tree-structured Parzen estimator over early-stopped XGBoost trainings.

Seeded and one trial after the other, so that the same data gives the same trials on every machine; the losses that
decide are rounded, since sums over threads differ in their last bits. Only the training and validation parts are
read. Method: Bergstra et al. (2011), "Algorithms for hyper-parameter optimization"; trials are broken off by Optuna's
median rule (Golovin et al. 2017, "Google Vizier").
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import xgboost

from include.spec.definition import Training
from include.spec.parameters import DEFAULTS, WHOLE
from include.spec.search import Search, SearchedParameter

if TYPE_CHECKING:
    import optuna

DMatrices = tuple[xgboost.DMatrix, xgboost.DMatrix]
End = Literal["trials", "time", "patience"]

_DIGITS: Final = 10
_LOOK_EVERY: Final = 10
"""Rounds between two looks at whether a trial is worth going on with."""
_FREE_TRIALS: Final = 5
"""Trials before the first may be broken off."""
_ENDS: Final[dict[End, str]] = {
    "trials": "all trials are done",
    "time": "training.search.time is over",
    "patience": "training.search.patience is over: no better trial came",
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial.

    :param number: from 1.
    :param params: what it tried.
    :param loss: mean over the folds of the smallest loss on what they are judged on; None if it was broken off, or is
        no finite number.
    :param rounds: rounds of each fold until that loss; without those that it did not come to.
    :param seconds: that it took.
    """

    number: int
    params: Mapping[str, Any]
    loss: float | None
    rounds: tuple[int, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search found.

    :param params: of the best trial.
    :param best: number of the best trial.
    :param metric: name of the loss.
    :param folds: number of windows on which each trial was judged.
    :param trials: all that count.
    :param end: why it ended.
    """

    params: Mapping[str, Any]
    best: int
    metric: str
    folds: int
    trials: tuple[Trial, ...]
    end: End

    @property
    def document(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)


class _OutOfTime(Exception):
    """The search's time ended within a trial."""


def search_parameters(training: Training, fixed: Mapping[str, Any], folds: Sequence[DMatrices], nthread: int) -> Found:
    """The parameters with the smallest loss among those that were tried.

    :param training: has a ``search``.
    :param fixed: the other parameters, as XGBoost takes them.
    :param folds: what each trial trains and is judged on, newest first.
    """
    search = training.search
    if search is None:
        raise ValueError("the definition has no search")
    loss = fixed["eval_metric"][-1]
    lab = _Laboratory(training, search, {**fixed, "eval_metric": loss, "nthread": nthread}, folds)
    best, end = lab.run()
    _log.info("The search ends: %s. Best: trial %d, %s", _ENDS[end], best.number, _shown(best.params))
    return Found(params=best.params, best=best.number, metric=loss, folds=len(folds), trials=tuple(lab.trials), end=end)


class _Laboratory:
    """One search under way."""

    def __init__(self, training: Training, search: Search, fixed: dict[str, Any], folds: Sequence[DMatrices]) -> None:
        self._training = training
        self._search = search
        self._fixed = fixed
        self._folds = folds
        self._deadline = time.monotonic() + search.time.total_seconds() if search.time else math.inf
        self.trials: list[Trial] = []

    def run(self) -> tuple[Trial, End]:
        study = self._study()
        best: Trial | None = None
        while len(self.trials) < self._search.trials:
            asked = study.ask()
            try:
                trial = self._try(asked)
            except _OutOfTime:
                break
            self.trials.append(trial)
            self._tell(study, asked, trial)
            if trial.loss is not None and (best is None or best.loss is None or trial.loss < best.loss):
                best = trial
            if best and self._search.patience and trial.number - best.number >= self._search.patience:
                return best, "patience"
            if time.monotonic() > self._deadline:
                break
        if best is None:
            raise RuntimeError("no trial was finished; the first one always is")
        return best, "trials" if len(self.trials) == self._search.trials else "time"

    def _study(self) -> optuna.Study:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=self._training.seed)
        slow_starters = max(_LOOK_EVERY, self._training.rounds // 5)
        pruner = optuna.pruners.MedianPruner(n_startup_trials=_FREE_TRIALS, n_warmup_steps=slow_starters)
        study = optuna.create_study(
            sampler=sampler, pruner=pruner if self._search.prune else optuna.pruners.NopPruner()
        )
        study.enqueue_trial(self._first())
        return study

    def _first(self) -> dict[str, Any]:
        """What would be trained with if there were no search, as far as the space holds it."""
        usual = {**DEFAULTS, **self._fixed}
        return {
            name: usual[name]
            for name, searched in self._search.space.items()
            if name in usual and searched.holds(usual[name])
        }

    def _try(self, asked: optuna.Trial) -> Trial:
        began = time.monotonic()
        params = {name: _suggest(asked, name, searched) for name, searched in self._search.space.items()}
        losses: list[float] = []
        rounds: list[int] = []
        for number, (train, judge) in enumerate(self._folds):
            watch = _Watch(asked, self._fixed["eval_metric"], losses, number * self._training.rounds, self._deadline)
            booster = xgboost.train(
                {**self._fixed, **params},
                train,
                self._training.rounds,
                evals=[(judge, "judge")],
                early_stopping_rounds=self._training.early_stopping_rounds,
                callbacks=[watch],
                verbose_eval=False,
            )
            if watch.broken_off:
                losses = []
                break
            losses.append(float(booster.best_score))
            rounds.append(int(booster.best_iteration) + 1)
        loss = _rounded(sum(losses) / len(losses)) if losses and all(map(math.isfinite, losses)) else None
        return Trial(
            number=asked.number + 1, params=params, loss=loss, rounds=tuple(rounds), seconds=time.monotonic() - began
        )

    def _tell(self, study: optuna.Study, asked: optuna.Trial, trial: Trial) -> None:
        from optuna.trial import TrialState

        study.tell(asked, trial.loss, state=TrialState.PRUNED if trial.loss is None else TrialState.COMPLETE)
        what = "broken off" if trial.loss is None else f"{self._fixed['eval_metric']} {trial.loss:.6g}"
        _log.info(
            "Trial %d of %d: %s, %s (%.1f s)",
            trial.number,
            self._search.trials,
            _shown(trial.params),
            what,
            trial.seconds,
        )


class _Watch(xgboost.callback.TrainingCallback):
    """Tells Optuna of a training under way, and breaks it off if it is not worth its time."""

    def __init__(self, asked: optuna.Trial, loss: str, before: Sequence[float], offset: int, deadline: float) -> None:
        super().__init__()
        self._asked = asked
        self._loss = loss
        self._before = list(before)
        self._offset = offset
        self._deadline = deadline
        self._smallest = math.inf
        self.broken_off = False

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:  # noqa: ARG002 - XGBoost's signature
        """Whether to end the training."""
        self._smallest = min(self._smallest, evals_log["judge"][self._loss][-1])
        if epoch % _LOOK_EVERY:
            return False
        if self._asked.number and time.monotonic() > self._deadline:
            raise _OutOfTime
        so_far = (sum(self._before) + self._smallest) / (len(self._before) + 1)
        self._asked.report(_rounded(so_far), self._offset + epoch)
        self.broken_off = self._asked.should_prune()
        return self.broken_off


def _suggest(asked: optuna.Trial, name: str, searched: SearchedParameter) -> Any:
    if searched.values is not None:
        return asked.suggest_categorical(name, searched.values)
    if searched.low is None or searched.high is None:
        raise ValueError(f"{name} has no range")
    if name in WHOLE:
        return asked.suggest_int(name, int(searched.low), int(searched.high), log=searched.log)
    return asked.suggest_float(name, searched.low, searched.high, log=searched.log)


def _shown(params: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in params.items()
    )


def _rounded(loss: float) -> float:
    return float(f"{loss:.{_DIGITS}g}")

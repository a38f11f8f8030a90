"""The search for parameters beside Optuna with bare XGBoost: equal trials, on the flagship's real training part."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import optuna
import pandas as pd
import xgboost

from include.spec.columns import feature_types
from include.spec.definition import Definition
from include.spec.search import Search
from include.training.describe import describe
from include.training.folds import Fold
from include.training.matrices import encode_part, learn_categories
from include.training.parameters import parameters
from include.training.search import search_parameters

_TRIALS: Final = 8
_SPACE: Final[dict[str, Any]] = {
    "max_depth": {"low": 3, "high": 9},
    "learning_rate": {"low": 0.05, "high": 0.3, "log": True},
    "subsample": {"low": 0.5, "high": 1.0},
}


def compare_searches(definition: Definition, directory: Path) -> None:
    """Print both times, their ratio, and that both tried the same.

    :param directory: of the flagship's training set.
    """
    train, validation = (pd.read_parquet(directory / f"{part}.parquet") for part in ("train", "validation"))
    features = describe(definition, learn_categories(train, feature_types(definition)))["features"]
    fold = Fold(train=encode_part(train, features), validation=encode_part(validation, features))
    search = Search.model_validate({"space": _SPACE, "trials": _TRIALS, "prune": False})
    training = definition.training.model_copy(update={"search": search, "params": {}})
    plain = definition.model_copy(update={"training": training})
    threads = training.resources.cpu

    def ours() -> list[float | None]:
        found = search_parameters(training, parameters(plain), [fold.dmatrices(features)], threads)
        return [trial.loss for trial in found.trials]

    def bare() -> list[float | None]:
        return [trial.value for trial in _bare(plain, fold, features, threads).trials]

    ours()  # XGBoost's first training also loads it
    seconds: dict[str, float] = {}
    # There and back, and the faster of both: what else the machine does meets either.
    turns = (("bare", bare), ("noria", ours), ("noria", ours), ("bare", bare))
    losses = {name: _timed(name, run, seconds) for name, run in turns}
    same = all(abs(one - other) < 1e-9 for one, other in zip(*losses.values(), strict=True))  # type: ignore[operator]
    one, other = seconds["bare"], seconds["noria"]
    ratio = other / one
    print(f"\nsearch, {_TRIALS} trials: bare Optuna and XGBoost {one:.2f} s, noria {other:.2f} s, ratio {ratio:.2f}")
    print("both tried the same" if same else f"they did NOT try the same: {losses}")


def _timed(name: str, run: Callable[[], list[float | None]], seconds: dict[str, float]) -> list[float | None]:
    begin = time.perf_counter()
    result = run()
    seconds[name] = min(seconds.get(name, math.inf), time.perf_counter() - begin)
    return result


def _bare(definition: Definition, fold: Fold, features: Any, threads: int) -> optuna.Study:
    training = definition.training
    train, judge = fold.dmatrices(features)

    def objective(trial: optuna.Trial) -> float:
        params = {
            "max_depth": trial.suggest_int("max_depth", 3, 9),
            "learning_rate": trial.suggest_float("learning_rate", 0.05, 0.3, log=True),
            "subsample": trial.suggest_float("subsample", 0.5, 1.0),
        }
        fixed = {**parameters(definition), "eval_metric": "logloss", "nthread": threads}
        booster = xgboost.train(
            {**fixed, **params}, train, training.rounds, evals=[(judge, "judge")],
            early_stopping_rounds=training.early_stopping_rounds, verbose_eval=False,
        )  # fmt: skip
        return float(booster.best_score)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=training.seed))
    study.enqueue_trial({"max_depth": 6, "learning_rate": 0.3, "subsample": 1})
    study.optimize(objective, n_trials=_TRIALS)
    return study

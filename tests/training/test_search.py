"""The search for parameters: the same everywhere, never worse than none, within its budget, without a look ahead."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.spec.definition import Definition
from include.spec.share import Share
from include.training import search as search_module
from include.training.folds import Fold, crossed_folds, older_folds
from include.training.matrices import Encoded
from include.training.parameters import ParameterRefused
from include.training.search import Found
from include.training.trainers.protocol import Trained
from tests.training.factories import make_definition, train_model
from tests.training.test_xgboost_trees import FEATURES, parts, ubj

SPACE: dict[str, Any] = {
    "max_depth": {"low": 2, "high": 8},
    "learning_rate": {"low": 0.01, "high": 0.5, "log": True},
    "grow_policy": ["depthwise", "lossguide"],
}
DATA = parts()


def trained(
    *, older: list[Fold] | None = None, threads: int = 1, training: dict[str, Any] | None = None, **search: Any
) -> Trained:
    definition = make_definition(
        training={"rounds": 40, "search": {"trials": 8, "space": SPACE} | search, **(training or {})}
    )
    return train_model(definition, FEATURES, *DATA, older_folds=older or [], threads=threads)


def searched(**given: Any) -> Found:
    found = trained(**given).found
    assert found is not None
    return found


def tried(found: Found) -> list[tuple[Any, ...]]:
    return [(trial.number, dict(trial.params), trial.loss, trial.rounds) for trial in found.trials]


def test_one_and_two_threads_and_another_run_try_and_find_the_same() -> None:
    first, second, third = (trained(threads=threads) for threads in (1, 2, 2))
    assert tried(first.found) == tried(second.found) == tried(third.found)  # type: ignore[arg-type]
    assert ubj(first) == ubj(second) == ubj(third)


def test_another_seed_tries_other_values() -> None:
    assert tried(searched(training={"seed": 1})) != tried(searched(training={"seed": 2}))


def test_the_model_is_trained_with_what_the_best_trial_had() -> None:
    made = trained()
    assert made.found is not None
    best = made.found.trials[made.found.best - 1]
    finished = [trial for trial in made.found.trials if trial.loss is not None]
    assert best == min(finished, key=lambda trial: trial.loss or 0)
    assert made.parameters.items() >= best.params.items()
    assert min(made.curves["validation"]["logloss"]) == pytest.approx(best.loss, rel=1e-9)
    assert made.best_round == best.rounds[0]


def test_the_first_trial_is_what_would_be_trained_without_a_search() -> None:
    given = searched(training={"params": {"max_depth": 3}}).trials[0]
    assert given.params == {"max_depth": 3, "learning_rate": 0.3, "grow_policy": "depthwise"}
    without = train_model(
        make_definition(training={"rounds": 40, "params": {"max_depth": 3}}), FEATURES, *DATA, threads=1
    )
    assert given.loss == pytest.approx(min(without.curves["validation"]["logloss"]), rel=1e-9)


def test_values_stay_within_the_space_and_whole_numbers_whole() -> None:
    for trial in searched(trials=40).trials:
        assert isinstance(trial.params["max_depth"], int)
        assert 2 <= trial.params["max_depth"] <= 8
        assert 0.01 <= trial.params["learning_rate"] <= 0.5
        assert trial.params["grow_policy"] in SPACE["grow_policy"]


def test_a_bad_trial_is_broken_off_and_cannot_be_the_best() -> None:
    slow = {"learning_rate": {"low": 1e-5, "high": 0.5, "log": True}}
    found = searched(space=slow, trials=30)
    broken_off = [trial for trial in found.trials if trial.loss is None]
    assert broken_off
    assert found.best not in {trial.number for trial in broken_off}
    whole = searched(space=slow, trials=30, prune=False)
    assert all(trial.loss is not None for trial in whole.trials)
    assert [dict(trial.params) for trial in whole.trials[:5]] == [dict(trial.params) for trial in found.trials[:5]]


def test_a_hopeless_search_ends_after_its_patience() -> None:
    found = searched(trials=500, patience=4)
    assert found.end == "patience"
    assert len(found.trials) == found.best + 4


def test_the_time_ends_a_search_but_not_its_first_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = time.monotonic()
    found = searched(trials=10_000, time="1s")
    assert found.end == "time"
    assert 1 <= len(found.trials) < 10_000
    assert time.monotonic() - begin < 30
    monkeypatch.setattr(search_module.time, "monotonic", iter(np.arange(0, 1e9, 100.0)).__next__)
    assert len(searched(time="1s").trials) == 1


def test_each_further_fold_moves_the_origin_back_and_never_sees_what_comes_later() -> None:
    definition = make_definition(training={"search": {"space": SPACE, "folds": 3}})
    end = datetime.fromisoformat("2013-01-11T00:00:00-05:00")
    hours = pd.Series(pd.date_range("2013-01-01", "2013-01-11", freq="h", inclusive="left"))
    shuffled = hours.sample(frac=1, random_state=3).reset_index(drop=True)
    number = ((shuffled - hours[0]) // timedelta(hours=1)).to_numpy()
    part = Encoded(matrix=number[:, None].astype(np.float32), labels=(number % 2).astype(np.float32))
    found = older_folds(definition, shuffled, part, end)
    spans = [
        [(int(one.matrix.min()), int(one.matrix.max()), len(one.labels)) for one in (f.train, f.validation)]
        for f in found
    ]
    days = 24
    assert spans == [
        [(0, 7 * days - 1, 7 * days), (7 * days, 10 * days - 1, 3 * days)],
        [(0, 4 * days - 1, 4 * days), (4 * days, 7 * days - 1, 3 * days)],
    ]


def without_time(folds: int) -> Definition:
    """A fifth of the places is held out, a tenth validates."""
    definition = make_definition(training={"search": {"space": SPACE, "folds": folds}})
    training = definition.training.model_copy(
        update={"window": None, "validation": Share(1000), "holdout": Share(2000)}
    )
    source = definition.source.model_copy(update={"event_time": None})
    return definition.model_copy(update={"training": training, "source": source})


def test_without_time_each_further_fold_holds_other_places_out_and_trains_on_the_rest() -> None:
    places = np.random.default_rng(3).permutation(np.arange(3000, 10_000))
    part = Encoded(matrix=places[:, None].astype(np.float32), labels=(places % 2).astype(np.float32))
    found = crossed_folds(without_time(3), places, part)
    held = [sorted(fold.validation.matrix[:, 0].astype(int).tolist()) for fold in found]
    assert held == [list(range(3000, 4000)), list(range(4000, 5000))]
    for fold, away in zip(found, held, strict=True):
        assert set(fold.train.matrix[:, 0].astype(int)) == set(places.tolist()) - set(away)


def test_without_time_a_fold_of_one_class_is_left_out() -> None:
    places = np.arange(3000, 10_000)
    part = Encoded(matrix=np.zeros((7000, 1), np.float32), labels=(places >= 4000).astype(np.float32))
    assert crossed_folds(without_time(2), places, part) == []


def test_a_fold_that_can_judge_nothing_is_left_out() -> None:
    definition = make_definition(training={"search": {"space": SPACE, "folds": 2}})
    times = pd.Series(pd.date_range("2013-01-01", periods=200, freq="h"))
    part = Encoded(matrix=np.zeros((200, 1), np.float32), labels=np.zeros(200, np.float32))
    assert older_folds(definition, times, part, datetime.fromisoformat("2013-01-09T08:00:00-05:00")) == []


def test_trials_are_judged_by_the_mean_over_all_folds() -> None:
    older = Fold(train=DATA[1], validation=parts(seed=8)[1])
    one, other, both = searched(), searched_on(older), searched(older=[older], prune=False)
    assert both.folds == 2
    first = both.trials[0]
    assert first.rounds == (one.trials[0].rounds[0], other.trials[0].rounds[0])
    assert first.loss == pytest.approx((one.trials[0].loss + other.trials[0].loss) / 2, rel=1e-9)  # type: ignore[operator]


def searched_on(fold: Fold) -> Found:
    definition = make_definition(training={"rounds": 60, "search": {"trials": 2, "space": SPACE}})
    found = train_model(definition, FEATURES, fold.train, fold.validation, threads=1).found
    assert found is not None
    return found


def test_values_that_xgboost_refuses_are_said() -> None:
    with pytest.raises(ParameterRefused, match="XGBoost refuses them"):
        trained(space={"max_depth": {"low": -9, "high": -3}})

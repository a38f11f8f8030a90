"""Several candidates in one training: one loss, the same rows, the best one taken, of equal ones the first."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.spec.candidates import fold_count
from include.spec.definition import Definition
from include.training.candidates import Chosen, NoCandidateWorks, train_candidates
from include.training.folds import Fold, older_folds
from include.training.matrices import Encoded
from include.training.trainers.losses import loss
from tests.training.factories import make_definition

FEATURES = [{"name": "a", "type": "numeric"}, {"name": "b", "type": "numeric"}]
BOTH = {"trees": {"trainer": "xgboost", "params": {"max_depth": 2}}, "line": {"trainer": "linear"}}


def with_candidates(candidates: dict[str, Any], **training: Any) -> Definition:
    return make_definition(training={"params": {}, **training, "candidates": candidates})


def part(rows: int, *, seed: int, steps: bool = False) -> Encoded:
    """Labels that follow a straight line, or steps that no line can follow."""
    random = np.random.default_rng(seed)
    matrix = random.uniform(-3, 3, (rows, 2)).astype(np.float32)
    signal = np.sign(matrix[:, 0] * matrix[:, 1]) * 3 if steps else matrix[:, 0] + 2 * matrix[:, 1]
    return Encoded(matrix=matrix, labels=(signal + random.logistic(size=rows) > 0).astype(np.float32))


def chosen(definition: Definition, *, steps: bool = False, folds: list[Fold] | None = None) -> Chosen:
    return train_candidates(
        definition,
        FEATURES,
        part(1500, seed=1, steps=steps),
        part(500, seed=2, steps=steps),
        older_folds=folds or [],
        threads=1,
    )


def test_the_smallest_loss_on_the_validation_part_wins_and_the_reason_is_told() -> None:
    line, trees = chosen(with_candidates(BOTH)), chosen(with_candidates(BOTH), steps=True)
    assert (line.name, line.trained.kind) == ("line", "linear")
    assert (trees.name, trees.trained.kind) == ("trees", "xgboost")
    assert line.document is not None
    losses = {one["name"]: one["loss"] for one in line.document["candidates"]}
    assert losses["line"] < losses["trees"]
    judged = loss("binary_classification", part(500, seed=2).labels, line.trained.judged)
    assert losses["line"] == judged
    assert line.document["reason"].startswith("line has the smallest logloss on the validation part: 0.")
    assert line.metrics == {f"candidate_{name}_logloss": value for name, value in losses.items()}
    assert [one["trainer"] for one in line.document["candidates"]] == ["xgboost", "linear"]


def test_of_equal_candidates_the_first_is_taken() -> None:
    for names in (("one", "two"), ("two", "one")):
        made = chosen(with_candidates({name: {"trainer": "linear"} for name in names}))
        assert made.name == names[0]


def test_the_same_training_gives_the_same_document() -> None:
    first, second = (chosen(with_candidates(BOTH)).document for _ in range(2))
    assert first == second


def test_calibration_and_refit_do_not_enter_the_comparison() -> None:
    plain = chosen(with_candidates(BOTH))
    after = chosen(with_candidates(BOTH, calibration="sigmoid", refit="validation"))
    assert plain.metrics == after.metrics
    assert after.trained.sigmoid is not None


def test_a_candidate_takes_what_it_leaves_out_from_training() -> None:
    candidates = {"as_it_is": {}, "deeper": {"params": {"max_depth": 5}}, "line": {"trainer": "linear"}}
    made = chosen(with_candidates(candidates, params={"max_depth": 3}, rounds=10))
    assert made.document is not None
    depths = [one["parameters"].get("max_depth") for one in made.document["candidates"]]
    assert depths == [3, 5, None]


def test_older_windows_count_as_much_as_the_validation_part() -> None:
    folds = [Fold(train=part(900, seed=3, steps=True), validation=part(300, seed=4, steps=True)) for _ in range(2)]
    made = chosen(with_candidates(BOTH), folds=folds)
    assert made.name == "trees", "the line wins the newest window only"
    assert made.document is not None
    assert made.document["windows"] == 3
    for one in made.document["candidates"]:
        assert len(one["losses"]) == 3
        assert one["loss"] == pytest.approx(sum(one["losses"]) / 3)
    assert "and 2 older windows" in made.document["reason"]


def test_all_candidates_are_judged_on_as_many_windows_as_the_most_thorough_search() -> None:
    space = {"space": {"max_depth": [2, 3]}, "trials": 2, "folds": 3}
    definition = with_candidates({**BOTH, "searched": {"trainer": "xgboost", "search": space}})
    assert fold_count(definition) == 3
    times = pd.Series(pd.Timestamp("2013-01-01") + pd.to_timedelta(np.arange(400) * 0.5, unit="h"))
    ends = datetime.fromisoformat("2013-01-09T08:00:00-05:00")
    definition = definition.model_copy(
        update={"training": definition.training.model_copy(update={"validation": timedelta(days=2)})}
    )
    folds = older_folds(definition, times, part(400, seed=5), ends)
    assert len(folds) == 2
    made = chosen(definition, folds=folds)
    assert made.document is not None
    assert [len(one["losses"]) for one in made.document["candidates"]] == [3, 3, 3]


def test_without_candidates_nothing_is_compared() -> None:
    made = chosen(make_definition(training={"params": {}}))
    assert (made.name, made.document, made.metrics) == ("", None, {})


def test_a_candidate_without_a_finite_loss_cannot_win_and_all_of_them_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter([float("nan"), 0.5])
    monkeypatch.setattr("include.training.candidates.loss", lambda *_: next(answers))
    made = chosen(with_candidates(BOTH))
    assert made.name == "line"
    assert made.document is not None
    assert made.document["candidates"][0]["loss"] is None
    assert set(made.metrics) == {"candidate_line_logloss"}
    monkeypatch.setattr("include.training.candidates.loss", lambda *_: float("nan"))
    with pytest.raises(NoCandidateWorks, match=r"late: .*training\.candidates"):
        chosen(with_candidates(BOTH))


@pytest.mark.parametrize(
    ("task", "labels", "predictions", "expected"),
    [
        ("binary_classification", [0, 1], [0.5, 0.5], np.log(2)),
        ("binary_classification", [0, 1], [0.2, 0.9], -(np.log(0.8) + np.log(0.9)) / 2),
        ("regression", [0, 4], [1, 1], np.sqrt(5)),
        ("multiclass_classification", [0, 2], [[0.5, 0.25, 0.25], [0, 0.2, 0.8]], -(np.log(0.5) + np.log(0.8)) / 2),
    ],
)
def test_the_loss_is_log_loss_or_root_mean_squared_error(
    task: Any, labels: list[int], predictions: Any, expected: float
) -> None:
    found = loss(task, np.array(labels, np.float32), np.array(predictions, np.float64))
    assert found == pytest.approx(expected, abs=1e-9)
    assert np.isfinite(loss("binary_classification", np.array([1.0]), np.array([0.0])))

"""What cleaning learns, and which rows it leaves out of training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.spec.definition import Definition
from include.training.cleaning import NothingToLearn, TooFewLeft, fold_cleaning, kept_rows, learn_cleaning
from include.training.matrices import encode_part, learn_categories
from tests.training.factories import make_definition


def cleaned(**rules: Any) -> Definition:
    return make_definition(clean={"features": rules})


def frame(**values: Any) -> pd.DataFrame:
    count = len(next(iter(values.values())))
    given = {"carrier": ["AA"] * count, "far": [1.0] * count, "cargo": [True] * count, **values}
    return pd.DataFrame(
        {f"feature_{name}": pd.Series(some, dtype=object if name in {"carrier", "cargo"} else None)
         for name, some in given.items()}
        | {"label": [float(i % 2) for i in range(count)]}
    )  # fmt: skip


class TestLearning:
    @pytest.mark.parametrize(
        ("rule", "learned"),
        [
            ({"missing": "median"}, {"fill": 3.0}),
            ({"missing": "mean"}, {"fill": 107 / 7}),
            ({"missing": "most_frequent"}, {"fill": 2.0}),
            ({"missing": {"value": 7}}, {"fill": 7.0}),
            ({"missing": "drop"}, {"drop": True}),
            ({"indicator": True}, {}),
            ({"outliers": {"clip": [None, 10]}}, {"high": 10.0}),
            ({"outliers": {"winsorize": [0.2, 0.8]}}, {"low": 2.0, "high": 5.0}),
            ({"missing": "mean", "outliers": {"clip": [0, 10]}}, {"low": 0.0, "high": 10.0, "fill": 27 / 7}),
            (
                {"missing": "mean", "outliers": {"clip": [0, 10], "keep": True}, "flag": True},
                {"low": 0.0, "high": 10.0, "keep": True, "fill": 107 / 7},
            ),
        ],
    )
    def test_numbers_are_learned_from_what_is_there(self, rule: dict[str, Any], learned: dict[str, Any]) -> None:
        values = [4.0, 3.0, np.nan, 2.0, 2.0, np.inf, 1.0, 1e300, 90.0, 5.0]
        assert learn_cleaning(cleaned(far=rule), frame(far=values)) == {"far": learned}

    def test_texts_and_truths_have_a_most_frequent_value_of_equal_ones_the_smallest(self) -> None:
        rules = {"carrier": {"missing": "most_frequent"}, "cargo": {"missing": "most_frequent"}}
        found = learn_cleaning(cleaned(**rules), frame(carrier=["b", "a", None, "c"], cargo=[True, False, None, True]))
        assert found == {"carrier": {"fill": "a"}, "cargo": {"fill": 1.0}}

    @pytest.mark.parametrize(
        ("event_time", "cure"),
        [("at", "make training.window longer"), (None, "make training.validation and training.holdout smaller")],
    )
    def test_a_feature_without_any_value_is_refused_with_the_cure_that_fits(
        self, event_time: str | None, cure: str
    ) -> None:
        definition = cleaned(far={"missing": "median"})
        source = definition.source.model_copy(update={"event_time": event_time})
        with pytest.raises(NothingToLearn, match=rf"its median value cannot be learned\. .*, {cure}, or correct"):
            learn_cleaning(definition.model_copy(update={"source": source}), frame(far=[np.nan] * 4))

    @given(values=st.lists(st.one_of(st.floats(width=32), st.sampled_from([0.0, -0.0, np.nan])), max_size=30),
           how=st.sampled_from(["median", "mean", "most_frequent"]), draw=st.randoms())  # fmt: skip
    def test_what_is_learned_does_not_depend_on_the_order_of_rows(
        self, values: list[float], how: str, draw: Any
    ) -> None:
        definition = cleaned(far={"missing": how, "outliers": {"winsorize": [0.05, 0.95]}})
        shuffled = draw.sample(values, len(values))
        if not np.isfinite(np.array(values, dtype=np.float32)).any():
            with pytest.raises(NothingToLearn, match=r"clean\.features\.far: the feature has no value"):
                learn_cleaning(definition, frame(far=np.array(values, dtype=float)))
            return
        both = [learn_cleaning(definition, frame(far=np.array(some, dtype=float))) for some in (values, shuffled)]
        assert repr(both[0]) == repr(both[1])
        learned = both[0]["far"]
        assert learned["low"] <= learned["fill"] <= learned["high"]

    def test_what_is_filled_in_is_a_known_category(self) -> None:
        definition = cleaned(carrier={"missing": {"value": "none"}})
        train = frame(carrier=["b", None, "a"])
        types = {"carrier": "category"}
        learned = learn_cleaning(definition, train)
        assert learn_categories(train, types, learned) == {"carrier": ["a", "b", "none"]}  # type: ignore[arg-type]


class TestFolds:
    def test_a_fold_is_cleaned_by_what_its_own_training_rows_say(self) -> None:
        definition = cleaned(far={"missing": "median", "outliers": {"winsorize": [0, 1]}})
        part = frame(far=[1.0, 2.0, 3.0, np.nan, 50.0, np.nan])
        learned = learn_cleaning(definition, part)
        features = [{"name": "far", "type": "numeric", "clean": learned["far"]}]
        cut = fold_cleaning(definition, features, part)
        assert cut is not None
        fold = cut(np.arange(6) < 4, np.arange(6) >= 4)
        assert fold.train.matrix[:, 0].tolist() == [1.0, 2.0, 3.0, 2.0]
        assert fold.validation.matrix[:, 0].tolist() == [3.0, 2.0]
        assert encode_part(part, features).matrix[3:, 0].tolist() == [2.0, 50.0, 2.0]

    def test_a_fold_without_a_value_is_cleaned_as_the_model(self) -> None:
        definition = cleaned(far={"missing": "median"})
        features = [{"name": "far", "type": "numeric", "clean": {"fill": 7.0}}]
        cut = fold_cleaning(definition, features, frame(far=[np.nan, np.nan, 7.0]))
        assert cut is not None
        assert cut(np.arange(3) < 2, np.arange(3) >= 2).train.matrix[:, 0].tolist() == [7.0, 7.0]

    @pytest.mark.parametrize("rule", [{"missing": "drop"}, {"missing": {"value": 0}}, {"outliers": {"clip": [0, 1]}}])
    def test_where_nothing_is_learned_folds_are_cut_from_the_encoded_part(self, rule: dict[str, Any]) -> None:
        assert fold_cleaning(cleaned(far=rule), [], frame(far=[1.0])) is None
        assert fold_cleaning(make_definition(), [], frame(far=[1.0])) is None


class TestDropping:
    def test_rows_with_a_null_are_left_out_and_counted(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        far = [np.nan if i % 5 == 0 else float(i) for i in range(200)]
        kept = kept_rows(cleaned(far={"missing": "drop"}), "train", frame(far=far))
        assert kept["feature_far"].tolist() == [value for value in far if value == value]
        assert kept.index.tolist() == list(range(160))
        assert "40 of 200 rows of the train part are dropped: {'far': 40}" in caplog.text

    def test_without_such_a_rule_the_part_is_the_very_same(self) -> None:
        part = frame(far=[np.nan, 1.0])
        assert kept_rows(cleaned(far={"missing": "median"}), "train", part) is part

    def test_too_few_rows_are_refused_with_counts_and_cure(self) -> None:
        part = frame(far=[np.nan if i % 5 == 0 else float(i) for i in range(110)])
        with pytest.raises(TooFewLeft, match=r"drops 22 of the 110 rows .*\(far: 22\), and 88 are left.*median"):
            kept_rows(cleaned(far={"missing": "drop"}), "train", part)

    def test_a_lost_class_is_refused(self) -> None:
        part = frame(far=[np.nan if i % 2 else float(i) for i in range(400)])
        with pytest.raises(TooFewLeft, match="a class is lost"):
            kept_rows(cleaned(far={"missing": "drop"}), "validation", part)

    def test_nothing_is_dropped_from_the_holdout(self) -> None:
        with pytest.raises(ValueError, match="holdout"):
            kept_rows(cleaned(far={"missing": "drop"}), "holdout", frame(far=[1.0]))

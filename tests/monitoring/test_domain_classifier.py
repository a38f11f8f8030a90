"""The domain classifier: it tells a turned relation, which no feature shows, and nothing where nothing changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.monitoring.domain_classifier import Told, tell_apart
from include.spec.definition import DomainClassifier, FeatureType
from include.training.column_profile import profile_column
from include.training.reference_sample import Sample, take_sample

TYPES: dict[str, FeatureType] = {"a": "numeric", "b": "numeric", "c": "category", "d": "boolean"}


def rows(count: int, seed: int, *, turn: float = 1.0, trend: float = 0.0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    a = random.normal(size=count) + trend * np.arange(count) / count
    frame = {
        "feature_a": a,
        "feature_b": turn * (0.8 * a + 0.6 * random.normal(size=count)),
        "feature_c": random.choice(["x", "y", None], count),
        "feature_d": random.random(count) < 0.5,
    }
    return pd.DataFrame(frame)


def sample(frame: pd.DataFrame, **changes: Any) -> Sample:
    return take_sample(frame, TYPES, **({"rows": 1000, "without": ()} | changes))


def told(before: pd.DataFrame, now: pd.DataFrame) -> Told | None:
    features = {name: profile_column(before[f"feature_{name}"], kind) for name, kind in TYPES.items()}
    profile = {"features": features, "sample": sample(before)}
    return tell_apart(profile, sample(now), rule=DomainClassifier(), significance=0.01)


def test_a_turned_relation_is_told_by_the_features_that_have_it() -> None:
    found = told(rows(3000, 1), rows(2000, 2, turn=-1.0))

    assert found is not None
    assert found.drifted
    assert set(found.features[:2]) == {"a", "b"}
    assert "tells these rows" in found.describe()


def test_rows_of_the_same_kind_are_not_told_apart_and_the_answer_stays() -> None:
    first, second = (told(rows(3000, 1), rows(2000, 2)) for _ in range(2))

    assert first is not None
    assert first == second
    assert not first.drifted
    assert first.auc < 0.55


def test_what_changes_within_the_training_part_is_ordinary() -> None:
    found = told(rows(3000, 1, trend=3.0), rows(2000, 2, trend=3.0).tail(700))

    assert found is not None
    assert found.ordinary > 0.65
    assert found.auc > 0.65
    assert found.limit == found.ordinary


def test_few_rows_are_not_enough() -> None:
    assert told(rows(3000, 1), rows(150, 2)) is None


def test_the_sample_is_spread_over_the_rows_and_leaves_out_what_is_personal() -> None:
    frame = pd.DataFrame({"feature_a": [*np.arange(99.0), np.inf], "feature_d": [True] * 100})
    types: dict[str, FeatureType] = {"a": "numeric", "d": "boolean"}

    assert take_sample(frame, types, rows=4, without={"d"}) == {"a": [0.0, 33.0, 66.0, None]}
    assert take_sample(frame[:0], types, rows=4, without=()) == {"a": [], "d": []}


@pytest.mark.parametrize("value", [None, 1e300])
def test_values_that_no_tree_can_hold_are_missing(value: float | None) -> None:
    before, now = rows(1000, 1), rows(1000, 2)
    now["feature_a"] = value

    assert told(before, now) is not None

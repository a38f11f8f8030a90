"""Cleaned columns: the features table, the batch way, the row way and rows at once have the very same values."""

from __future__ import annotations

import math
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from include.features.select import feature_select, label_item
from include.training.compiling import compile_package
from include.training.describe import describe
from include.training.package import write_package
from include.training.packaged_model import TabularModel, encode, probability_or_value
from include.training.trainers.xgboost_trees import Trees
from tests.training.factories import json_rows, make_definition, make_rows

COLUMNS: dict[str, dict[str, Any]] = {
    "units and bounds": {
        "distance": {
            "null_if": "distance < 0 OR seats = 13", "unit": {"from": "mile", "to": "kilometre"}, "clip": [1, 5e3],
        },
        "seats": {"clip": [0, 400]},
        "carrier": "nullif(upper(trim(carrier)), '')",
        "delay": {"unit": {"from": "minute", "to": "hour"}},
    },
    "types": {
        "distance": {"type": "integer", "clip": [None, 900]},
        "seats": {"expression": "seats * 2", "null_if": "cargo"},
        "carrier": {"null_if": "carrier IN ('AA', 'none')"},
        "cargo": "cargo OR seats > 100",
    },
}  # fmt: skip
FEATURES = {**make_definition().model_dump()["features"], "tens": {"expression": "seats // 10"}}
RAW = st.fixed_dictionaries(
    {
        "left_at": st.datetimes(pd.Timestamp("2012-01-01"), pd.Timestamp("2014-01-01")).map(pd.Timestamp),
        "carrier": st.sampled_from(["AA", " dl", "", "none", "unseen", None]),
        "distance": st.one_of(st.none(), st.floats(-10, 5000), st.floats(allow_nan=False, allow_infinity=False)),
        "seats": st.one_of(st.none(), st.integers(-20, 500), st.just(13), st.integers(-(2**40), 2**40)),
        "cargo": st.sampled_from([True, False, None]),
    }
)


@pytest.fixture(scope="module", params=[*COLUMNS])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TabularModel:
    definition = make_definition(features=FEATURES, clean={"columns": COLUMNS[request.param]})
    package = tmp_path_factory.mktemp("cleaned") / "package"
    description = describe(definition, {"carrier": ["AA", "B6", "DL", "UNSEEN"]})
    draw = np.random.default_rng(1)
    features, labels = draw.random((400, len(FEATURES))) * 900, draw.random(400)
    booster = xgboost.train({"max_depth": 4, "nthread": 1}, xgboost.DMatrix(features, labels), 8)
    write_package(package, estimator=Trees(booster), description=description, profile={"format": 1})
    inputs = make_rows(300, seed=3)[list(description["columns"])]
    compile_package(package, description, inputs)
    return TabularModel.open(package)


@settings(deadline=None, max_examples=20)
@given(raw=st.lists(RAW, min_size=2, max_size=8))
def test_requests_are_answered_as_the_features_table_has_them(model: TabularModel, raw: list[dict[str, Any]]) -> None:
    rows = pd.DataFrame(raw)
    rows["distance"] = rows["distance"].astype("float64")
    rows["seats"] = pd.array([row["seats"] for row in raw], dtype="Int64")
    rows["cargo"] = pd.array([row["cargo"] for row in raw], dtype="boolean")
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("raw", rows)
        offline = connection.execute(f"SELECT {model.description['select']} FROM raw").df()
    expected = probability_or_value(model._booster, encode(offline, model.features)).tolist()
    assert model.predict_frame(rows).tolist() == expected
    requests = json_rows(rows, list(model.columns))
    assert model.predict_rows(requests) == expected
    assert [model.predict_rows([row])[0] for row in requests] == expected


def test_compiled_forms_are_proven_or_refused_with_the_reason(model: TabularModel) -> None:
    said = model.description["compiled"]
    assert said["admitted"] or "TRY_CAST" in said["reason"].upper(), said


def test_values_are_what_the_rules_say() -> None:
    definition = make_definition(features=FEATURES, clean={"columns": COLUMNS["units and bounds"]})
    rows = pd.DataFrame(
        {
            "left_at": [pd.Timestamp("2013-01-05 17:30")] * 5,
            "carrier": [" dl", "", "AA", None, "AA"],
            "distance": [100.0, -1.0, 4000.0, 0.1, 100.0],
            "seats": pd.array([-5, 100, 1000, None, 13], dtype="Int64"),
            "cargo": [True] * 5,
            "delay": [16.0, 960.0, None, 15.0, 901.0],
        }
    )
    with duckdb.connect() as connection:
        connection.register("raw", rows)
        found = connection.execute(f"SELECT {feature_select(definition)}, {label_item(definition)} FROM raw").df()
    far = [160.9344 / 7.3, math.nan, 5000 / 7.3, 1 / 7.3, math.nan]
    assert found["feature_far"].tolist() == pytest.approx(far, nan_ok=True)
    assert found["feature_seats"].tolist() == pytest.approx([0.0, 100.0, 400.0, math.nan, 13.0], nan_ok=True)
    assert found["feature_tens"].tolist() == pytest.approx([0.0, 10.0, 40.0, math.nan, 1.0], nan_ok=True)
    carriers = found["feature_carrier"].astype(object)
    assert carriers.where(carriers.notna(), None).tolist() == ["DL", None, "AA", None, "AA"]
    assert found["label"].tolist()[:2] == [0.0, 1.0]


def test_requests_must_carry_what_cleaning_reads(model: TabularModel) -> None:
    assert set(model.columns) == {"left_at", "carrier", "distance", "seats", "cargo"}
    [far] = [feature for feature in model.features if feature["name"] == "far"]
    assert far["reads"] in (["distance", "seats"], ["distance"])

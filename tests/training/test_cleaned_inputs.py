"""Online equals offline for every cleaning rule: training's matrices, the batch way, the row way, rows at once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.training.compiling import compile_package
from include.training.packaged_model import TabularModel, encode, probability_or_value
from include.training.row_batch import BatchEncoder
from include.training.row_path import column_functions, make_encoder
from tests.training.factories import featured, json_rows, make_definition, make_package, make_rows

END = (2 - 2**-24) * 2.0**127
WILD = st.one_of(
    st.none(), st.floats(), st.floats(-20, 20),
    st.sampled_from([0.0, -0.0, math.inf, -math.inf, END, -END, math.nextafter(END, 0), 1e300, 5e-324]),
)  # fmt: skip
BOUND = st.one_of(st.floats(-10, 10), st.floats(-3e38, 3e38))
FINITE = st.one_of(st.none(), st.floats(-1e4, 1e4), st.floats(allow_nan=False, allow_infinity=False))


@st.composite
def rules(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    """What cleaning may have learned of a feature."""
    if kind == "category":
        return draw(st.sampled_from([{}, {"fill": "a"}, {"fill": "c"}, {"drop": True}]))
    rule: dict[str, Any] = {}
    if kind == "numeric" and draw(st.booleans()):
        low, high = sorted(draw(st.tuples(BOUND, BOUND)))
        rule = draw(st.sampled_from([{"low": low}, {"high": high}, {"low": low, "high": high}]))
        rule |= draw(st.sampled_from([{}, {"keep": True}]))
    fill = draw(BOUND) if kind == "numeric" else draw(st.sampled_from([0.0, 1.0]))
    return rule | draw(st.sampled_from([{}, {"fill": fill}, {"drop": True}]))


@st.composite
def described(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Features as ``features.json`` has them, with any cleaning, and the inputs that it adds."""
    kinds = draw(st.lists(st.sampled_from(["numeric", "category", "boolean"]), min_size=1, max_size=4))
    features: list[dict[str, Any]] = []
    added: list[dict[str, Any]] = []
    for number, kind in enumerate(kinds):
        feature: dict[str, Any] = {"name": f"f{number}", "type": kind}
        if kind == "category":
            feature["categories"] = ["a", "b", "c"]
        if draw(st.booleans()):
            feature["clean"] = draw(rules(kind))
            flags = ["missing", "outlier"] if kind == "numeric" else ["missing"]
            for flag in draw(st.sets(st.sampled_from(flags))):
                added.append({"name": f"f{number}_{flag}", "type": "boolean", "of": f"f{number}", "flag": flag})
        features.append(feature)
    return [*features, *added]


def values_of(features: list[dict[str, Any]]) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    texts = st.sampled_from(["a", "b", "c", "unseen", "", None])
    kinds = {"numeric": WILD, "category": texts, "boolean": st.sampled_from([True, False, None])}
    row = st.tuples(*(kinds[feature["type"]] for feature in features if "of" not in feature))
    return st.lists(row, min_size=1, max_size=12)


@given(data=st.data())
def test_each_rule_gives_the_same_numbers_by_column_by_row_and_by_loop(data: st.DataObject) -> None:
    features = data.draw(described())
    rows = data.draw(values_of(features))
    columns = list(zip(*rows, strict=True))
    computed = [feature for feature in features if "of" not in feature]
    whole = encode(
        {f"feature_{feature['name']}": np.array(values, dtype=object)
         for feature, values in zip(computed, columns, strict=True)},
        features,
    )  # fmt: skip
    encode_row = make_encoder(features, refuse_unseen=False)
    with np.errstate(over="ignore"):
        alone = np.array([encode_row(row) for row in rows], dtype=np.float32)
    assert np.array_equal(alone, whole, equal_nan=True)
    names = ", ".join(f"c{place}" for place in range(len(computed)))
    source = f"def compute({names}):\n    return ({names},)"
    loop = BatchEncoder(source, _EMPTY, features, column_functions(features, refuse_unseen=False))
    assert np.array_equal(loop.encode(columns, refuse_unseen=False), whole, equal_nan=True)


class _Empty:
    """A module of compiled features without constants."""


_EMPTY = _Empty()

RULES: dict[str, dict[str, Any]] = {
    "median and winsorized": {
        "far": {"missing": "median", "indicator": True, "outliers": {"winsorize": [0.05, 0.95]}, "flag": True},
        "seats": {"missing": "mean"},
        "carrier": {"missing": "most_frequent", "indicator": True},
        "cargo": {"missing": "most_frequent", "indicator": True},
    },
    "values and clipped": {
        "far": {"missing": {"value": -1}, "outliers": {"clip": [10, 200]}},
        "seats": {"missing": {"value": 0.1}, "outliers": {"clip": [None, 300], "keep": True}, "flag": True},
        "carrier": {"missing": {"value": "none"}},
        "cargo": {"missing": {"value": False}},
    },
    "dropped and flagged": {
        "far": {"missing": "drop", "outliers": {"winsorize": [0, 0.9]}},
        "seats": {"missing": "most_frequent", "indicator": True},
        "carrier": {"missing": "drop"},
        "cargo": {"indicator": True},
    },
}


@pytest.fixture(scope="module", params=[*RULES])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[TabularModel, Path]:
    """A trained, compiled package whose features are cleaned."""
    folder = tmp_path_factory.mktemp("cleaned")
    definition = make_definition(clean={"features": RULES[request.param]})
    packaged, _, _ = make_package(folder, definition)
    compile_package(folder / "package", packaged.description, make_rows(300, seed=3)[list(packaged.columns)])
    return TabularModel.open(folder / "package"), folder


RAW = st.fixed_dictionaries(
    {
        "left_at": st.datetimes(pd.Timestamp("2012-01-01"), pd.Timestamp("2014-01-01")).map(pd.Timestamp),
        "number": st.just(1),
        "carrier": st.sampled_from(["AA", "B6", "none", "unseen", None]),
        "distance": FINITE,
        "seats": st.one_of(st.none(), st.integers(-500, 500), st.integers(-(2**63), 2**63 - 1)),
        "cargo": st.sampled_from([True, False, None]),
        "delay": st.just(0.0),
    }
)


@settings(deadline=None, max_examples=20)
@given(raw=st.lists(RAW, min_size=2, max_size=8))
def test_requests_are_answered_as_the_training_side_computes_them(
    model: tuple[TabularModel, Path], raw: list[dict[str, Any]]
) -> None:
    packaged, folder = model
    assert packaged._compiled is not None
    assert packaged._batch is not None
    rows = pd.DataFrame(raw)
    rows["distance"] = rows["distance"].astype("float64")
    rows["seats"] = pd.array([row["seats"] for row in raw], dtype="Int64")
    offline = featured(rows, make_definition(), packaged.description, folder)
    expected = probability_or_value(packaged._booster, encode(offline, packaged.features)).tolist()
    assert packaged.predict_frame(rows).tolist() == expected
    requests = json_rows(rows, list(packaged.columns))
    assert packaged.predict_rows(requests) == expected
    assert [packaged.predict_rows([row])[0] for row in requests] == expected


def test_contributions_name_the_added_inputs(model: tuple[TabularModel, Path]) -> None:
    packaged, _ = model
    said = packaged.explain_rows(json_rows(make_rows(5), list(packaged.columns)))
    added = {feature["name"] for feature in packaged.features if "of" in feature}
    assert added
    assert added < set(said["contributions"][0])
    assert said["predictions"] == packaged.predict_rows(json_rows(make_rows(5), list(packaged.columns)))


def test_a_null_is_filled_in_where_unseen_categories_are_refused(tmp_path: Path) -> None:
    definition = make_definition(
        clean={"features": {"carrier": {"missing": {"value": "AA"}}}}, serving={"unseen_categories": "refuse"}
    )
    packaged, _, _ = make_package(tmp_path, definition)
    compile_package(tmp_path / "package", packaged.description, make_rows(300, seed=3)[list(packaged.columns)])
    packaged = TabularModel.open(tmp_path / "package")
    [row] = json_rows(make_rows(1), list(packaged.columns))
    null, known = {**row, "carrier": None}, {**row, "carrier": "AA"}
    answer = packaged.predict_rows([known])
    for count in (1, 3, 300):
        assert packaged.predict_rows([null] * count) == answer * count
        with pytest.raises(packaged.InputError, match="the category 'zz' was not seen"):
            packaged.predict_rows([null] * (count - 1) + [{**row, "carrier": "zz"}])

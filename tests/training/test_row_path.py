"""The short way for a few rows: what it reads and refuses, and that its answers are those of the long way."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from include.training import row_path
from include.training.compiling import compile_package
from include.training.package import artifact_digest
from include.training.packaged_model import COMPILED_ROWS, InputError, TabularModel, encode
from include.training.row_path import direct_booster, make_encoder
from tests.training.factories import json_rows, make_definition, make_package, make_rows

ROW = {"left_at": "2013-01-05T17:30:00", "carrier": "AA", "distance": 812.5, "seats": 140, "cargo": False}
LIMITS = {
    "carrier": {"values": ["AA", "B6", "DL", "UA", "zz"]},
    "distance": {"minimum": 0, "maximum": 9000.5},
    "seats": {"minimum": 1},
    "number": {"maximum": 99},
}


def compiled(folder: Path, **changes: Any) -> TabularModel:
    """A package with compiled features."""
    definition = make_definition(**changes)
    model, _, _ = make_package(folder, definition)
    compile_package(folder / "package", model.description, make_rows(300, seed=3)[list(model.columns)])
    return TabularModel.open(folder / "package")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TabularModel:
    return compiled(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> TabularModel:
    serving = {"limits": LIMITS, "unseen_categories": "refuse"}
    return compiled(tmp_path_factory.mktemp("limited"), serving=serving)


def by_duckdb(model: TabularModel, rows: list[dict[str, Any]]) -> list[float]:
    frame = pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in model.columns})
    return [float(value) for value in model.predict_frame(frame)]


class TestAnswers:
    def test_the_compiled_features_are_admitted_and_used(self, model: TabularModel) -> None:
        said = json.loads(json.dumps(model.description["compiled"]))
        assert (said["admitted"], said["reason"]) == (True, "")
        assert said["rows"] > 1000
        assert model._compiled is not None
        assert model._direct is not None

    def test_all_ways_give_the_same_bits(self, model: TabularModel) -> None:
        rows = json_rows(make_rows(700, seed=5), list(model.columns))
        columns = {name: [row[name] for row in rows] for name in model.columns}
        few = {name: values[:50] for name, values in columns.items()}
        expected = by_duckdb(model, rows)
        assert model.predict_rows(rows) == expected
        assert [model.predict_rows([row])[0] for row in rows] == expected
        assert model.predict_rows(rows[:COMPILED_ROWS]) == expected[:COMPILED_ROWS]
        assert model.predict_columns(columns) == expected
        assert model.predict_columns(few) == expected[:50]
        assert model.predict_columns(columns, strict=False) == expected
        assert model.explain_rows(rows[:50])["predictions"] == expected[:50]

    def test_numpy_columns_answer_like_rows_with_nan_and_nat_as_null(self, model: TabularModel) -> None:
        frame = make_rows(600, seed=8)
        frame["seats"] = frame["seats"].fillna(7).astype("int64")
        frame["cargo"] = frame["cargo"].fillna(True).astype(bool)
        expected = model.predict_rows(json_rows(frame, list(model.columns)))
        for count in (600, 40):
            arrays = {name: frame[name].to_numpy()[:count] for name in model.columns}
            assert model.predict_columns(arrays) == expected[:count]

    @given(
        st.lists(
            st.fixed_dictionaries(
                {
                    "left_at": st.one_of(st.none(), st.datetimes().map(lambda moment: moment.isoformat())),
                    "carrier": st.one_of(st.none(), st.sampled_from(["AA", "zz", ""]), st.text(max_size=4)),
                    "distance": st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
                    "seats": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
                    "cargo": st.one_of(st.none(), st.booleans()),
                }
            ),
            min_size=1,
            max_size=6,
        )
    )
    @hypothesis_settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_rows_are_answered_like_duckdb_answers_them(
        self, model: TabularModel, rows: list[dict[str, Any]]
    ) -> None:
        expected = by_duckdb(model, rows)
        assert model.predict_rows(rows) == expected
        assert [model.predict_rows([row])[0] for row in rows] == expected

    def test_threads_do_not_disturb_each_other(self, model: TabularModel) -> None:
        rows = json_rows(make_rows(64, seed=7), list(model.columns))
        expected = model.predict_rows(rows)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda place: model.predict_rows([rows[place % 64]])[0], range(2000)))
        assert answers == (expected * 32)[:2000]

    def test_no_rows_give_no_answers(self, model: TabularModel) -> None:
        assert model.predict_rows([]) == []
        assert model.predict_columns({name: [] for name in model.columns}) == []
        assert model.explain_rows([])["contributions"] == []

    def test_a_year_beyond_python_is_answered_by_duckdb(self, model: TabularModel) -> None:
        far = {**{name: np.array([ROW[name]]) for name in ROW}, "left_at": np.array(["12013-01-05T17:30"], "M8[us]")}
        assert model.predict_columns(far) == model.predict_rows([ROW])


class TestOverflow:
    def test_what_sql_cannot_compute_is_refused_by_duckdb_itself(self, tmp_path: Path) -> None:
        model = compiled(tmp_path, features={**make_definition().model_dump()["features"], **_seats("seats * 1000")})
        assert model.description["compiled"]["admitted"]
        assert model.predict_rows([ROW]) == by_duckdb(model, [ROW])
        with pytest.raises(duckdb.OutOfRangeException, match="Overflow"):
            model.predict_rows([{**ROW, "seats": 2**62}])


def _seats(expression: str) -> dict[str, Any]:
    return {"seats": {"expression": expression}}


class TestRefusals:
    @pytest.mark.parametrize(
        ("field", "value", "problem"),
        [
            ("distance", -0.5, "must be between 0 and 9000.5, or null, got -0.5"),
            ("distance", 9001.0, "must be between 0 and 9000.5, or null, got 9001.0"),
            ("seats", 0, "must be at least 1, or null, got 0"),
            ("carrier", "XX", "must be one of 'AA', 'B6', 'DL', 'UA', 'zz', or null, got 'XX'"),
            ("number", 100, "must be at most 99, or null, got 100"),
            ("carrier", "zz", "the category 'zz' was not seen in training; it knows 'AA', 'B6', 'DL', 'UA', and null"),
        ],
    )
    def test_a_value_outside_of_the_limits_names_row_and_field_and_what_is_allowed(
        self, limited: TabularModel, field: str, value: Any, problem: str
    ) -> None:
        with pytest.raises(InputError) as caught:
            limited.predict_rows([ROW, {**ROW, field: value}])
        assert (caught.value.row, caught.value.field) == (1, field)
        assert caught.value.problem == problem
        for count in (3, COMPILED_ROWS + 1):
            values = {name: [usual] * count for name, usual in ROW.items()} | {field: [ROW.get(field, 5)] * (count - 1)}
            values[field].append(value)
            for columns in (values, {name: _array(column) for name, column in values.items()}):
                with pytest.raises(InputError) as by_column:
                    limited.predict_columns(columns)
                assert (by_column.value.row, by_column.value.field) == (count - 1, field)
                assert by_column.value.problem == caught.value.problem

    def test_null_is_within_every_limit_and_no_unseen_category(self, limited: TabularModel) -> None:
        rows = [{**ROW, name: None} for name in ROW]
        assert limited.predict_rows(rows) == by_duckdb(limited, rows)

    def test_limits_are_not_for_data_frames(self, limited: TabularModel) -> None:
        outside = pd.DataFrame([{**ROW, "distance": -5.0, "carrier": "XX"}])
        assert 0 < limited.predict(None, outside)["prediction"][0] < 1
        assert limited.predict_columns(
            {name: [value] for name, value in ROW.items()} | {"distance": [-5.0]}, strict=False
        )

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan"), 10**400])
    def test_a_number_must_be_finite(self, model: TabularModel, value: Any) -> None:
        with pytest.raises(InputError, match="expected a finite number or null, got"):
            model.predict_rows([{**ROW, "distance": value}])
        with pytest.raises(InputError, match="expected a finite number or null, got"):
            model.predict_columns({name: [value if name == "distance" else usual] for name, usual in ROW.items()})

    def test_an_infinite_number_in_an_array_is_refused_too(self, model: TabularModel) -> None:
        for count in (2, COMPILED_ROWS + 1):
            columns = {name: _array([value] * count) for name, value in ROW.items()}
            columns["distance"][1] = np.inf
            with pytest.raises(InputError) as caught:
                model.predict_columns(columns)
            assert (caught.value.row, caught.value.field) == (1, "distance")

    def test_entity_columns_may_be_there_and_are_checked(self, model: TabularModel) -> None:
        assert model.entity == {"left_at": "timestamp", "number": "integer"}
        assert model.predict_rows([{**ROW, "number": 7}, {**ROW, "number": None}]) == model.predict_rows([ROW, ROW])
        assert model.predict_columns({name: [value] for name, value in {**ROW, "number": 7}.items()})
        with pytest.raises(InputError, match="row 0, field 'number': expected a whole number"):
            model.predict_rows([{**ROW, "number": "seven"}])

    def test_columns_that_are_missing_unknown_or_of_another_length_are_named(self, model: TabularModel) -> None:
        whole = {name: [value] for name, value in ROW.items()}
        for wrong, field in (
            ({name: values for name, values in whole.items() if name != "seats"}, "seats"),
            ({**whole, "sets": [1]}, "sets"),
            ({**whole, "seats": [1, 2]}, "seats"),
        ):
            with pytest.raises(InputError) as caught:
                model.predict_columns(wrong)
            assert caught.value.field == field

    @pytest.mark.parametrize(
        "text",
        ["2013-01-05T17:30:00", "2013-01-05 17:30", " 2013-01-05T17:30:00 ", "20130105T173000", "2013-W01-6T17:30"],
    )
    def test_times_may_be_written_in_every_iso_form(self, model: TabularModel, text: str) -> None:
        assert model.predict_rows([{**ROW, "left_at": text}]) == model.predict_rows([ROW])

    def test_a_time_with_offset_means_local_time_on_the_short_way_too(self, model: TabularModel) -> None:
        early = {**ROW, "left_at": "2013-01-05T03:30:00"}
        assert model.predict_rows([{**ROW, "left_at": "2013-01-05T08:30:00Z"}]) == model.predict_rows([early])
        assert model.predict_rows([{**ROW, "left_at": "2013-01-05T09:30+01:00"}]) == model.predict_rows([early])


def _array(values: list[Any]) -> np.ndarray:
    kind = next((type(value) for value in values if value is not None), str)
    if kind is str and len(str(values[0])) > 10:
        return np.array(values, dtype="datetime64[us]")
    return np.array(values, dtype={bool: "bool", float: "float64", int: "int64"}.get(kind, "object"))


class TestExplanations:
    def test_contributions_and_base_sum_up_to_the_margin(self, model: TabularModel) -> None:
        rows = json_rows(make_rows(40, seed=9), list(model.columns))
        said = model.explain_rows(rows)
        assert said["scale"] == "log-odds"
        assert [set(row) for row in said["contributions"]] == [{"hour", "carrier", "far", "seats", "cargo"}] * 40
        for row, prediction in zip(said["contributions"], said["predictions"], strict=True):
            margin = said["base"] + sum(row.values())
            assert 1 / (1 + math.exp(-margin)) == pytest.approx(prediction, abs=1e-5)

    def test_an_explanation_is_refused_like_a_prediction(self, limited: TabularModel) -> None:
        with pytest.raises(InputError, match="row 0, field 'seats': must be at least 1"):
            limited.explain_rows([{**ROW, "seats": 0}])
        with pytest.raises(InputError, match="field 'carrier': the category 'zz' was not seen"):
            limited.explain_rows([{**ROW, "carrier": "zz"}])


class TestNumbers:
    def test_one_row_is_encoded_like_a_column(self) -> None:
        features = [
            {"name": "x", "type": "numeric"},
            {"name": "k", "type": "category", "categories": ["a", "b"]},
            {"name": "y", "type": "boolean"},
        ]
        halfway = (2 - 2**-24) * 2.0**127
        numbers = [0.0, -0.0, 1e300, -1e300, halfway, math.nextafter(halfway, 0), 1e-46, math.inf, math.nan, None, 0.1]
        encode_row = make_encoder(features, refuse_unseen=False)
        for number in numbers:
            for category, flag in (("b", True), ("?", False), (None, None)):
                columns = {"feature_x": [number], "feature_k": [category], "feature_y": [flag]}
                whole = encode({n: np.array(v, dtype=object) for n, v in columns.items()}, features)
                alone = np.array([encode_row((number, category, flag))], dtype=np.float32)
                assert alone.tobytes() == whole.tobytes() or np.array_equal(alone, whole, equal_nan=True)

    def test_a_booster_that_answers_otherwise_on_the_direct_way_is_not_used_there(
        self, model: TabularModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert direct_booster(model._booster, model.features) is not None
        monkeypatch.setattr(row_path.DirectBooster, "predict", lambda *_: 0.123)
        assert direct_booster(model._booster, model.features) is None

    def test_an_xgboost_without_the_function_is_asked_the_long_way(
        self, model: TabularModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = model.predict_rows([ROW])
        monkeypatch.setattr(row_path.xgboost.core, "_LIB", object())
        assert direct_booster(model._booster, model.features) is None
        monkeypatch.undo()
        monkeypatch.setattr(model, "_direct", None)
        assert model.predict_rows([ROW]) == expected


class TestArtifact:
    def test_a_model_that_cannot_be_compiled_answers_by_duckdb_and_says_why(self, tmp_path: Path) -> None:
        model = compiled(tmp_path, features={**make_definition().model_dump()["features"], **_seats("even(seats)")})
        said = model.description["compiled"]
        assert (said["admitted"], said["rows"]) == (False, 0)
        assert "`CAST((even(seats)) AS DOUBLE)`" in said["reason"] or "even" in said["reason"].lower()
        assert not (tmp_path / "package" / "compiled_features.py").exists()
        assert model._compiled is None
        rows = json_rows(make_rows(30), list(model.columns))
        assert [model.predict_rows([row])[0] for row in rows] == by_duckdb(model, rows)

    def test_the_same_training_gives_the_same_bytes_and_a_changed_file_another_digest(self, tmp_path: Path) -> None:
        digests = []
        for name in ("a", "b"):
            compiled(tmp_path / name)
            digests.append(artifact_digest(tmp_path / name / "package"))
        assert digests[0] == digests[1]
        for name in ("compiled_features.py", "row_path.py", "row_reader.py"):
            path = tmp_path / "a" / "package" / name
            before = path.read_bytes()
            path.write_bytes(before + b"\n")
            assert artifact_digest(tmp_path / "a" / "package") != digests[0]
            path.write_bytes(before)
        (tmp_path / "a" / "package" / "compiled_features.py").unlink()
        assert artifact_digest(tmp_path / "a" / "package") != digests[0]

    def test_a_package_from_before_still_loads_and_answers(self, model: TabularModel, tmp_path: Path) -> None:
        compiled(tmp_path)
        package = tmp_path / "package"
        for name in ("compiled_features.py", "row_path.py", "row_reader.py"):
            (package / name).unlink()
        described = json.loads((package / "features.json").read_text())
        for feature in described["features"]:
            del feature["reads"]
        old = {key: value for key, value in described.items() if key not in {"serving", "compiled"}}
        (package / "features.json").write_text(json.dumps(old))
        before = TabularModel.open(package)
        assert (before.entity, before._compiled) == ({}, None)
        assert before.predict_rows([ROW]) == model.predict_rows([ROW])
        assert len(artifact_digest(package)) == 64

    def test_what_a_server_needs_is_in_the_description(self, limited: TabularModel) -> None:
        assert limited.description["serving"] == {
            "entity": {"left_at": "timestamp", "number": "integer"},
            "limits": LIMITS,
            "unseen_categories": "refuse",
            "personal": [],
        }

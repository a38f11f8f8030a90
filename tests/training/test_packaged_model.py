from __future__ import annotations

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

from include.training.packaged_model import InputError, TabularModel, encode, probability_or_value
from tests.training.factories import featured, json_rows, make_definition, make_package, make_rows


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TabularModel:
    return make_package(tmp_path_factory.mktemp("model"))[0]


ROW = {"left_at": "2013-01-05T17:30:00", "carrier": "AA", "distance": 812.5, "seats": 140, "cargo": False}

text_or_null = st.one_of(st.none(), st.sampled_from(["AA", "B6", "zz", "", "日本"]), st.text(max_size=4))
finite = st.floats(allow_nan=False, allow_infinity=False)
json_row = st.fixed_dictionaries(
    {
        "left_at": st.one_of(
            st.none(),
            st.datetimes(pd.Timestamp("1900-01-01").to_pydatetime(), pd.Timestamp("2200-01-01").to_pydatetime()).map(
                lambda moment: moment.isoformat()
            ),
        ),
        "carrier": text_or_null,
        "distance": st.one_of(st.none(), finite, st.integers(-(10**9), 10**9)),
        "seats": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        "cargo": st.one_of(st.none(), st.booleans()),
    }
)


class TestWays:
    def test_rows_frame_and_published_features_give_the_same_bits(self, model: TabularModel, tmp_path: Path) -> None:
        rows = make_rows(700, seed=5)
        by_frame = model.predict(None, rows)["prediction"].to_numpy()
        by_rows = model.predict_rows(json_rows(rows, list(model.columns)))
        published = featured(rows, make_definition(), model.description, tmp_path)
        by_matrix = probability_or_value(model._booster, encode(published, model.features))
        assert by_frame.tolist() == by_rows == by_matrix.tolist()

    def test_a_row_alone_is_answered_as_in_a_batch(self, model: TabularModel) -> None:
        rows = json_rows(make_rows(60, seed=6), list(model.columns))
        assert [model.predict_rows([row])[0] for row in rows] == model.predict_rows(rows)

    @given(st.lists(json_row, min_size=1, max_size=8))
    @hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_json_rows_get_the_same_answers_alone_in_a_batch_and_as_a_frame(
        self, model: TabularModel, rows: list[dict[str, Any]]
    ) -> None:
        batch = model.predict_rows(rows)
        frame = pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in model.columns})
        assert [model.predict_rows([row])[0] for row in rows] == batch
        assert model.predict(None, frame)["prediction"].tolist() == batch
        assert all(0 < answer < 1 for answer in batch)

    def test_threads_do_not_disturb_each_other(self, model: TabularModel) -> None:
        rows = json_rows(make_rows(64, seed=7), list(model.columns))
        expected = model.predict_rows(rows)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda i: model.predict_rows([rows[i % 64]])[0], range(256)))
        assert answers == expected * 4

    def test_the_index_and_extra_columns_of_a_frame_change_nothing(self, model: TabularModel) -> None:
        rows = make_rows(20)
        odd = rows.assign(extra=1).set_index(pd.Index(range(100, 120)))[list(reversed([*rows.columns, "extra"]))]
        answers = model.predict(None, odd)
        assert answers.index.tolist() == list(range(100, 120))
        assert answers["prediction"].tolist() == model.predict(None, rows)["prediction"].tolist()

    def test_no_rows_give_no_answers(self, model: TabularModel) -> None:
        assert model.predict_rows([]) == []
        assert model.predict(None, make_rows(5).head(0))["prediction"].tolist() == []


class TestValues:
    def test_an_unseen_category_is_answered_like_a_missing_one(self, model: TabularModel) -> None:
        unseen, missing = model.predict_rows([{**ROW, "carrier": "??"}, {**ROW, "carrier": None}])
        assert unseen == missing

    def test_a_time_with_offset_means_the_local_time_of_the_source(self, model: TabularModel) -> None:
        local, utc, offset = (
            {**ROW, "left_at": at} for at in ("2013-01-05T17:30:00", "2013-01-05T22:30:00Z", "2013-01-05T23:30+01:00")
        )
        computed = model.compute_features(pd.DataFrame([local, utc, offset]))["feature_hour"]
        assert computed.tolist() == [17.0, 17.0, 17.0]

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("seats", "140"),
            ("seats", 1.5),
            ("seats", True),
            ("seats", 2**63),
            ("distance", "far"),
            ("distance", False),
            ("carrier", 7),
            ("carrier", "\ud800"),
            ("cargo", 1),
            ("cargo", "yes"),
            ("left_at", "yesterday"),
            ("left_at", 1357421400),
            ("left_at", {"year": 2013}),
        ],
    )
    def test_a_value_of_another_type_names_row_and_field(self, model: TabularModel, field: str, value: Any) -> None:
        with pytest.raises(InputError, match=f"row 1, field '{field}': expected .* got") as caught:
            model.predict_rows([ROW, {**ROW, field: value}])
        assert (caught.value.row, caught.value.field) == (1, field)

    def test_a_missing_field_and_an_unknown_one_are_named(self, model: TabularModel) -> None:
        with pytest.raises(InputError, match="row 0, field 'seats': is missing; null is allowed"):
            model.predict_rows([{k: v for k, v in ROW.items() if k != "seats"}])
        with pytest.raises(InputError, match=r"row 0, field 'carier': is no input .* did you mean 'carrier'"):
            model.predict_rows([{**ROW, "carier": "AA"}])
        with pytest.raises(InputError, match="missing columns: cargo"):
            model.predict(None, make_rows(2).drop(columns="cargo"))
        with pytest.raises(InputError, match="row 0: expected an object"):
            model.predict_rows([["AA"]])  # type: ignore[list-item]

    @pytest.mark.parametrize("dtype", ["int64", "int32", "float64", "Int64", "object"])
    def test_integers_may_come_as_any_pandas_type(self, model: TabularModel, dtype: str) -> None:
        frame = pd.DataFrame([ROW, {**ROW, "seats": 12}]).astype({"seats": dtype})
        assert model.predict(None, frame)["prediction"].tolist() == model.predict_rows([ROW, {**ROW, "seats": 12}])

    def test_infinite_and_overflowing_features_count_as_missing(self) -> None:
        features = [{"name": "x", "type": "numeric"}]
        matrix = encode({"feature_x": np.array([np.inf, -np.inf, 1e300, 2.5, np.nan])}, features)
        assert np.isnan(matrix[:, 0]).tolist() == [True, True, True, False, True]

    def test_booleans_are_zero_one_or_missing(self) -> None:
        features = [{"name": "x", "type": "boolean"}]
        matrix = encode({"feature_x": np.array([True, False, None], dtype=object)}, features)
        assert matrix[:2, 0].tolist() == [1.0, 0.0]
        assert np.isnan(matrix[2, 0])


class TestIsolation:
    @pytest.mark.parametrize(
        "statement",
        [
            "SELECT * FROM read_csv('/etc/hostname')",
            "ATTACH '/tmp/noria-test.db'",
            "COPY (SELECT 1) TO '/tmp/noria-test.csv'",
            "SET enable_external_access = true",
            "SET threads = 4",
            "INSTALL httpfs",
        ],
    )
    def test_the_engine_of_a_model_reaches_no_file_and_no_setting(self, model: TabularModel, statement: str) -> None:
        with pytest.raises(duckdb.Error):
            model._connection.cursor().execute(statement)


def test_a_feature_module_is_part_of_the_package(tmp_path: Path) -> None:
    model, _, _ = make_package(tmp_path)
    package = tmp_path / "package"
    (package / "feature_module.py").write_text(
        "import pandas as pd\n"
        "def compute(rows):\n"
        "    out = pd.DataFrame(index=rows.index)\n"
        "    out['hour'] = rows['left_at'].dt.hour\n"
        "    out['carrier'] = rows['carrier']\n"
        "    out['far'] = rows['distance'] / 7.3\n"
        "    out['seats'] = rows['seats']\n"
        "    out['cargo'] = rows['cargo']\n"
        "    return out\n"
    )
    text = (package / "features.json").read_text()
    inputs = '["left_at", "carrier", "distance", "seats", "cargo"]'
    (package / "features.json").write_text(
        text.replace('"feature_module": null', f'"feature_module": {{"inputs": {inputs}}}')
    )
    by_module = TabularModel.open(package)
    rows = json_rows(make_rows(50), list(model.columns))
    assert by_module.predict_rows(rows) == model.predict_rows(rows)

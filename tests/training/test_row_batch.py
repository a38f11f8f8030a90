"""Some rows at a time: the loop over columns gives what the rows give one by one, or leaves them to the other ways."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from include.training.compiling import compile_package
from include.training.packaged_model import InputError, TabularModel
from include.training.row_batch import ColumnReader, loop_over_columns
from include.training.row_reader import Limit
from tests.training.factories import json_rows, make_definition, make_package, make_rows

ROW = {"left_at": "2013-01-05T17:30:00", "carrier": "AA", "distance": 812.5, "seats": 140, "cargo": False}
TYPES = {"at": "timestamp", "who": "string", "x": "number", "n": "integer", "flag": "boolean"}
PLAIN = {"at": "2013-01-05T17:30:00", "who": "Zoë", "x": 1.5, "n": 7, "flag": True}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> TabularModel:
    folder = tmp_path_factory.mktemp("batch")
    packaged, _, _ = make_package(folder, make_definition(serving={"unseen_categories": "refuse"}))
    compile_package(folder / "package", packaged.description, make_rows(300, seed=3)[list(packaged.columns)])
    return TabularModel.open(folder / "package")


class TestAnswers:
    def test_rows_together_are_computed_by_the_loop_and_answer_like_each_alone(self, model: TabularModel) -> None:
        rows = [
            row
            for row in json_rows(make_rows(150, seed=5), list(model.columns))
            if row["carrier"] in {"AA", "DL", None}
        ]
        columns = model._columns_of.read(rows)
        assert columns is not None
        expected = [model.predict_rows([row])[0] for row in rows]
        assert model._batch_answers(columns) == expected
        assert model.predict_rows(rows) == expected
        assert model.predict_rows([{**row, "number": 7} for row in rows]) == expected

    def test_a_row_that_is_refused_is_named_although_rows_are_read_by_column(self, model: TabularModel) -> None:
        for field, value in (("carrier", "??"), ("seats", "many"), ("distance", math.inf), ("left_at", "noon")):
            with pytest.raises(InputError) as caught:
                model.predict_rows([ROW, ROW, {**ROW, field: value}, ROW])
            assert (caught.value.row, caught.value.field) == (2, field)
        with pytest.raises(InputError, match="row 1, field 'sets': is no input"):
            model.predict_rows([ROW, {**ROW, "sets": 1}])

    def test_an_encoder_that_can_not_be_made_leaves_the_rows_to_the_other_ways(
        self, model: TabularModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected = model.predict_rows([ROW] * 3)
        monkeypatch.setattr(model, "_batch", None)
        assert model.predict_rows([ROW] * 3) == expected


class TestReading:
    reader = ColumnReader(TYPES, {"id": "integer"}, {"x": Limit({"minimum": 0, "maximum": 9})})

    def test_plain_values_and_nulls_are_read_in_their_types(self) -> None:
        nulls: dict[str, Any] = dict.fromkeys(PLAIN)
        read = self.reader.read([PLAIN, nulls, {**PLAIN, "x": 2}])
        assert read is not None
        assert [str(value) for value in read[0]] == ["2013-01-05 17:30:00", "None", "2013-01-05 17:30:00"]
        assert read[1:] == [["Zoë", None, "Zoë"], [1.5, None, 2.0], [7, None, 7], [True, None, True]]
        assert type(read[2][2]) is float

    @pytest.mark.parametrize(
        "change",
        [
            {"x": True}, {"x": "1"}, {"x": math.nan}, {"x": -1.0}, {"x": 10}, {"x": 10**400}, {"x": np.float64(1)},
            {"n": 1.0}, {"n": 2**63}, {"n": True}, {"flag": 1}, {"who": 1}, {"who": "\ud800"},
            {"at": "noon"}, {"at": "2013-01-05T17:30:00Z"}, {"other": 1}, {"id": "seven"},
        ],
    )  # fmt: skip
    def test_everything_else_is_left_to_the_rows_own_reader(self, change: dict[str, Any]) -> None:
        assert self.reader.read([PLAIN, {**PLAIN, **change}]) is None
        assert self.reader.read([{"id": 1, **PLAIN}, {"id": None, **PLAIN, **change}]) is None

    def test_what_is_no_row_is_left_too(self) -> None:
        assert self.reader.read([PLAIN, {name: PLAIN[name] for name in ("at", "who")}]) is None
        assert self.reader.read([PLAIN, list(PLAIN)]) is None  # type: ignore[list-item]


class TestLoop:
    SOURCE = (
        "def compute(c0, c1, c2):\n"
        "    if c0 is None:\n        v1 = K\n    else:\n        v1 = c0 + 1.0\n"
        "    return (v1, c1, None,)\n"
    )

    def compiled(self) -> ModuleType:
        module = ModuleType("compiled")
        vars(module)["K"] = -5.0
        return module

    def test_conditions_constants_and_inputs_as_they_are_become_columns(self) -> None:
        compute = loop_over_columns(self.SOURCE, self.compiled())
        assert compute([None, 2.0], ["a", "b"], [0, 0]) == ([-5.0, 3.0], ["a", "b"], [None, None])

    @pytest.mark.parametrize(
        "source",
        [
            "def other(c0):\n    return (c0,)",
            "def compute(c0):\n    if c0:\n        return (c0,)\n    return (None,)",
            "def compute(c0):\n    return c0",
            "def compute(c0):\n    pass",
        ],
    )
    def test_code_of_another_shape_is_refused(self, source: str) -> None:
        with pytest.raises(ValueError, match=r".+"):
            loop_over_columns(source, self.compiled())

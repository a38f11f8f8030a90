"""The packaged model: raw rows in, predictions out, with the feature computation inside.

MLflow logs this very file (models from code), so it must stay self-contained: it imports the standard library,
numpy, pandas, duckdb, xgboost and mlflow.pyfunc, and nothing of this repository. Beside it lie ``model.ubj``
(XGBoost), ``features.json`` (inputs, feature SQL, categories) and, for a model with a feature module, its source.
Training encodes its matrices with the same functions, so that there is one way from features to numbers.
"""

import difflib
import json
import math
import types
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import mlflow.models
import numpy as np
import numpy.typing as npt
import pandas as pd
import xgboost
from mlflow.pyfunc.model import PythonModel, PythonModelContext

Matrix = npt.NDArray[np.float32]
Values = npt.NDArray[Any]

PREFIX = "feature_"
SQL_TYPES = {
    "string": "VARCHAR",
    "integer": "BIGINT",
    "number": "DOUBLE",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
}
_EXPECTED = {
    "string": "text",
    "integer": "a whole number of 64 bits",
    "number": "a number",
    "boolean": "true or false",
    "timestamp": "an ISO 8601 date and time such as 2013-10-01T05:00:00",
}
_INTEGERS = range(-(2**63), 2**63)


class InputError(ValueError):
    """A row cannot be read: says which row (counted from 0), which field, and what was expected.

    :param row: number of the row in the request, None if the whole input is meant.
    :param field: name of the column, None if the whole row is meant.
    """

    def __init__(self, problem: str, *, row: int | None = None, field: str | None = None) -> None:
        where = [f"row {row}"] if row is not None else []
        where += [f"field {field!r}"] if field is not None else []
        super().__init__(f"{', '.join(where)}: {problem}" if where else problem)
        self.row = row
        self.field = field
        self.problem = problem


# ---- values of the declared types -----------------------------------------------------------------------------------


def is_null(value: object) -> bool:
    """Whether a value stands for null: None, NaN, NaT or pandas' NA."""
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, float | np.floating):
        return math.isnan(value)
    return isinstance(value, np.datetime64) and bool(np.isnat(value))


def _integer(value: Any) -> int:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError
    if value != int(value) or int(value) not in _INTEGERS:
        raise ValueError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError
    return float(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError
    return bool(value)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()
    return str(value)


def _timestamp(value: Any, zone: ZoneInfo) -> np.datetime64:
    """A local time without zone, to the microsecond; an aware value is brought to the source's zone first."""
    if isinstance(value, np.datetime64):
        local: np.datetime64 = value.astype("datetime64[us]")
        return local
    if isinstance(value, str):
        value = datetime.fromisoformat(value.strip())
    if isinstance(value, pd.Timestamp):
        value = value.to_pydatetime(warn=False)
    if not isinstance(value, date):
        raise TypeError
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # noqa: DTZ001 - local time without zone is meant
    if value.tzinfo is not None:
        value = value.astimezone(zone).replace(tzinfo=None)
    return np.datetime64(value, "us")


def _typed(values: Sequence[Any], kind: str, field: str, zone: ZoneInfo) -> list[Any]:
    """Each value as its declared type, null as None."""
    readers = {"string": _string, "integer": _integer, "number": _number, "boolean": _boolean}
    typed: list[Any] = []
    for row, value in enumerate(values):
        try:
            if is_null(value):
                typed.append(None)
            else:
                typed.append(_timestamp(value, zone) if kind == "timestamp" else readers[kind](value))
        except (TypeError, ValueError, OverflowError) as error:
            given = repr(value)
            shown = given if len(given) <= 60 else f"{given[:60]}…"
            raise InputError(f"expected {_EXPECTED[kind]} or null, got {shown}", row=row, field=field) from error
    return typed


def _already_typed(values: pd.Series, kind: str) -> bool:
    """Whether a column has its declared type as a whole, so that no value needs a look of its own."""
    code = values.dtype.kind if isinstance(values.dtype, np.dtype) else ""
    if kind == "timestamp":
        return code == "M"
    wanted = {"integer": "iu", "number": "fiu", "boolean": "b"}.get(kind, "")
    return bool(code) and code in wanted and values.dtype != np.dtype("uint64")


def column(values: pd.Series, kind: str, field: str, zone: ZoneInfo) -> Any:
    """One input column as an array that DuckDB reads as the declared type.

    :raises InputError: if a value is not of the type; names row and field.
    """
    if _already_typed(values, kind):
        plain = values.to_numpy()
        return plain.astype({"timestamp": "datetime64[us]", "integer": "int64", "number": "float64"}.get(kind, "bool"))
    typed = _typed(values.tolist(), kind, field, zone)
    if kind == "string":
        return np.array(typed, dtype=object)
    if kind == "timestamp":
        return np.array(typed, dtype="datetime64[us]")
    if kind == "number":
        return np.array([math.nan if value is None else value for value in typed], dtype="float64")
    return pd.array(typed, dtype="Int64" if kind == "integer" else "boolean")


# ---- features to numbers --------------------------------------------------------------------------------------------


def encode_feature(values: Iterable[Any] | Values, kind: str, categories: Sequence[str]) -> Matrix:
    """One feature column as float32: numbers as they are, booleans 0 and 1, categories as their place in the list.

    Null, NaN, unseen categories and what does not fit a finite float32 become NaN: missing.
    """
    if kind == "category":
        index = pd.Index(list(categories), dtype=object)
        codes = index.get_indexer(pd.Index(np.asarray(values, dtype=object), dtype=object)).astype(np.float32)
        codes[codes < 0] = np.nan
        return codes
    array = np.asarray(values)
    if array.dtype == object:
        array = np.array([math.nan if is_null(value) else float(value) for value in array], dtype=np.float64)
    with np.errstate(over="ignore"):
        numbers: Matrix = array.astype(np.float32)
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


def encode(columns: Mapping[str, Any] | pd.DataFrame, features: Sequence[Mapping[str, Any]]) -> Matrix:
    """The float32 matrix (rows × features) that XGBoost is trained on and predicts from.

    :param columns: values by column name (``feature_<name>``); a DataFrame will do.
    :param features: ``name``, ``type`` and, for categories, ``categories`` of each feature, in order.
    """
    encoded = [encode_feature(columns[PREFIX + f["name"]], f["type"], f.get("categories", ())) for f in features]
    return np.ascontiguousarray(np.column_stack(encoded), dtype=np.float32)


def probability_or_value(booster: xgboost.Booster, matrix: Matrix) -> npt.NDArray[np.float64]:
    """The booster's answers for an encoded matrix, as float64 of the exact float32 values."""
    if len(matrix) == 0:
        return np.empty(0, dtype=np.float64)
    return np.asarray(booster.inplace_predict(matrix), dtype=np.float32).astype(np.float64).reshape(-1)


def _open_connection() -> duckdb.DuckDBPyConnection:
    """DuckDB in memory on one thread: no files, no extensions, no changing of that."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": 1,
            "enable_external_access": False,
            "autoload_known_extensions": False,
            "autoinstall_known_extensions": False,
            "allow_community_extensions": False,
        },
    )
    for statement in (
        "SET GLOBAL TimeZone = 'UTC'",
        "SET python_enable_replacements = false",
        "SET lock_configuration = true",
    ):
        connection.execute(statement)
    return connection


def _plain(values: Any) -> Values:
    """A column that DuckDB fetched, with nulls as NaN (numbers) or None (everything else)."""
    if not isinstance(values, np.ma.MaskedArray):
        return np.asarray(values)
    if values.dtype.kind == "f":
        return values.filled(np.nan)
    plain: Values = values.data.astype(object)
    plain[np.ma.getmaskarray(values)] = None
    return plain


def _as_offline(values: pd.Series) -> pd.Series:
    """A column in the pandas type that a feature module sees offline, where Arrow made it."""
    if isinstance(values.dtype, pd.Int64Dtype):
        return values.astype("float64" if values.hasnans else "int64")
    if isinstance(values.dtype, pd.BooleanDtype):
        return values.astype(object).where(values.notna(), None) if values.hasnans else values.astype("bool")
    return values.astype("str") if values.dtype == object else values


class TabularModel(PythonModel):
    """A trained model with its feature computation.

    ``predict`` takes a DataFrame of raw rows (MLflow's way), ``predict_rows`` a list of JSON rows (the server's way).
    Both go through the same typed columns, the same SQL and the same matrix, so that their answers are equal bit by
    bit, alone or in a batch. Safe to call from several threads.
    """

    InputError = InputError

    def load_context(self, context: PythonModelContext) -> None:
        """Load from the artifacts that MLflow hands over."""
        self._load({name: Path(path) for name, path in context.artifacts.items()})

    @classmethod
    def open(cls, directory: Path) -> "TabularModel":
        """Load from a folder with ``model.ubj`` and ``features.json``, without MLflow."""
        model = cls()
        model._load({path.stem: path for path in Path(directory).iterdir() if path.is_file()})
        return model

    def _load(self, files: Mapping[str, Path]) -> None:
        self.description: dict[str, Any] = json.loads(files["features"].read_text(encoding="utf-8"))
        self.columns: dict[str, str] = self.description["columns"]
        self.features: list[dict[str, Any]] = self.description["features"]
        self._zone = ZoneInfo(self.description["time_zone"])
        self._booster = xgboost.Booster({"nthread": 1})
        self._booster.load_model(bytearray(files["model"].read_bytes()))
        self._compute: Any = None
        if self.description.get("feature_module"):
            module = types.ModuleType("noria_feature_module")
            code = compile(files["feature_module"].read_text(encoding="utf-8"), "feature_module.py", "exec")
            exec(code, module.__dict__)  # noqa: S102 - the definition's own feature module, packaged with the model
            self._compute = module.compute
        self._connection = _open_connection()
        casts = (
            f"CAST({_quoted(name)} AS {SQL_TYPES[kind]}) AS {_quoted(name)}" for name, kind in self.columns.items()
        )
        self._query = f"SELECT {self.description['select']} FROM (SELECT {', '.join(casts)} FROM raw_rows)"  # noqa: S608

    # -- the two ways in --

    def predict(
        self,
        context: Any,  # noqa: ARG002 - MLflow's signature
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Predictions for a DataFrame of raw rows; columns that no feature needs are ignored.

        :returns: DataFrame with the column ``prediction``: probability (binary) or value (regression).
        :raises InputError: if a column is missing or a value has the wrong type.
        """
        return pd.DataFrame({"prediction": self.predict_frame(model_input)}, index=model_input.index)

    def predict_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
        """Predictions for JSON rows: every input column must be there (null is allowed), and no other.

        :raises InputError: names row and field.
        """
        for number, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise InputError(f"expected an object with fields, got {type(row).__name__}", row=number)
            if row.keys() != self.columns.keys():
                self._refuse_fields(number, row)
        frame = {
            name: self._column(pd.Series([row[name] for row in rows], dtype=object), name) for name in self.columns
        }
        return [float(value) for value in self._predict_columns(frame, len(rows))]

    def predict_frame(self, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Predictions for a DataFrame of raw rows, as an array in the same order.

        :raises InputError: if a column is missing or a value has the wrong type.
        """
        missing = [name for name in self.columns if name not in frame.columns]
        if missing:
            raise InputError(
                f"missing columns: {', '.join(missing)}; every input column must be there, null is allowed"
            )
        return self._predict_columns({name: self._column(frame[name], name) for name in self.columns}, len(frame))

    # -- what both share --

    def compute_features(self, frame: pd.DataFrame) -> dict[str, Values]:
        """Feature columns (``feature_<name>``) of a DataFrame of raw rows, before they become a matrix."""
        return self._features({name: self._column(frame[name], name) for name in self.columns}, len(frame))

    def _column(self, values: pd.Series, name: str) -> Any:
        return column(values, self.columns[name], name, self._zone)

    def _predict_columns(self, columns: Mapping[str, Any], rows: int) -> npt.NDArray[np.float64]:
        if rows == 0:
            return np.empty(0, dtype=np.float64)
        return probability_or_value(self._booster, encode(self._features(columns, rows), self.features))

    def _features(self, columns: Mapping[str, Any], rows: int) -> dict[str, Values]:
        frame = pd.DataFrame(dict(columns), index=pd.RangeIndex(rows))
        if self._compute is not None:
            return self._module_features(frame)
        cursor = self._connection.cursor()
        try:
            cursor.register("raw_rows", frame)
            fetched = cursor.execute(self._query).fetchnumpy()
        finally:
            cursor.close()
        return {name: _plain(values) for name, values in fetched.items()}

    def _module_features(self, frame: pd.DataFrame) -> dict[str, Values]:
        inputs = {name: _as_offline(frame[name]) for name in self.description["feature_module"]["inputs"]}
        computed = self._compute(pd.DataFrame(inputs, index=frame.index))
        return {PREFIX + f["name"]: computed[f["name"]].to_numpy() for f in self.features}

    def _refuse_fields(self, number: int, row: Mapping[str, Any]) -> None:
        for name in self.columns:
            if name not in row:
                raise InputError("is missing; null is allowed", row=number, field=name)
        for name in row:
            if name not in self.columns:
                close = difflib.get_close_matches(str(name), self.columns, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise InputError(f"is no input of this model{hint}", row=number, field=str(name))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


mlflow.models.set_model(TabularModel())

"""The packaged model: raw rows in, predictions out, with the feature computation inside.

MLflow logs this very file (models from code), so it must stay self-contained: it imports the standard library,
numpy, pandas, duckdb, xgboost and mlflow.pyfunc, and nothing of this repository. Beside it lie ``model.ubj``
(XGBoost), ``features.json`` (inputs, feature SQL, categories, limits), ``row_path.py``, ``row_reader.py`` and
``row_batch.py`` (the short way for a few rows), ``compiled_features.py`` if the feature SQL could be compiled and was
proven equal, and, for a model with a feature module, its source. A model of another trainer has, for ``model.ubj``,
what ``estimators.py`` beside it opens. Training encodes its matrices with the same functions, so that there is one way
from features to numbers.
"""

import json
import math
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    "number": "a finite number",
    "boolean": "true or false",
    "timestamp": "an ISO 8601 date and time such as 2013-10-01T05:00:00",
}
_INTEGERS = range(-(2**63), 2**63)
#: Up to here the compiled features are faster than DuckDB, which costs some milliseconds a call.
COMPILED_ROWS = 256
#: Beyond it rows are read and computed column by column.
FEW_ROWS = 1


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


def _timestamp(value: Any, zone: ZoneInfo) -> datetime | np.datetime64:
    """A local time without zone, to the microsecond; an aware value is brought to the source's zone first.

    It is a datetime, except for years that Python's datetime does not have.
    """
    if isinstance(value, np.datetime64):
        far = value.astype("datetime64[us]")
        plain = far.item()
        return plain if isinstance(plain, datetime) else far
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
    local: datetime = value
    return local


_READERS: dict[str, Callable[[Any], Any]] = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
}


def typed_value(value: Any, kind: str, zone: ZoneInfo) -> Any:
    """A value as its declared type, null as None.

    :raises TypeError, ValueError, OverflowError: if it is not of the type.
    """
    if is_null(value):
        return None
    return _timestamp(value, zone) if kind == "timestamp" else _READERS[kind](value)


def _typed(values: Sequence[Any], kind: str, field: str, zone: ZoneInfo) -> list[Any]:
    """Each value as its declared type, null as None."""
    typed: list[Any] = []
    for row, value in enumerate(values):
        try:
            typed.append(typed_value(value, kind, zone))
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
    return _array(_typed(values.tolist(), kind, field, zone), kind)


def _array(typed: list[Any], kind: str) -> Any:
    """Values of a declared type as an array that DuckDB reads as that type."""
    if kind == "string":
        return np.array(typed, dtype=object)
    if kind == "timestamp":
        return np.array(typed, dtype="datetime64[us]")
    if kind == "number":
        return np.array([math.nan if value is None else value for value in typed], dtype="float64")
    return pd.array(typed, dtype="Int64" if kind == "integer" else "boolean")


# ---- features to numbers --------------------------------------------------------------------------------------------


def encode_feature(
    values: Iterable[Any] | Values, kind: str, categories: Sequence[str], clean: Mapping[str, Any] | None = None
) -> Matrix:
    """One feature column as float32: numbers as they are, booleans 0 and 1, categories as their place in the list.

    Null, NaN, unseen categories and what does not fit a finite float32 become NaN: missing.

    :param clean: bounds of outliers and what stands for a missing value, as ``features.json`` says; row by row the
        same as ``make_cleaner`` of ``row_path.py``.
    """
    fill = (clean or {}).get("fill")
    if kind == "category":
        texts = np.asarray(values, dtype=object)
        if fill is not None:
            texts = np.where(pd.isna(texts), fill, texts)
        index = pd.Index(list(categories), dtype=object)
        codes = index.get_indexer(pd.Index(texts, dtype=object)).astype(np.float32)
        codes[codes < 0] = np.nan
        return codes
    array = _float_array(values)
    if clean:
        array = clipped(array.astype(np.float64), clean)
    with np.errstate(over="ignore"):
        numbers: Matrix = array.astype(np.float32)
    numbers[~np.isfinite(numbers)] = np.nan if fill is None else fill
    return numbers


def encode_flag(values: Values, feature: Mapping[str, Any], flag: str) -> Matrix:
    """What cleaning says of a feature's values, as 1 and 0: that one is ``missing``, or an ``outlier``."""
    if feature["type"] == "category":
        return np.asarray(pd.isna(np.asarray(values, dtype=object)), dtype=np.float32)
    clean = feature["clean"]
    if flag == "missing":
        without_fill = {key: value for key, value in clean.items() if key != "fill"}
        return np.asarray(np.isnan(encode_feature(values, feature["type"], (), without_fill)), dtype=np.float32)
    numbers = _float_array(values).astype(np.float64)
    outside = (numbers < clean.get("low", -math.inf)) | (numbers > clean.get("high", math.inf))
    return np.asarray(outside, dtype=np.float32)


def clipped(numbers: npt.NDArray[np.float64], clean: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    """Numbers with outliers brought to their bound, unless the rule keeps them; NaN stays."""
    if clean.get("keep"):
        return numbers
    low, high = clean.get("low", -math.inf), clean.get("high", math.inf)
    inside = np.where(numbers < low, low, numbers)
    return np.where(inside > high, high, inside)


def _float_array(values: Iterable[Any] | Values) -> Values:
    array = np.asarray(values)
    if array.dtype != object:
        return array
    return np.array([math.nan if is_null(value) else float(value) for value in array], dtype=np.float64)


def encode(columns: Mapping[str, Any] | pd.DataFrame, features: Sequence[Mapping[str, Any]]) -> Matrix:
    """The float32 matrix (rows × features) that XGBoost is trained on and predicts from.

    :param columns: values by column name (``feature_<name>``); a DataFrame will do.
    :param features: ``name``, ``type`` and, for categories, ``categories`` of each feature, in order; how it is
        cleaned (``clean``); last the inputs that cleaning adds, each with ``flag`` and the feature that it is ``of``.
    """
    by_name = {feature["name"]: feature for feature in features}
    encoded = [
        encode_flag(columns[PREFIX + f["of"]], by_name[f["of"]], f["flag"])
        if "of" in f
        else encode_feature(columns[PREFIX + f["name"]], f["type"], f.get("categories", ()), f.get("clean"))
        for f in features
    ]
    return np.ascontiguousarray(np.column_stack(encoded), dtype=np.float32)


def probability_or_value(booster: xgboost.Booster, matrix: Matrix) -> npt.NDArray[np.float64]:
    """The booster's answers for an encoded matrix, as float64 of the exact float32 values.

    :returns: shape (rows,); of several classes their probabilities, shape (rows, classes). Empty without rows.
    """
    if len(matrix) == 0:
        return np.empty(0, dtype=np.float64)
    answers = np.asarray(booster.inplace_predict(matrix), dtype=np.float32).astype(np.float64)
    return answers if answers.ndim == 2 and answers.shape[1] > 1 else answers.reshape(-1)


def likeliest(probabilities: Any) -> npt.NDArray[np.intp]:
    """The place of the class with the greatest probability; of equal ones the first.

    :param probabilities: shape (rows, classes).
    """
    places: npt.NDArray[np.intp] = np.asarray(probabilities).argmax(axis=1)
    return places


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


def _load_code(name: str, path: Path) -> Any:
    """A packaged source file as a module that nothing else can import, so that two versions do not mix."""
    module = types.ModuleType(f"noria_{name}")
    code = compile(path.read_text(encoding="utf-8"), path.name, "exec")
    exec(code, module.__dict__)  # nosec B102 # the model's own code, which its artifact digest covers
    return module


class TabularModel(PythonModel):
    """A trained model with its feature computation.

    ``predict`` takes a DataFrame of raw rows (MLflow's way), ``predict_rows`` a list of JSON rows and
    ``predict_columns`` columns (the server's ways, which hold values against the definition's limits). A few rows go
    through the compiled features if they were proven equal, everything else through DuckDB; all answers are equal bit
    by bit, alone or in a batch. Safe to call from several threads.
    """

    InputError = InputError
    #: Required inputs and their types, in order.
    columns: dict[str, str]
    #: The classes whose probabilities an answer holds, in order; empty if an answer is one number.
    classes: list[str]
    #: Columns that identify a row, and their types; those that are no inputs may come in a row, and are checked.
    entity: dict[str, str]

    def load_context(self, context: PythonModelContext) -> None:
        """Load from the artifacts that MLflow hands over."""
        self._load({name: Path(path) for name, path in context.artifacts.items()})

    @classmethod
    def open(cls, directory: Path) -> "TabularModel":
        """Load from a folder with the package's files, without MLflow."""
        model = cls()
        model._load({path.stem: path for path in Path(directory).iterdir()})
        return model

    def _load(self, files: Mapping[str, Path]) -> None:
        self.description: dict[str, Any] = json.loads(files["features"].read_text(encoding="utf-8"))
        self.columns = self.description["columns"]
        self.features: list[dict[str, Any]] = self.description["features"]
        self.classes = list(self.description.get("classes") or ())
        self._zone = ZoneInfo(self.description["time_zone"])
        self._load_estimator(files)
        self._compute: Any = None
        if self.description.get("feature_module"):
            self._compute = _load_code("feature_module", files["feature_module"]).compute
        self._load_row_path(files)
        self._connection = _open_connection()
        casts = (
            f"CAST({_quoted(name)} AS {SQL_TYPES[kind]}) AS {_quoted(name)}" for name, kind in self.columns.items()
        )
        self._query = f"SELECT {self.description['select']} FROM (SELECT {', '.join(casts)} FROM raw_rows)"  # nosec B608

    def _load_estimator(self, files: Mapping[str, Path]) -> None:
        """XGBoost's booster, or the estimator of another trainer."""
        self._estimator: Any = None
        said = self.description.get("estimator")
        if said is None:
            self._booster = xgboost.Booster({"nthread": 1})
            self._booster.load_model(bytearray(files["model"].read_bytes()))
        else:
            code = _load_code("estimators", files["estimators"])
            self._estimator = code.open_estimator(said["kind"], files, _load_code)

    def _load_row_path(self, files: Mapping[str, Path]) -> None:
        """The short way for a few rows; a folder of an older package takes the code that lies beside this file."""
        path, reader, batch = (
            _load_code(name, files.get(name) or Path(__file__).with_name(f"{name}.py"))
            for name in ("row_path", "row_reader", "row_batch")
        )
        self._path = path
        serving = self.description.get("serving") or {}
        self.entity = dict(serving.get("entity") or {})
        self._limits = {name: reader.Limit(limit) for name, limit in (serving.get("limits") or {}).items()}
        self._refuses_unseen = serving.get("unseen_categories") == "refuse"
        self._reader = reader.RowReader(
            self.columns,
            self.entity,
            limits=self._limits,
            convert=lambda value, kind: typed_value(value, kind, self._zone),
            expected=_EXPECTED,
            refuse=InputError,
        )
        self._columns_of = batch.ColumnReader(self.columns, self.entity, self._limits)
        self._encode_any = self._path.make_encoder(self.features, refuse_unseen=False)
        self._encode_strictly = self._path.make_encoder(self.features, refuse_unseen=self._refuses_unseen)
        self._direct: Any = None if self._estimator else self._path.direct_booster(self._booster, self.features)
        self._compiled: Any = None
        self._batch: Any = None
        if (self.description.get("compiled") or {}).get("admitted") and "compiled_features" in files:
            compiled = _load_code("compiled_features", files["compiled_features"])
            self._compiled = compiled.compute
            self._batch = self._batch_encoder(batch, files["compiled_features"], compiled)

    def _batch_encoder(self, batch: Any, source: Path, compiled: Any) -> Any:
        """The loop over columns, None if the direct way to the booster or the loop is not to be had."""
        if self._direct is None or not self.columns:
            return None
        try:
            numbers = self._path.column_functions(self.features, refuse_unseen=False)
            return batch.BatchEncoder(source.read_text(encoding="utf-8"), compiled, self.features, numbers)
        except (ValueError, SyntaxError):
            return None

    # -- the ways in --

    def predict(
        self,
        context: Any,  # noqa: ARG002 - MLflow's signature
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Predictions for a DataFrame of raw rows; columns that no feature needs are ignored.

        :returns: DataFrame with the column ``prediction``: probability (binary) or value (regression); of several
            classes the likeliest one, and columns ``probability_<class>``.
        :raises InputError: if a column is missing or a value has the wrong type.
        """
        answers = self.predict_frame(model_input)
        if not self.classes:
            return pd.DataFrame({"prediction": answers}, index=model_input.index)
        answers = answers.reshape(len(model_input), len(self.classes))
        columns: dict[str, Any] = {"prediction": np.array(self.classes, dtype=object)[likeliest(answers)]}
        columns |= {f"probability_{name}": answers[:, place] for place, name in enumerate(self.classes)}
        return pd.DataFrame(columns, index=model_input.index)

    def predict_frame(self, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Predictions for a DataFrame of raw rows, as an array in the same order; limits are not applied.

        :returns: shape (rows,); of several classes their probabilities, shape (rows, classes).
        :raises InputError: if a column is missing or a value has the wrong type.
        """
        missing = [name for name in self.columns if name not in frame.columns]
        if missing:
            raise InputError(
                f"missing columns: {', '.join(missing)}; every input column must be there, null is allowed"
            )
        return self._predict_columns({name: self._column(frame[name], name) for name in self.columns}, len(frame))

    def predict_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """Predictions for JSON rows: every input column must be there (null is allowed), entity columns may be.

        :returns: for each row a float; of several classes the list of their probabilities.
        Numbers must be finite, values within the definition's limits.

        :raises InputError: names row and field, and says what is allowed.
        """
        if self._takes_batch(len(rows)):
            columns = self._columns_of.read(rows)
            answers = None if columns is None else self._batch_answers(columns)
            if answers is not None:
                return answers
        return self._answers(self._reader.read_rows(rows))

    def predict_columns(self, columns: Mapping[str, Any], *, strict: bool = True) -> list[Any]:
        """Predictions for columns of equal length: lists of JSON values, or numpy arrays (there NaN and NaT are null).

        Many rows in typed arrays are never taken apart.

        :param strict: as for :meth:`predict_rows`; else extra columns and values outside of limits are taken.
        :raises InputError: names row and field, and says what is allowed.
        """
        if not strict:
            frame = pd.DataFrame({name: pd.Series(columns[name]) for name in self.columns if name in columns})
            return _floats(self.predict_frame(frame))
        self._reader.check_names(columns, None)
        rows = self._same_length(columns)
        whole = all(isinstance(values, np.ndarray) and values.dtype != object for values in columns.values())
        if rows <= COMPILED_ROWS or not whole:
            plain = [_plain_values(values) for values in columns.values()]
            return self.predict_rows([dict(zip(columns, row, strict=True)) for row in zip(*plain, strict=True)])
        arrays = {name: self._checked_column(values, name) for name, values in columns.items()}
        return _floats(self._predict_columns({name: arrays[name] for name in self.columns}, rows, strict=True))

    def predict_typed(self, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Predictions for rows of values in the columns' order that have their declared types (times as datetime).

        Neither limits nor unseen categories are refused; used to prove the short way against the long one.
        """
        if self._takes_batch(len(rows)):
            answers = self._batch_answers(list(zip(*rows, strict=True)), strict=False)
            if answers is not None:
                return answers
        return self._answers([list(row) for row in rows], strict=False)

    def explain_rows(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What each feature adds to the answer (XGBoost's SHAP values), for JSON rows as :meth:`predict_rows` takes.

        :returns: ``scale`` (``log-odds`` or ``value``), ``base`` (what the model answers on average, on that scale),
            ``contributions`` (for each row feature → number; with ``base`` they sum up to the answer on that scale)
            and ``predictions``. Of several classes the likeliest one of each row is explained: ``scale`` is
            ``score`` (of that class before softmax), ``base`` is by class.
        :raises InputError: names row and field.
        """
        read = self._reader.read_rows(rows)
        matrix = self._matrix(self._arrays(read), len(read), strict=True)
        names = [feature["name"] for feature in self.features]
        if self._estimator is not None:
            return self._explain_estimator(matrix, names)
        kinds = ["c" if feature["type"] == "category" else "q" for feature in self.features]
        table = xgboost.DMatrix(matrix, feature_names=names, feature_types=kinds, enable_categorical=True, nthread=1)
        shares = self._booster.predict(table, pred_contribs=True).astype(np.float64)
        answers = probability_or_value(self._booster, matrix)
        scale = "log-odds" if self.description["task"] == "binary_classification" else "value"
        base: Any = None
        if self.classes:
            bases = [float(shares[0, place, -1]) if len(read) else None for place in range(len(self.classes))]
            scale, base = "score", dict(zip(self.classes, bases, strict=True))
            shares = shares[np.arange(len(read)), likeliest(answers)] if len(read) else shares
        elif len(read):
            base = float(shares[0, -1])
        return {
            "scale": scale,
            "base": base,
            "contributions": [dict(zip(names, row[:-1].tolist(), strict=True)) for row in shares],
            "predictions": answers.tolist(),
        }

    @property
    def explains(self) -> bool:
        """Whether :meth:`explain_rows` is to be had; a model of a team's own trainer says nothing of its inside."""
        return self._estimator is None or bool(self._estimator.explains)

    def _explain_estimator(self, matrix: Matrix, names: list[str]) -> dict[str, Any]:
        base, shares = self._estimator.explain(matrix)
        if self.classes:
            answers = self._predict_matrix(matrix)
            of_class = (
                [row[:, place] for row, place in zip(shares, likeliest(answers), strict=True)] if len(matrix) else []
            )
            return {
                "scale": "score",
                "base": dict(zip(self.classes, base.tolist(), strict=True)),
                "contributions": [dict(zip(names, row.tolist(), strict=True)) for row in of_class],
                "predictions": _floats(answers),
            }
        return {
            "scale": "log-odds" if self.description["task"] == "binary_classification" else "value",
            "base": float(base[0]) if len(matrix) else None,
            "contributions": [dict(zip(names, row[:, 0].tolist(), strict=True)) for row in shares],
            "predictions": _floats(self._predict_matrix(matrix)),
        }

    # -- what both share --

    def compute_features(self, frame: pd.DataFrame) -> dict[str, Values]:
        """Feature columns (``feature_<name>``) of a DataFrame of raw rows, before they become a matrix."""
        return self._features({name: self._column(frame[name], name) for name in self.columns}, len(frame))

    def _column(self, values: pd.Series, name: str) -> Any:
        return column(values, self.columns[name], name, self._zone)

    def _takes_batch(self, rows: int) -> bool:
        return self._batch is not None and FEW_ROWS < rows <= COMPILED_ROWS

    def _batch_answers(self, columns: Sequence[Sequence[Any]], *, strict: bool = True) -> list[Any] | None:
        """Predictions for typed columns by the loop over them; None if a row among them must go another way."""
        matrix = self._batch.encode(columns, refuse_unseen=strict and self._refuses_unseen)
        return None if matrix is None else list(self._direct.predict_matrix(matrix))

    def _answers(self, rows: list[list[Any]], *, strict: bool = True) -> list[Any]:
        """Predictions for typed values: compiled for a few rows, by DuckDB where that is not to be had."""
        if self._compiled is not None and len(rows) <= COMPILED_ROWS:
            encoded = self._encode_compiled(rows, self._encode_strictly if strict else self._encode_any)
            if encoded is not None:
                if self._direct is not None and len(encoded) == 1:
                    return [self._direct.predict(encoded[0])]
                matrix = np.array(encoded, dtype=np.float32).reshape(len(rows), len(self.features))
                return _floats(self._predict_matrix(matrix))
        return _floats(self._predict_columns(self._arrays(rows), len(rows), strict=strict))

    def _encode_compiled(self, rows: list[list[Any]], encode_row: Callable[[Any], Any]) -> list[list[float]] | None:
        """The rows' numbers by the compiled features; None if one of them is DuckDB's to compute or to refuse."""
        encoded = []
        for number, values in enumerate(rows):
            try:
                features = self._compiled(*values)
            except Exception:  # noqa: BLE001 - whatever the compiled form cannot do exactly, it raises for
                return None
            try:
                encoded.append(encode_row(features))
            except self._path.UnseenCategory as unseen:
                raise self._unseen(unseen, number) from unseen
        return encoded

    def _arrays(self, rows: list[list[Any]]) -> dict[str, Any]:
        """Checked values by column, as DuckDB reads them."""
        return {
            name: _array([row[place] for row in rows], kind) for place, (name, kind) in enumerate(self.columns.items())
        }

    def _predict_columns(
        self, columns: Mapping[str, Any], rows: int, *, strict: bool = False
    ) -> npt.NDArray[np.float64]:
        return self._predict_matrix(self._matrix(columns, rows, strict=strict))

    def _predict_matrix(self, matrix: Matrix) -> npt.NDArray[np.float64]:
        """The answers for encoded rows."""
        if self._estimator is None:
            return probability_or_value(self._booster, matrix)
        answers: npt.NDArray[np.float64] = self._estimator.predict(matrix)
        return answers

    def _matrix(self, columns: Mapping[str, Any], rows: int, *, strict: bool) -> Matrix:
        """The encoded features of typed columns.

        :param strict: refuse unseen categories if the definition says so.
        """
        if rows == 0:
            return np.empty((0, len(self.features)), dtype=np.float32)
        computed = self._features(columns, rows)
        matrix = encode(computed, self.features)
        if strict and self._refuses_unseen:
            self._check_seen(computed, matrix)
        return matrix

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
        return {PREFIX + f["name"]: computed[f["name"]].to_numpy() for f in self.features if "of" not in f}

    def _check_seen(self, computed: Mapping[str, Values], matrix: Matrix) -> None:
        for place, feature in enumerate(self.features):
            if feature["type"] == "category":
                values = computed[PREFIX + feature["name"]]
                for row in np.flatnonzero(np.isnan(matrix[:, place])):
                    if not is_null(values[row]):
                        raise self._unseen(self._path.UnseenCategory(place, values[row]), int(row))

    def _unseen(self, unseen: Any, row: int) -> ValueError:
        """The refusal of a category that training has not seen; it names the column if the feature reads only one."""
        feature = self.features[unseen.place]
        reads = feature.get("reads") or []
        of = "" if reads == [feature["name"]] else f" (feature {feature['name']})"
        seen = ", ".join(repr(value) for value in feature["categories"][:12])
        more = len(feature["categories"]) - 12
        listed = f"{seen} and {more} others" if more > 0 else seen
        return InputError(
            f"{unseen}{of}; it knows {listed}, and null", row=row, field=reads[0] if len(reads) == 1 else None
        )

    def _checked_column(self, values: Values, name: str) -> Any:
        """One column as an array that DuckDB reads, with its limit checked."""
        kind = {**self.columns, **self.entity}[name]
        array = column(pd.Series(values), kind, name, self._zone)
        plain = np.asarray(array)
        if kind == "number":
            infinite = np.flatnonzero(np.isinf(plain))
            if len(infinite):
                row = int(infinite[0])
                raise InputError(f"expected {_EXPECTED[kind]} or null, got {plain[row]}", row=row, field=name)
        if name in self._limits:
            row = self._limits[name].first_outside(plain, np.asarray(pd.isna(array)))
            if row is not None:
                raise InputError(self._limits[name].problem(plain[row].item()), row=row, field=name)
        return array

    def _same_length(self, columns: Mapping[str, Any]) -> int:
        lengths = {name: len(values) for name, values in columns.items()}
        first, rows = next(iter(lengths.items()), ("", 0))
        for name, length in lengths.items():
            if length != rows:
                raise InputError(f"has {length} values, {first!r} has {rows}", field=name)
        return rows


def _floats(predictions: npt.NDArray[np.float64]) -> list[Any]:
    found: list[Any] = predictions.tolist()
    return found


def _plain_values(values: Any) -> list[Any]:
    """A column as a list; nulls of an array (NaN, NaT) as None."""
    if not isinstance(values, np.ndarray):
        return list(values)
    if values.dtype.kind in "Mm":  # the list of nanoseconds would be one of numbers
        return [None if np.isnat(value) else value for value in values]
    plain: list[Any] = values.tolist()
    if values.dtype.kind not in "fO":
        return plain
    return [None if value is not None and is_null(value) else value for value in plain]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


mlflow.models.set_model(TabularModel())

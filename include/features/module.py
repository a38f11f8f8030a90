"""The way out: features from a Python file with ``compute(frame) -> frame``, run in a namespace of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd

from include.features.errors import FeatureModuleFailed
from include.spec.definition import FeatureModule, FeatureType

Compute = Callable[[pd.DataFrame], pd.DataFrame]


def load_compute(path: Path) -> Compute:
    """Execute the file as a module that nothing else can import, and return its ``compute``.

    :raises FeatureModuleFailed: if it cannot be read or executed, or has no such function.
    """
    module = ModuleType(f"noria_feature_module_{path.stem}")
    module.__file__ = str(path)
    try:
        code = compile(path.read_text(), str(path), "exec")
        exec(code, module.__dict__)  # nosec B102 # the definition's author asked for exactly this
    except Exception as error:
        raise FeatureModuleFailed(path, f"cannot be executed: {type(error).__name__}: {error}") from error
    compute = module.__dict__.get("compute")
    if not callable(compute):
        raise FeatureModuleFailed(path, "has no function `compute(frame)`; write one that returns the feature columns.")
    found: Compute = compute
    return found


def run_compute(compute: Compute, path: Path, spec: FeatureModule, rows: pd.DataFrame) -> pd.DataFrame:
    """The features of these rows, checked: exactly the declared columns, one row for each input row, right types.

    :param rows: the declared input columns; the module gets a copy.
    :returns: numeric columns as float64, categories as object (str or None), booleans as object (bool or None).
    :raises FeatureModuleFailed: if it raises an error or returns something else.
    """
    try:
        result = compute(rows[spec.inputs].copy())
    except Exception as error:
        raise FeatureModuleFailed(path, f"compute failed: {type(error).__name__}: {error}") from error
    if not isinstance(result, pd.DataFrame):
        raise FeatureModuleFailed(path, f"compute returned a {type(result).__name__}, not a pandas.DataFrame.")
    if set(result.columns) != set(spec.columns) or len(result.columns) != len(spec.columns):
        found, wanted = sorted(map(str, result.columns)), sorted(spec.columns)
        raise FeatureModuleFailed(path, f"compute returned the columns {found}, declared are {wanted}.")
    if len(result) != len(rows):
        raise FeatureModuleFailed(path, f"compute returned {len(result)} rows for {len(rows)}; it must keep every row.")
    if not result.index.equals(rows.index):
        raise FeatureModuleFailed(path, "compute changed the index; it must keep the rows' order and index.")
    return pd.DataFrame({name: _checked(path, name, kind, result[name]) for name, kind in spec.columns.items()})


def _checked(path: Path, name: str, kind: FeatureType, column: pd.Series[Any]) -> pd.Series[Any]:
    missing = column.isna()
    values = column.astype(object).where(~missing, None)
    present = values[~missing]
    if kind == "numeric" and pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.astype("float64")
    allowed: dict[FeatureType, Callable[[object], bool]] = {
        "category": lambda value: isinstance(value, str),
        "boolean": pd.api.types.is_bool,
        "numeric": lambda value: pd.api.types.is_number(value) and not pd.api.types.is_bool(value),
    }
    wrong = present[~present.map(allowed[kind]).astype(bool)]
    if len(wrong):
        raise FeatureModuleFailed(
            path, f"column {name} is declared {kind}, but row {wrong.index[0]} holds {wrong.iloc[0]!r}."
        )
    return values.astype("float64") if kind == "numeric" else values

"""Compiles a package's features and proves them on the holdout before they become part of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from include.features.compiled.compiler import compile_features
from include.features.compiled.edges import Row
from include.features.compiled.proof import Admission, prove
from include.features.compiled.values import NotCompiled
from include.training.package import add_compiled
from include.training.packaged_model import PREFIX, SQL_TYPES, TabularModel, typed_value

_log = logging.getLogger(__name__)
_HOLDOUT_ROWS: Final = 3000
_NOT_ADMITTED: Final = {"admitted": False, "rows": 0}


def compile_package(package: Path, description: Mapping[str, Any], inputs: pd.DataFrame) -> dict[str, Any]:
    """Add compiled features to a written package if they are proven equal; returns what ``features.json`` says now.

    :param package: the written package, without compiled features.
    :param description: content of ``features.json``.
    :param inputs: raw input columns of the holdout rows; up to some thousands, spread evenly, are compared.
    """
    rows = typed_rows(inputs, description["columns"], ZoneInfo(description["time_zone"]))
    source, compiled = _compile(package, description, rows)
    add_compiled(package, description, source, compiled)
    if source is not None and rows:
        model = TabularModel.open(package)
        alone = [model.predict_typed([row])[0] for row in rows]
        some = [
            answer for begin in range(0, len(rows), 100) for answer in model.predict_typed(rows[begin : begin + 100])
        ]
        if not alone == some == _batch(model, rows):
            compiled = {**_NOT_ADMITTED, "reason": "A row alone is answered otherwise than in a batch."}
            add_compiled(package, description, None, compiled)
    _log.info("Compiled features: %s", compiled["reason"] or f"equal on {compiled['rows']} rows")
    return {**description, "compiled": compiled}


def _compile(package: Path, description: Mapping[str, Any], rows: Sequence[Row]) -> tuple[str | None, dict[str, Any]]:
    """Source of the compiled features, None if they are not admitted, and what is to be said of it."""
    if description["feature_module"] is not None:
        return None, {**_NOT_ADMITTED, "reason": "The features are computed by a Python module."}
    columns = description["columns"]
    names = [PREFIX + feature["name"] for feature in description["features"] if "of" not in feature]
    try:
        source = compile_features(
            {name: SQL_TYPES[kind] for name, kind in columns.items()}, description["select"], names
        )
    except NotCompiled as error:
        return None, {**_NOT_ADMITTED, "reason": str(error)}
    reference = _reference(TabularModel.open(package))
    admission: Admission = prove(source, columns, description["select"], rows, reference)
    return source if admission.admitted else None, admission.to_document()


def typed_rows(inputs: pd.DataFrame, columns: Mapping[str, str], zone: ZoneInfo) -> list[Row]:
    """Rows spread evenly over the frame, values by column as the compiled features take them."""
    places = np.unique(np.linspace(0, max(0, len(inputs) - 1), min(len(inputs), _HOLDOUT_ROWS)).astype(np.int64))
    chosen = inputs.iloc[places]
    typed = [[typed_value(value, kind, zone) for value in chosen[name].tolist()] for name, kind in columns.items()]
    return list(zip(*typed, strict=True))


def _reference(model: TabularModel) -> Any:
    """The features of rows as the packaged model has DuckDB compute them."""

    def compute(rows: Sequence[Row]) -> dict[str, list[Any]]:
        return {name: values.tolist() for name, values in model.compute_features(_frame(model, rows)).items()}

    return compute


def _batch(model: TabularModel, rows: Sequence[Row]) -> list[Any]:
    answers: list[Any] = model.predict_frame(_frame(model, rows)).tolist()
    return answers


def _frame(model: TabularModel, rows: Sequence[Row]) -> pd.DataFrame:
    by_column = zip(model.columns, zip(*rows, strict=True), strict=True)
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in by_column})

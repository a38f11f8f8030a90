"""The example that a logged model carries: a row that is nobody's.

MLflow shows it to whoever opens the model, so it is made of values that many rows share, column by column.
"""

from __future__ import annotations

from typing import Any, Final

import pandas as pd

from include.spec.columns import input_columns
from include.spec.definition import Definition

SHARED_BY: Final = 5
"""So many rows must have a value before it is shown."""


def example_rows(definition: Definition, inputs: pd.DataFrame) -> pd.DataFrame:
    """One row with the input columns: the most frequent value of each that enough rows share, or its rounded middle.

    Personal columns are null, and so are columns of which neither can be shown.

    :param inputs: raw input columns of many rows.
    """
    kinds, personal = input_columns(definition), set(definition.serving.personal)
    values = {
        name: None if name in personal else _shared(inputs[name], kinds[name], name in definition.source.entity)
        for name in inputs.columns
    }
    example = inputs.head(1).copy()
    for name, value in values.items():
        example[name] = pd.Series([value], index=example.index, dtype=inputs[name].dtype)
    return example


def _shared(column: pd.Series, kind: str, is_entity: bool) -> Any:
    known = column.dropna()
    if known.empty:
        return None
    if kind == "timestamp":
        return known.min().normalize()
    counts = known.value_counts()
    frequent = counts.index[0]
    if counts.iloc[0] >= SHARED_BY:
        return frequent
    if kind == "number" and not is_entity:
        return float(f"{float(known.astype(float).median()):.2g}")
    return None

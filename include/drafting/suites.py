"""The drafted suites: what is true of the sample, with room for what is usual, so that broken data is refused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

from include.drafting.definition_text import Draft
from include.drafting.sample import TABLE, Column
from include.gates.suite import Stage
from include.lake.connections import quote_name, quote_text

Document = dict[str, Any]

#: Most values of a text column that its suite lists.
_MOST_LISTED: Final = 30
_MOSTLY_KNOWN: Final = 0.9
#: By how much of its span a number may leave the sample's range.
_ROOM: Final = 0.5


def draft_suites(draft: Draft) -> dict[Stage, Document]:
    """The four suites of a model, by stage."""
    suites: dict[Stage, list[Document]] = {
        "raw": list(_raw(draft)),
        "features": list(_features(draft)),
        "training": list(_training(draft)),
        "predictions": list(_predictions(draft)),
    }
    return {stage: {"name": f"{draft.model}.{stage}", "expectations": found} for stage, found in suites.items()}


def _raw(draft: Draft) -> Iterator[Document]:
    yield from _partition_rows(draft)
    yield _unique(draft)
    for column in draft.columns:
        yield from _of_column(draft, column, column.name)


def _features(draft: Draft) -> Iterator[Document]:
    yield from _partition_rows(draft)
    yield _unique(draft)
    for feature in draft.features:
        column = draft.sample.columns[feature.column]
        name = f"feature_{feature.name}"
        if draft.time and feature.column == draft.time.name:
            yield _expect("values_to_not_be_null", name, notes="It follows from the time, which every row has.")
        else:
            yield from _of_column(draft, column, name)
    yield from _of_label(draft)


def _training(draft: Draft) -> Iterator[Document]:
    fewest = max(10, draft.sample.rows_there // 4)
    notes = "A quarter of the sample: with less, the windows are not what they are meant to be."
    yield _expect("expect_table_row_count_to_be_between", min_value=fewest, notes=notes)
    parts = ["train", "validation", "holdout"]
    yield _expect("distinct_values_to_equal_set", "part", value_set=parts, notes="All three parts are needed.")
    yield _expect("values_to_not_be_null", "label", notes="Rows without an answer are not trained on.")
    yield from _of_label(draft)
    yield _varies("label", "A label that is always the same cannot be learned.")


def _predictions(draft: Draft) -> Iterator[Document]:
    once = ["partition", "_row"]
    notes = "Each holdout row is predicted once."
    yield _expect("expect_compound_columns_to_be_unique", column_list=once, notes=notes)
    yield _expect("values_to_not_be_null", "prediction", notes="The model must answer every row.")
    if draft.label.classes:
        yield _in_classes(draft, "prediction")
        first = f"probability_{draft.label.classes[0]}"
        yield _varies(first, "A model that says the same of every row has learned nothing.")
        return
    low, high, notes = 0.0, 1.0, "A prediction is a probability."
    if draft.label.task == "regression":
        low, high = _range(draft.sample.columns[draft.label.column])
        low, high, notes = 2 * low - high, 2 * high - low, "Far outside of all that was ever true."
    yield _expect("values_to_be_between", "prediction", min_value=low, max_value=high, notes=notes)
    yield _varies("prediction", "A model that says the same of every row has learned nothing.")


def _varies(column: str, notes: str) -> Document:
    return _expect("stdev_to_be_between", column, min_value=0, strict_min=True, notes=notes)


def _partition_rows(draft: Draft) -> Iterator[Document]:
    kind = "expect_table_row_count_to_be_between"
    if draft.cut is None:
        rows = draft.sample.rows_there
        yield _expect(
            kind, min_value=max(1, rows // 10), notes=f"The sample has {rows:,} rows; a tenth is no delivery."
        )
        notes = "Far fewer than the sample has is odd, but may be true."
        yield _expect(kind, severity="warning", min_value=max(1, rows // 2), notes=notes)
        return
    least, most = draft.cut.rows
    notes = f"The sample's {draft.cut.size}s have {least:,} to {most:,} rows; three times as many are two deliveries."
    yield _expect(kind, min_value=1, max_value=most * 3, notes=notes)
    notes = "Outside of what is usual it is odd, but may be true."
    fewest, largest = max(1, least // 2), math.ceil(most * 1.5)
    yield _expect(kind, severity="warning", min_value=fewest, max_value=largest, notes=notes)


def _unique(draft: Draft) -> Document:
    notes = "One row for each: twins would be counted twice."
    if len(draft.entity) == 1:
        return _expect("values_to_be_unique", draft.entity[0], notes=notes)
    return _expect("expect_compound_columns_to_be_unique", column_list=list(draft.entity), notes=notes)


def _of_column(draft: Draft, column: Column, name: str) -> Iterator[Document]:
    """Gaps, range and values of a column, under the name that it has in the stage's table."""
    yield from _gaps(draft, column, name)
    if column.type in {"integer", "number"}:
        low, high = _range(column)
        notes = f"The sample has {_shown(column.low)} to {_shown(column.high)}; another unit would show here."
        yield _expect("values_to_be_between", name, min_value=low, max_value=high, notes=notes)
    elif column.values and column.distinct <= _MOST_LISTED:
        notes = "Some new values may come; mostly others means that columns have slipped."
        listed = list(column.values)
        yield _expect("values_to_be_in_set", name, value_set=listed, mostly=_MOSTLY_KNOWN, notes=notes)


def _gaps(draft: Draft, column: Column, name: str) -> Iterator[Document]:
    if column.nulls == 0:
        yield _expect("values_to_not_be_null", name, notes="It is never missing in the sample.")
        return
    worst = _worst_partition(draft, column)
    if worst > 0.02:
        notes = f"In the sample at least {worst:.0%} of {_portion(draft)} values are there; far fewer weaken the model."
        mostly = round(worst / 2, 3)
        yield _expect("values_to_not_be_null", name, severity="warning", mostly=mostly, notes=notes)


def _portion(draft: Draft) -> str:
    return "the" if draft.cut is None else f"a {draft.cut.size}'s"


def _worst_partition(draft: Draft, column: Column) -> float:
    """The smallest share of present values in any partition of the sample."""
    if draft.time is None or draft.cut is None:
        return 1 - column.nulls
    label = f"date_trunc({quote_text(draft.cut.size)}, {quote_name(draft.time.name)})"
    quoted = quote_name(column.name)
    share = f"SELECT count({quoted}) / count(*) AS share FROM {TABLE} GROUP BY {label}"  # nosec B608
    return float(draft.sample.ask(f"SELECT min(share) FROM ({share})")[0][0])  # nosec B608


def _of_label(draft: Draft) -> Iterator[Document]:
    if draft.label.task == "binary_classification":
        yield _expect("values_to_be_in_set", "label", value_set=[0, 1], notes="Yes or no.")
        return
    if draft.label.classes:
        yield _in_classes(draft, "label")
        return
    low, high = _range(draft.sample.columns[draft.label.column])
    notes = "Outside of it the label is broken."
    yield _expect("values_to_be_between", "label", min_value=low, max_value=high, notes=notes)


def _in_classes(draft: Draft, column: str) -> Document:
    classes = draft.label.classes
    notes = f"A class's place in label.classes: {', '.join(classes)}."
    return _expect("values_to_be_in_set", column, value_set=list(range(len(classes))), notes=notes)


def _range(column: Column) -> tuple[float, float]:
    """The sample's range and some room; what is never below zero stays so."""
    low, high = float(column.low), float(column.high)
    room = (high - low) * _ROOM or max(abs(high), 1.0)
    least = 0.0 if low >= 0 else low - room
    return _tidy(least, math.floor), _tidy(high + room, math.ceil)


def _tidy(value: float, towards: Any) -> float:
    """Three digits, away from the sample."""
    if value == 0 or not math.isfinite(value):
        return value
    scale = 10.0 ** (math.floor(math.log10(abs(value))) - 2)
    found = float(towards(value / scale) * scale)
    return float(f"{found:.6g}")


def _shown(value: Any) -> str:
    return f"{float(value):,.6g}"


def _expect(
    kind: str, column: str | None = None, *, notes: str, severity: str = "critical", **arguments: Any
) -> Document:
    kwargs = {"column": column, **arguments} if column is not None else arguments
    name = kind if kind.startswith("expect_") else f"expect_column_{kind}"
    return {"type": name, "kwargs": kwargs, "severity": severity, "meta": {"notes": notes}}

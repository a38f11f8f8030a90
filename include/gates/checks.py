"""From what Great Expectations found to a :class:`Check`, in which every value is plain JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from include.gates.plain import to_plain
from include.gates.result import Check
from include.gates.suite import Expectation

SAMPLES: Final = 20
"""Most rows that a failed expectation shows."""


def absent_check(expectation: Expectation, absent: Sequence[str]) -> Check:
    """A column that the suite relies on is missing: this refuses the data, whatever the expectation's severity."""
    names = ", ".join(absent)
    word = "column" if len(absent) == 1 else "columns"
    return Check(
        type=expectation.type,
        column=", ".join(expectation.columns),
        kwargs=to_plain(expectation.kwargs),
        severity="critical",
        notes=expectation.notes,
        success=False,
        problem=f"the {word} {names} is missing" if len(absent) == 1 else f"the {word} {names} are missing",
    )


def check_of(expectation: Expectation, success: bool, observed: object, metrics: Mapping[str, Any]) -> Check:
    """The check of an expectation that was judged.

    :param metrics: its metrics by name.
    """
    unexpected = judged = None
    if expectation.form.kind == "rows":
        unexpected, judged = _row_counts(expectation, metrics)
        observed = None
    elif expectation.type == "expect_column_to_exist":
        observed = success
    return Check(
        type=expectation.type,
        column=", ".join(expectation.columns) or None,
        kwargs=to_plain(expectation.kwargs),
        severity=expectation.severity,
        notes=expectation.notes,
        success=success,
        observed=observed,
        unexpected=unexpected,
        judged=judged,
    )


def _row_counts(expectation: Expectation, metrics: Mapping[str, Any]) -> tuple[int, int]:
    """Rows that do not meet it, and rows that it was judged on."""
    nulls = int(metrics.get("column_values.nonnull.unexpected_count", 0))
    if expectation.type == "expect_column_values_to_not_be_null":
        return nulls, int(metrics["table.row_count"])
    own = [value for name, value in metrics.items()
           if name.endswith(".unexpected_count") and name != "column_values.nonnull.unexpected_count"]  # fmt: skip
    filtered = [value for name, value in metrics.items() if name.endswith(".filtered_row_count")]
    total = int(filtered[0]) if filtered else int(metrics["table.row_count"])
    if expectation.type == "expect_column_values_to_be_null":
        return int(own[0]) if own else total - nulls, total
    return int(own[0]), total - nulls


def lists_in(found: Mapping[str, Any]) -> dict[str, Any]:
    """What a failed expectation on a column's set of values found: values too many, values missing."""
    names = {"unexpected": "partial_unexpected_list", "missing": "partial_missing_list"}
    return {name: to_plain(found[key])[:SAMPLES] for name, key in names.items() if found.get(key)}

"""The expectation types that a suite may use, and what each may say. Light: loading a suite imports no library.

Great Expectations accepts more than can be judged on a frame, and more than says anything (a range without a bound, a
``mostly`` of 0). What is listed here works on a frame, means something, and is proven by a test to be broken by bad
data. A test also compares this table with Great Expectations' own fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Kind = Literal["table", "column", "rows"]
"""What an expectation looks at: the whole table, one number of a column, or each row."""


@dataclass(frozen=True)
class Form:
    """What an expectation of one type may say.

    :param kind: what it looks at; only ``rows`` can name the rows that failed.
    :param required: arguments that it must have.
    :param optional: arguments that it may have.
    :param bounded: whether it needs ``min_value`` or ``max_value`` to mean anything.
    """

    kind: Kind
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    bounded: bool = False

    @property
    def arguments(self) -> tuple[str, ...]:
        """All arguments that it may have."""
        return self.required + self.optional


_BOUNDS = ("min_value", "max_value", "strict_min", "strict_max")
_AGGREGATE = Form("column", ("column",), _BOUNDS, bounded=True)
_COUNTED = Form("column", ("column",), _BOUNDS, bounded=True)
_EACH = Form("rows", ("column",), ("mostly",))
_EACH_IN_SET = Form("rows", ("column", "value_set"), ("mostly",))
_EACH_REGEX = Form("rows", ("column", "regex"), ("mostly",))
_SET = Form("column", ("column", "value_set"))

FORMS: Final[dict[str, Form]] = {
    "expect_table_row_count_to_be_between": Form("table", (), _BOUNDS, bounded=True),
    "expect_table_row_count_to_equal": Form("table", ("value",)),
    "expect_column_to_exist": Form("table", ("column",)),
    "expect_column_mean_to_be_between": _AGGREGATE,
    "expect_column_median_to_be_between": _AGGREGATE,
    "expect_column_stdev_to_be_between": _AGGREGATE,
    "expect_column_min_to_be_between": _AGGREGATE,
    "expect_column_max_to_be_between": _AGGREGATE,
    "expect_column_sum_to_be_between": _AGGREGATE,
    "expect_column_unique_value_count_to_be_between": _COUNTED,
    "expect_column_proportion_of_unique_values_to_be_between": _COUNTED,
    "expect_column_proportion_of_non_null_values_to_be_between": _COUNTED,
    "expect_column_distinct_values_to_be_in_set": _SET,
    "expect_column_distinct_values_to_contain_set": _SET,
    "expect_column_distinct_values_to_equal_set": _SET,
    "expect_column_values_to_not_be_null": _EACH,
    "expect_column_values_to_be_null": _EACH,
    "expect_column_values_to_be_unique": _EACH,
    "expect_column_values_to_be_between": Form("rows", ("column",), ("mostly", *_BOUNDS), bounded=True),
    "expect_column_values_to_be_in_set": _EACH_IN_SET,
    "expect_column_values_to_not_be_in_set": _EACH_IN_SET,
    "expect_column_value_lengths_to_be_between": Form("rows", ("column",), ("mostly", *_BOUNDS), bounded=True),
    "expect_column_values_to_match_regex": _EACH_REGEX,
    "expect_column_values_to_not_match_regex": _EACH_REGEX,
    "expect_column_pair_values_a_to_be_greater_than_b": Form(
        "rows", ("column_A", "column_B"), ("or_equal", "ignore_row_if", "mostly")
    ),
    "expect_column_pair_values_to_be_equal": Form("rows", ("column_A", "column_B"), ("ignore_row_if", "mostly")),
    "expect_compound_columns_to_be_unique": Form("rows", ("column_list",), ("ignore_row_if", "mostly")),
}

_IGNORE_ROW_IF = (
    "both_values_are_missing",
    "either_value_is_missing",
    "all_values_are_missing",
    "any_value_is_missing",
    "never",
)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1


def _is_regex(value: object) -> bool:
    if not isinstance(value, str) or not value:
        return False
    try:
        re.compile(value)
    except re.error:
        return False
    return True


def _is_value_set(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str | int | float) for item in value)


def _is_column_list(value: object) -> bool:
    return isinstance(value, list) and len(set(map(str, value))) == len(value) >= 2 and all(map(_is_name, value))


_RULES: Final[dict[str, tuple[Callable[[object], bool], str]]] = {
    "column": (_is_name, "a column's name"),
    "column_A": (_is_name, "a column's name"),
    "column_B": (_is_name, "a column's name"),
    "column_list": (_is_column_list, "a list of at least two different columns"),
    "value": (lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0, "a count of rows"),
    "value_set": (_is_value_set, "a list of strings or numbers that is not empty"),
    "min_value": (_is_number, "a number"),
    "max_value": (_is_number, "a number"),
    "strict_min": (lambda value: isinstance(value, bool), "true or false"),
    "strict_max": (lambda value: isinstance(value, bool), "true or false"),
    "or_equal": (lambda value: isinstance(value, bool), "true or false"),
    "mostly": (_is_share, "a share above 0 and at most 1 (0 would let everything pass)"),
    "regex": (_is_regex, "a regular expression"),
    "ignore_row_if": (lambda value: value in _IGNORE_ROW_IF, "one of " + ", ".join(_IGNORE_ROW_IF)),
}


def argument_problem(form: Form, kwargs: Mapping[str, Any]) -> str | None:
    """Say what is wrong with an expectation's arguments in one sentence, or return None."""
    missing = [name for name in form.required if name not in kwargs]
    if missing:
        return f"it needs the argument {missing[0]!r}."
    for name, value in kwargs.items():
        holds, meaning = _RULES[name]
        if not holds(value):
            return f"{name} is {value!r}, but must be {meaning}."
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if form.bounded and low is None and high is None:
        return "it has neither min_value nor max_value, so it would let everything pass."
    if low is not None and high is not None and low > high:
        return f"min_value {low} is above max_value {high}, so nothing could pass."
    return None


def named_columns(kwargs: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the columns that an expectation's arguments name."""
    singles = [kwargs[name] for name in ("column", "column_A", "column_B") if name in kwargs]
    return (*singles, *kwargs.get("column_list", []))

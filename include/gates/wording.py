"""Expectations as sentences for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_NUMBERS: Final = {
    "expect_table_row_count_to_be_between": "the number of rows",
    "expect_column_mean_to_be_between": "the mean of {column}",
    "expect_column_median_to_be_between": "the median of {column}",
    "expect_column_stdev_to_be_between": "the standard deviation of {column}",
    "expect_column_min_to_be_between": "the smallest {column}",
    "expect_column_max_to_be_between": "the largest {column}",
    "expect_column_sum_to_be_between": "the sum of {column}",
    "expect_column_unique_value_count_to_be_between": "the number of different values of {column}",
    "expect_column_proportion_of_unique_values_to_be_between": "the share of different values of {column}",
    "expect_column_proportion_of_non_null_values_to_be_between": "the share of rows with a {column}",
    "expect_column_values_to_be_between": "{column}",
    "expect_column_value_lengths_to_be_between": "the length of {column}",
}

_SENTENCES: Final = {
    "expect_table_row_count_to_equal": "there are {value} rows",
    "expect_column_to_exist": "there is a column {column}",
    "expect_column_distinct_values_to_be_in_set": "{column} has no values but {value_set}",
    "expect_column_distinct_values_to_contain_set": "{column} has all the values {value_set}",
    "expect_column_distinct_values_to_equal_set": "{column} has exactly the values {value_set}",
    "expect_column_values_to_not_be_null": "{column} is there",
    "expect_column_values_to_be_null": "{column} is missing",
    "expect_column_values_to_be_unique": "no two rows share a {column}",
    "expect_column_values_to_be_in_set": "{column} is one of {value_set}",
    "expect_column_values_to_not_be_in_set": "{column} is none of {value_set}",
    "expect_column_values_to_match_regex": "{column} matches {regex}",
    "expect_column_values_to_not_match_regex": "{column} does not match {regex}",
    "expect_column_pair_values_to_be_equal": "{column_A} equals {column_B}",
    "expect_compound_columns_to_be_unique": "no two rows share {column_list}",
}


def describe(kind: str, kwargs: Mapping[str, Any]) -> str:
    """Say what an expectation expects, such as ``distance is between 50 and 6,000 in at least 99 % of the rows``."""
    words = {name: _words(value) for name, value in kwargs.items()}
    if kind in _NUMBERS:
        sentence = f"{_NUMBERS[kind].format(**words)} {_range(kwargs)}"
    elif kind == "expect_column_pair_values_a_to_be_greater_than_b":
        relation = "is at least" if kwargs.get("or_equal") else "is above"
        sentence = f"{words['column_A']} {relation} {words['column_B']}"
    else:
        sentence = _SENTENCES[kind].format(**words)
    mostly = kwargs.get("mostly", 1)
    return sentence if mostly == 1 else f"{sentence} in at least {100 * mostly:g} % of the rows"


def _range(kwargs: Mapping[str, Any]) -> str:
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    strict_low, strict_high = kwargs.get("strict_min"), kwargs.get("strict_max")
    if high is None:
        return f"is {'above' if strict_low else 'at least'} {_words(low)}"
    if low is None:
        return f"is {'below' if strict_high else 'at most'} {_words(high)}"
    edges = " (edges excluded)" if strict_low and strict_high else ""
    edges = edges or (" (low edge excluded)" if strict_low else " (high edge excluded)" if strict_high else "")
    return f"is between {_words(low)} and {_words(high)}{edges}"


def _words(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}"

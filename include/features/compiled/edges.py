"""Rows at the edges of what columns can hold: where compiled features are most likely to differ from DuckDB's."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

Row = tuple[Any, ...]

_SEED: Final = 20130101
_COMBINED: Final = 1500
_INTEGERS: Final = (
    *(0, 1, -1, 2, 3, 7, 10, 12, 24, 59, 60, 61, 99, 100, 101, 1159, 2359, 2400, -7, -60, -100, -101, 1900, 2013, 9999),
    *(2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), -(2**63) + 1),
)
_NUMBERS: Final = (
    *(0.0, -0.0, 1.0, -1.0, 0.1, 0.5, 1.5, 2.5, -0.5, -2.5, 0.49999999999999994, 1.005, 2.675, 99.995, -273.15, 1e6),
    *(5e-324, -5e-324, 1e-300, 1e300, -1e300, 1.7976931348623157e308, 2.0**53, 2.0**53 + 2, 4503599627370495.5),
    *(math.inf, -math.inf, 9.223372036854775807e18, 3.4028235677973366e38),
)
_TEXTS: Final = (
    *(
        "",
        " ",
        "a",
        "A",
        "ab",
        "AA",
        "B6",
        "Yes",
        "No",
        "yes",
        "unseen?",
        " padded ",
        "\t",
        "line\nbreak",
        "a%b_c\\d",
        "'",
    ),
    *('"', "é", "É", "e\u0301", "ß", "İ", "ı", "日本", "👩‍👩‍👧", "\u00a0x\u2003", "a\0b", "x" * 300, "zz"),
    *(
        "0",
        "12",
        "-7",
        "+7",
        " 12 ",
        "1.5",
        "1e3",
        "0x10",
        "1_000",
        "99999999999999999999",
        "true",
        "null",
        "2013-01-01",
    ),
)
_MOMENTS: Final = tuple(
    datetime.fromisoformat(text)
    for text in (
        *(
            "1970-01-01",
            "1969-12-31T23:59:59.999999",
            "1969-12-31T00:30:00",
            "2000-02-29T12:00:00",
            "1900-02-28T23:59:59",
        ),
        *("2012-02-29T12:34:56.789012", "2013-02-28T23:59:59.999999", "2013-12-31T23:59:59.999999", "2014-01-01"),
        *(
            "2012-12-31T08:00:00",
            "2017-01-01T08:00:00",
            "2013-03-10T02:30:00",
            "2013-11-03T01:30:00",
            "2013-06-15T05:07:09",
        ),
        *("0001-01-01", "1582-10-10T10:10:10", "9999-12-31T23:59:59.999999", "2013-09-30T00:00:00.000001"),
    )
)


def edge_rows(
    columns: Mapping[str, str], literals: Sequence[Any], typical: Sequence[Row], *, combined: int = _COMBINED
) -> list[Row]:
    """Rows in which each column alone, and all of them together, take edge values; the same ones every time.

    :param columns: names and types (the definition's words) of the inputs.
    :param literals: constants of the expressions; values at and beside them are edges too.
    :param typical: a few ordinary rows.
    :param combined: number of rows in which all columns take edge values at once.
    """
    draw = random.Random(_SEED)  # noqa: S311 # nosec B311 # a fixed sequence is wanted
    edges = [edge_values(kind, literals) for kind in columns.values()]
    nothing = (None,) * len(edges)
    middle = tuple(values[0] for values in edges)
    rows = [nothing, middle]
    for base in (middle, *typical[:2]):
        for place, values in enumerate(edges):
            rows += [(*base[:place], value, *base[place + 1 :]) for value in (None, *values)]
    choices = [[*values, *(None for _ in range(1 + len(values) // 10))] for values in edges]
    drawn = (draw.choices(values, k=combined) for values in choices)
    return [*rows, *zip(*drawn, strict=True)]


def edge_values(kind: str, literals: Sequence[Any]) -> list[Any]:
    """Edge values of a type, without null."""
    numbers = [value for value in literals if isinstance(value, int | float) and not isinstance(value, bool)]
    texts = [value for value in literals if isinstance(value, str)]
    if kind == "boolean":
        return [False, True]
    if kind == "integer":
        near = (int(value) + step for value in numbers if abs(value) < 2**62 for step in (-1, 0, 1))
        return list(dict.fromkeys((*_INTEGERS, *near)))
    if kind == "number":
        beside = [math.nextafter(value, end) for value in numbers for end in (-math.inf, math.inf)]
        return [*_NUMBERS, *map(float, numbers), *beside]
    if kind == "string":
        parts = [part for text in texts for part in (text, text.lower(), text[:-1], f"{text}x")]
        return list(dict.fromkeys((*_TEXTS, *parts, text_without_patterns(texts))))
    days = [datetime(value.year, value.month, value.day) for value in map(_day, texts) if value]  # noqa: DTZ001
    return [*_MOMENTS, *days]


def text_without_patterns(texts: Sequence[str]) -> str:
    """One text in which all literals occur, with the signs of LIKE taken out."""
    return "".join(texts).replace("%", "").replace("_", "-")


def _day(text: str) -> date | None:
    try:
        return datetime.fromisoformat(text).date()
    except ValueError:
        return None

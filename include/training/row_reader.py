"""Reads and checks the values of requests: types, finite numbers, the definition's limits, known fields.

This file travels with a packaged model as an artifact, beside ``packaged_model.py``, which loads it. So it must stay
self-contained: it imports the standard library and numpy, and nothing of this repository.
"""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

Convert = Callable[[Any, str], Any]
Refuse = Callable[..., Exception]
Read = Callable[[Any], Any]

_INTEGERS = range(-(2**63), 2**63)
_SHOWN_VALUES = 12
#: What a plain value of a type is in Python; all others take the long way through ``convert``.
_PLAIN = {
    "string": "type({0}) is str and {0}.isascii()",
    "integer": "type({0}) is int and -9223372036854775808 <= {0} <= 9223372036854775807",
    "number": "type({0}) is float and {0} - {0} == 0.0",
    "boolean": "type({0}) is bool",
}


def shown(value: object, longest: int = 60) -> str:
    """A value as a message shows it: its repr, cut."""
    text = repr(value)
    return text if len(text) <= longest else f"{text[:longest]}…"


class OutsideLimits(ValueError):
    """A value is outside of what the definition allows; the message says what is allowed."""


# ---- limits ---------------------------------------------------------------------------------------------------------


class Limit:
    """What a request may say in one column.

    :param limit: ``minimum``, ``maximum`` and ``values``, each of them optional.
    """

    def __init__(self, limit: Mapping[str, Any]) -> None:
        self.minimum: float | None = limit.get("minimum")
        self.maximum: float | None = limit.get("maximum")
        self.values: frozenset[Any] | None = None if limit.get("values") is None else frozenset(limit["values"])
        self._listed = list(limit.get("values") or ())

    def check(self, value: Any) -> None:
        """Check a value that has its declared type and is not null.

        :raises OutsideLimits: says what is allowed.
        """
        if self.outside(value):
            raise OutsideLimits(self.problem(value))

    def outside(self, value: Any) -> bool:
        """Whether a value that has its declared type and is not null is outside."""
        return (
            (self.minimum is not None and value < self.minimum)
            or (self.maximum is not None and value > self.maximum)
            or (self.values is not None and value not in self.values)
        )

    def problem(self, value: Any) -> str:
        """What is wrong with a value that is outside, and what is allowed."""
        return f"must be {self._allowed()}, got {shown(value)}"

    def _allowed(self) -> str:
        parts = []
        if self.minimum is not None and self.maximum is not None:
            parts.append(f"between {self.minimum:g} and {self.maximum:g}")
        elif self.minimum is not None:
            parts.append(f"at least {self.minimum:g}")
        elif self.maximum is not None:
            parts.append(f"at most {self.maximum:g}")
        if self.values is not None:
            listed = ", ".join(shown(value, 30) for value in self._listed[:_SHOWN_VALUES])
            more = len(self._listed) - _SHOWN_VALUES
            parts.append(f"one of {listed}" + (f" and {more} others" if more > 0 else ""))
        return f"{' and '.join(parts)}, or null"

    def first_outside(self, values: npt.NDArray[Any], missing: npt.NDArray[np.bool_]) -> int | None:
        """Place of the first value of a column that is outside, None if there is none; nulls are inside."""
        outside = np.zeros(len(values), dtype=bool)
        with np.errstate(invalid="ignore"):
            if self.minimum is not None:
                outside |= np.asarray(values < _bound(values, self.minimum, math.ceil), dtype=bool)
            if self.maximum is not None:
                outside |= np.asarray(values > _bound(values, self.maximum, math.floor), dtype=bool)
        if self.values is not None:
            allowed = self.values
            outside |= np.fromiter((value not in allowed for value in values.tolist()), bool, len(values))
        found = np.flatnonzero(outside & ~missing)
        return int(found[0]) if len(found) else None


def _bound(values: npt.NDArray[Any], bound: float, rounded: Callable[[float], int]) -> Any:
    """The bound in the column's type; for integers the next one inside, so that the comparison is exact."""
    if values.dtype.kind not in "iu":
        return bound
    if math.isinf(bound):
        return bound
    return min(max(rounded(bound), _INTEGERS[0]), _INTEGERS[-1])


class RowReader:
    """Reads JSON rows and plain columns as values of the declared types.

    :param columns: the model's inputs and their types, in order; all must be there.
    :param optional: columns that may be there too; they are checked and left out.
    :param limits: what a request may say, by column.
    :param convert: gives a value of any origin the declared type, raises TypeError, ValueError or OverflowError.
    :param expected: what a column of a type holds, in words.
    :param refuse: makes the error for a problem, with ``row`` and ``field``.
    """

    def __init__(
        self,
        columns: Mapping[str, str],
        optional: Mapping[str, str],
        *,
        limits: Mapping[str, Limit],
        convert: Convert,
        expected: Mapping[str, str],
        refuse: Refuse,
    ) -> None:
        self._types = {**columns, **optional}
        self._reads = {name: _reader(kind, convert, limits.get(name)) for name, kind in self._types.items()}
        self._read_inputs = _row_function(columns, limits, [self._reads[name] for name in columns])
        self._required = dict(columns).keys()
        self._optional = [name for name in optional if name not in columns]
        self._known = frozenset(self._types)
        self._expected = expected
        self._refuse = refuse

    def read_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
        """The inputs of each row, in the columns' order."""
        return [self.read_row(row, number) for number, row in enumerate(rows)]

    def read_row(self, row: Mapping[str, Any], number: int) -> list[Any]:
        """The inputs of one row, in the columns' order."""
        if type(row) is not dict and not isinstance(row, Mapping):
            raise self._refuse(f"expected an object with fields, got {type(row).__name__}", row=number)
        if row.keys() != self._required:
            self._check_others(row, number)
        try:
            return self._read_inputs(row)
        except (TypeError, ValueError, OverflowError):
            return [self._read_one(name, row[name], number) for name in self._required]

    def check_names(self, names: Iterable[Any], number: int | None) -> None:
        """Every input must be there, and nothing that the model does not know."""
        given = list(names)
        for name in self._required:
            if name not in given:
                raise self._refuse("is missing; null is allowed", row=number, field=name)
        for name in given:
            if name not in self._known:
                close = difflib.get_close_matches(str(name), self._known, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise self._refuse(f"is no input of this model{hint}", row=number, field=str(name))

    def _check_others(self, row: Mapping[str, Any], number: int) -> None:
        if not self._required <= row.keys() <= self._known:
            self.check_names(row.keys(), number)
        for name in self._optional:
            if name in row:
                self._read_one(name, row[name], number)

    def _read_one(self, name: str, value: Any, number: int) -> Any:
        try:
            return self._reads[name](value)
        except OutsideLimits as error:
            raise self._refuse(str(error), row=number, field=name) from error
        except (TypeError, ValueError, OverflowError) as error:
            problem = f"expected {self._expected[self._types[name]]} or null, got {shown(value)}"
            raise self._refuse(problem, row=number, field=name) from error


def _reader(kind: str, convert: Convert, limit: Limit | None) -> Read:
    """A function that gives a value its declared type, null as None, and checks its limit."""

    def read(value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, float | np.floating) and not math.isfinite(value):
            raise ValueError("not finite")
        typed = convert(value, kind)
        if limit is not None and typed is not None:
            limit.check(typed)
        return typed

    return read


def _row_function(
    columns: Mapping[str, str], limits: Mapping[str, Limit], reads: Sequence[Read]
) -> Callable[[Mapping[str, Any]], list[Any]]:
    """One function for a whole row, written for these columns: plain values inside of their limits pass at once.

    Every other value goes through its own reader, which raises an error for what is wrong with it.
    """
    names: dict[str, Any] = {"moment": _read_moment}
    lines = ["def read_inputs(row):"]
    for place, (name, kind) in enumerate(columns.items()):
        value, read = f"v{place}", f"read{place}"
        names[read] = reads[place]
        lines.append(f"    {value} = row[{name!r}]")
        if kind == "timestamp":
            lines.append(f"    {value} = moment({value}, {read})")
            continue
        plain = _PLAIN[kind].format(value)
        if name in limits:
            names[f"limit{place}"] = limits[name]
            plain += f" and not limit{place}.outside({value})"
        lines += [f"    if {value} is not None and not ({plain}):", f"        {value} = {read}({value})"]
    lines.append(f"    return [{', '.join(f'v{place}' for place in range(len(columns)))}]")
    exec("\n".join(lines), names)  # nosec B102 # our own lines; a column's name is in them as a literal only
    function: Callable[[Mapping[str, Any]], list[Any]] = names["read_inputs"]
    return function


def _read_moment(value: Any, read: Read) -> Any:
    """A time in ISO text without zone at once, everything else by its reader."""
    if type(value) is str:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return read(value)
        return moment if moment.tzinfo is None else read(value)
    return read(value)

"""The short way for some hundred rows: compiled features in one loop over columns, and numbers column by column.

This file travels with a packaged model as an artifact, beside ``packaged_model.py``, which loads it. So it must stay
self-contained: it imports the standard library and numpy, and nothing of this repository.
"""

import ast
import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import repeat
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

Columns = Sequence[Sequence[Any]]
Matrix = npt.NDArray[np.float32]

_LEAST, _LARGEST = -(2**63), 2**63 - 1
_NULL = type(None)
#: What plain values of a type are in Python.
_PLAIN: dict[str, set[type]] = {
    "string": {str},
    "integer": {int},
    "number": {float, int},
    "boolean": {bool},
    "timestamp": {str},
}


# ---- rows to columns ------------------------------------------------------------------------------------------------


class ColumnReader:
    """Reads JSON rows of plain values by column, with the very result of reading them one by one.

    :param columns: the model's inputs and their types, in order; all must be there.
    :param optional: columns that may be there too; they are checked and left out.
    :param limits: what a request may say, by column: ``minimum``, ``maximum``, ``values``.
    """

    def __init__(self, columns: Mapping[str, str], optional: Mapping[str, str], limits: Mapping[str, Any]) -> None:
        self._inputs = list(columns)
        self._all = [*columns, *(name for name in optional if name not in columns)]
        self._types = {**columns, **optional}
        self._limits = limits

    def read(self, rows: Sequence[Mapping[str, Any]]) -> list[list[Any]] | None:
        """The inputs by column, in order; None if a value is not plain or not allowed.

        Then the rows must be read one by one: that takes what is allowed, and names what is not.
        """
        lengths = set(map(len, rows))
        names = self._inputs if lengths == {len(self._inputs)} else self._all
        if lengths != {len(names)} or set(map(type, rows)) != {dict}:
            return None
        try:
            read = [self._column(name, values) for name, values in zip(names, _taken(rows, names), strict=True)]
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        return read[: len(self._inputs)]

    def _column(self, name: str, values: list[Any]) -> list[Any]:
        """A column in its declared type.

        :raises TypeError, ValueError, OverflowError: a value is not plain, or not allowed.
        """
        kinds, kind = set(map(type, values)), self._types[name]
        if _NULL in kinds:
            return self._with_nulls(name, values)
        if not kinds <= _PLAIN[kind]:
            raise TypeError
        typed = _typed(values, kinds, kind)
        limit = self._limits.get(name)
        if limit is not None and not _allowed(typed, limit):
            raise ValueError
        return typed

    def _with_nulls(self, name: str, values: list[Any]) -> list[Any]:
        present = [value for value in values if value is not None]
        if not present:
            return values
        typed = self._column(name, present)
        if typed is present:
            return values
        rest = iter(typed)
        return [None if value is None else next(rest) for value in values]


def _taken(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[list[Any]]:
    if len(names) == 1:  # itemgetter gives no tuple then
        return [[row[names[0]] for row in rows]]
    return list(map(list, zip(*map(itemgetter(*names), rows), strict=True)))


def _typed(values: list[Any], kinds: set[type], kind: str) -> list[Any]:
    """Plain values in their type; the very list if they have it already."""
    if kind == "timestamp":
        moments = list(map(datetime.fromisoformat, values))
        if any(moment.tzinfo for moment in moments):
            raise ValueError
        return moments
    if kind == "string":
        "".join(values).encode()
    elif kind == "integer":
        if min(values) < _LEAST or max(values) > _LARGEST:
            raise OverflowError
    elif kind == "number":
        values = values if int not in kinds else list(map(float, values))
        if not math.isfinite(sum(values)):
            raise ValueError
    return values


def _allowed(values: list[Any], limit: Any) -> bool:
    return (
        (limit.minimum is None or min(values) >= limit.minimum)
        and (limit.maximum is None or max(values) <= limit.maximum)
        and (limit.values is None or limit.values.issuperset(values))
    )


# ---- columns to numbers ---------------------------------------------------------------------------------------------


class BatchEncoder:
    """From typed columns to the matrix that XGBoost takes; equal to the compiled features and ``encode`` row by row.

    :param source: of the compiled features.
    :param compiled: the module that they are, whose functions and constants the loop uses.
    :param features: of the package's description.
    :param numbers: for each of the model's inputs the feature that it is made from, and how it becomes a number:
        ``column_functions`` of ``row_path.py``.
    :raises ValueError, SyntaxError: the source has no function that can be made a loop.
    """

    def __init__(
        self,
        source: str,
        compiled: Any,
        features: Sequence[Mapping[str, Any]],
        numbers: Sequence[tuple[int, Callable[[Any, float], float] | None]],
    ) -> None:
        self._compute = loop_over_columns(source, compiled)
        self._numbers = numbers
        self._seen = {
            place: frozenset(feature.get("categories") or ())
            for place, feature in enumerate(features)
            if feature["type"] == "category"
        }

    def encode(self, columns: Columns, *, refuse_unseen: bool) -> Matrix | None:
        """The matrix, rows by features; None if a row must go another way: DuckDB's to compute, or to be refused.

        :param columns: values of the declared types (null as None), in the columns' order.
        """
        try:
            computed = self._compute(*columns)
        except Exception:  # noqa: BLE001 - whatever the compiled form cannot do exactly, it raises for
            return None
        if refuse_unseen and any(not seen >= {*computed[place]} - {None} for place, seen in self._seen.items()):
            return None
        numbers = array("d")
        for place, function in self._numbers:
            if function is None:
                _add_numbers(numbers, computed[place])
            else:
                numbers.extend(map(function, computed[place], repeat(math.nan)))
        with np.errstate(over="ignore", invalid="ignore"):
            by_feature = np.frombuffer(numbers).reshape(len(self._numbers), -1)
            matrix = np.ascontiguousarray(by_feature.T, dtype=np.float32)
        matrix[~np.isfinite(matrix)] = math.nan
        return matrix


def _add_numbers(numbers: "array[float]", values: Sequence[Any]) -> None:
    try:
        numbers.extend(array("d", values))
    except TypeError:
        numbers.extend([math.nan if value is None else value for value in values])


def loop_over_columns(source: str, compiled: Any) -> Callable[..., tuple[Sequence[Any], ...]]:
    """``compute`` of the compiled features as a function from columns to columns: its lines within one loop.

    :raises ValueError, SyntaxError: the source has no such function, or one of another shape.
    """
    [function] = [
        node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "compute"
    ]
    *body, last = function.body
    inner = (ast.Return, ast.FunctionDef, ast.Lambda, ast.Yield)
    if not isinstance(last, ast.Return) or any(isinstance(node, inner) for line in body for node in ast.walk(line)):
        raise ValueError("the compiled features do not end in their only return")
    if not isinstance(last.value, ast.Tuple):
        raise ValueError("the compiled features do not return a tuple")
    inputs = [argument.arg for argument in function.args.args]
    assigned = {
        node.id
        for line in body
        for node in ast.walk(line)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    results, lines, head = [], [ast.unparse(line) for line in body], []
    for place, value in enumerate(last.value.elts):
        text = ast.unparse(value)
        if text in inputs and text not in assigned:  # an input as it is: its column is the feature's
            results.append(f"column_{text}")
            continue
        results.append(f"made{place}")
        head.append(f"made{place} = []; add{place} = made{place}.append")
        lines.append(f"add{place}({text})")
    return _function(inputs, head, lines, results, compiled)


def _function(
    inputs: Sequence[str], head: Sequence[str], lines: Sequence[str], results: Sequence[str], compiled: Any
) -> Callable[..., tuple[Sequence[Any], ...]]:
    body = "\n".join(lines)
    read = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)}
    used = [name for name in inputs if name in read] or inputs[:1]
    text = [f"def compute_columns({', '.join(f'column_{name}' for name in inputs)}):"]
    text += [f"    {line}" for line in head]
    columns = ", ".join(f"column_{name}" for name in used)
    text.append(f"    for {', '.join(used)}, in zip({columns}):")
    text += [f"        {line}" for line in (body or "pass").split("\n")]
    text.append(f"    return ({', '.join(results)},)")
    names = dict(vars(compiled))
    exec("\n".join(text), names)  # nosec B102 # the lines of the compiled features, which the artifact digest covers
    function: Callable[..., tuple[Sequence[Any], ...]] = names["compute_columns"]
    return function

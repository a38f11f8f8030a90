"""Casts between DuckDB's types in the generated code, and the common type of values that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from include.features.compiled.body import Body
from include.features.compiled.values import INTEGERS, NotCompiled, Oracle, Value, constant_code, decimal_scale

_SUPPORTED: Final = frozenset({*INTEGERS, "DOUBLE", "VARCHAR", "BOOLEAN", "TIMESTAMP", "DATE"})
_DIRECT: Final = {
    ("BOOLEAN", "VARCHAR"): "'true' if {0} else 'false'",
    ("BOOLEAN", "DOUBLE"): "float({0})",
    ("DATE", "TIMESTAMP"): "start_of_day({0})",
    ("TIMESTAMP", "DATE"): "{0}.date()",
    ("VARCHAR", "DOUBLE"): "text_to_float({0})",
}


def make_constant(oracle: Oracle, body: Body, sql: str, kind: str, *, literal: bool = False) -> Value:
    """A part without columns, computed by DuckDB.

    :raises NotCompiled: if its type has no compiled form.
    """
    if kind not in _SUPPORTED and decimal_scale(kind) is None and not kind.strip('"') == "NULL":
        raise NotCompiled(sql, f"the type {kind} has no compiled form")
    value = None if kind.strip('"') == "NULL" else oracle.constant(sql, kind)
    code = constant_code(value)
    if code.startswith(("datetime(", "date(")):
        code = body.global_constant(code)
    number = int(value) if isinstance(value, int) else 0
    return Value(
        code=code,
        kind=kind,
        nullable=value is None,
        low=number,
        high=number,
        nan=code == "NAN",
        constant=sql,
        literal=literal,
    )


class Caster:
    """Casts values; a constant is cast by DuckDB itself."""

    def __init__(self, oracle: Oracle, body: Body) -> None:
        self._oracle = oracle
        self._body = body

    def cast(self, value: Value, kind: str) -> Value:
        """The value as another type.

        :raises NotCompiled: if the cast has no exact compiled form.
        """
        if value.kind == kind:
            return value
        if value.is_null:
            return Value(code="None", kind=kind)
        if value.constant is not None:
            return make_constant(self._oracle, self._body, value.constant, kind)
        key = f"cast {value.code} {kind}"
        return self._body.known(key) or self._body.remember(key, self._cast(value, kind))

    def _cast(self, value: Value, kind: str) -> Value:
        direct = _DIRECT.get((value.kind, kind))
        if direct is not None:
            return self._body.guarded(direct.format(value.code), (value,), kind)
        if decimal_scale(kind) is not None or decimal_scale(value.kind) is not None:
            return self._cast_decimal(value, kind)
        if kind in INTEGERS:
            return self._cast_to_integer(value, kind)
        if value.kind in INTEGERS and kind in {"DOUBLE", "VARCHAR", "BOOLEAN"}:
            text = {"DOUBLE": "float({0})", "VARCHAR": "str({0})", "BOOLEAN": "{0} != 0"}[kind]
            return self._body.guarded(text.format(value.code), (value,), kind)
        raise self._refusal(value, kind)

    def _cast_to_integer(self, value: Value, kind: str) -> Value:
        low, high = INTEGERS[kind]
        if value.kind in INTEGERS:
            if low <= value.low and value.high <= high:
                return replace(value, kind=kind)
            bounds = {"low": max(low, value.low), "high": min(high, value.high)}
            return self._body.guarded(f"fits({value.code}, {low}, {high})", (value,), kind, **bounds)
        text = {"BOOLEAN": "int({0})", "DOUBLE": "float_to_int({0}, {1}, {2})", "VARCHAR": "text_to_int({0}, {1}, {2})"}
        if value.kind not in text:
            raise self._refusal(value, kind)
        bounds = {"low": 0, "high": 1} if value.kind == "BOOLEAN" else {"low": low, "high": high}
        return self._body.guarded(text[value.kind].format(value.code, low, high), (value,), kind, **bounds)

    def _cast_decimal(self, value: Value, kind: str) -> Value:
        before, after = decimal_scale(value.kind), decimal_scale(kind)
        if before is not None and kind == "DOUBLE":
            return self._body.guarded(f"decimal_to_float({value.code}, {before[1]})", (value,), kind)
        if after is None or (before is None and value.kind not in INTEGERS):
            raise self._refusal(value, kind)
        scaled = self.scale(value, after[1])
        largest = 10 ** after[0] - 1
        if -largest <= scaled.low and scaled.high <= largest:
            return replace(scaled, kind=kind)
        bounds = {"low": max(-largest, scaled.low), "high": min(largest, scaled.high)}
        return self._body.guarded(f"fits({scaled.code}, {-largest}, {largest})", (scaled,), kind, **bounds)

    def scale(self, value: Value, scale: int) -> Value:
        """An integer or decimal as integer of a scale that is not smaller; its kind says DECIMAL of any width."""
        if value.is_null:
            return value
        before = decimal_scale(value.kind) or (0, 0)
        if scale < before[1]:
            raise self._refusal(value, f"DECIMAL with scale {scale}")
        factor = 10 ** (scale - before[1])
        kind = f"DECIMAL(38,{scale})"
        low, high = value.low * factor, value.high * factor
        if value.constant is not None:
            return Value(code=repr(low), kind=kind, nullable=False, low=low, high=high)
        if factor == 1:
            return replace(value, kind=kind)
        return self._body.guarded(f"{value.code} * {factor}", (value,), kind, low=low, high=high)

    def unify(self, values: Sequence[Value], expression: str) -> list[Value]:
        """The values as the one type in which DuckDB compares them.

        :raises NotCompiled: if that type is not certain.
        """
        kinds = {value.kind for value in values if not value.is_null and not value.literal}
        if not kinds:
            kinds = {"VARCHAR"}
        if len(kinds) == 1 and not any(decimal_scale(kind) for kind in kinds):
            return [self.cast(value, next(iter(kinds))) for value in values]
        if kinds == {"DATE", "TIMESTAMP"}:
            return [self.cast(value, "TIMESTAMP") for value in values]
        numbers = [kind for kind in kinds if kind in INTEGERS or kind == "DOUBLE" or decimal_scale(kind)]
        if len(numbers) == len(kinds) and not any(value.literal for value in values):
            if "DOUBLE" in kinds:
                return [self.cast(value, "DOUBLE") for value in values]
            scale = max((decimal_scale(kind) or (0, 0))[1] for kind in kinds)
            return [self.scale(value, scale) for value in values]
        raise NotCompiled(expression, f"it compares {', '.join(sorted(kinds))}")

    def _refusal(self, value: Value, kind: str) -> NotCompiled:
        return NotCompiled(value.constant or value.code, f"a cast from {value.kind} to {kind} has no exact form")

"""Arithmetic in the generated code: checked integers, exact decimals, IEEE floats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from include.features.compiled.values import INTEGERS, Handler, NotCompiled, Value, decimal_scale

if TYPE_CHECKING:
    from sqlglot import exp

    from include.features.compiled.compiler import Compiler

_OPERATORS: Final = {"Add": "+", "Sub": "-", "Mul": "*"}
_EXACT: Final[dict[str, Callable[[int, int], int]]] = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}
_BITS: Final = {"BitwiseAnd": "&", "BitwiseOr": "|", "BitwiseXor": "^"}


def _arithmetic(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    operator = _OPERATORS[type(node).__name__]
    left, right, kind = compiler.value(node.this), compiler.value(node.expression), compiler.oracle.kind(sql)
    if left.kind == right.kind == "DATE" and operator == "-" and kind == "BIGINT":
        return compiler.body.guarded(f"days_between({right.code}, {left.code})", (left, right), kind)
    if kind == "DOUBLE":
        left, right = compiler.caster.cast(left, kind), compiler.caster.cast(right, kind)
        return compiler.body.guarded(f"{left.code} {operator} {right.code}", (left, right), kind, nan=True)
    scale = decimal_scale(kind)
    if scale is not None:
        if operator == "*":
            scales = [(decimal_scale(v.kind) or (0, 0))[1] for v in (left, right)]
            left, right = (compiler.caster.scale(v, s) for v, s in zip((left, right), scales, strict=True))
            if sum(scales) != scale[1]:
                raise NotCompiled(sql, f"its type {kind} does not keep all digits")
        else:
            left, right = compiler.caster.scale(left, scale[1]), compiler.caster.scale(right, scale[1])
        return _exact(compiler, operator, left, right, kind, 10 ** scale[0] - 1)
    if kind in INTEGERS:
        left, right = compiler.caster.cast(left, kind), compiler.caster.cast(right, kind)
        return _exact(compiler, operator, left, right, kind, INTEGERS[kind][1])
    raise NotCompiled(sql, f"it gives a {kind}")


def _exact(compiler: Compiler, operator: str, left: Value, right: Value, kind: str, largest: int) -> Value:
    """Integer arithmetic; checked for overflow only where that can happen."""
    if left.is_null or right.is_null:
        return Value(code="None", kind=kind)
    smallest = INTEGERS[kind][0] if kind in INTEGERS else -largest
    calculate = _EXACT[operator]
    ends = [calculate(a, b) for a in (left.low, left.high) for b in (right.low, right.high)]
    low, high, text = min(ends), max(ends), f"{left.code} {operator} {right.code}"
    if low < smallest or high > largest:
        text = f"fits({text}, {smallest}, {largest})"
    return compiler.body.guarded(text, (left, right), kind, low=max(low, smallest), high=min(high, largest))


def _neg(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    value, kind = compiler.value(node.this), compiler.oracle.kind(sql)
    if kind == value.kind == "DOUBLE":
        return compiler.body.guarded(f"-{value.code}", (value,), kind, nan=value.nan)
    if kind == value.kind and kind in INTEGERS:
        return _exact(
            compiler, "-", Value(code="0", kind=kind, nullable=False, low=0, high=0), value, kind, INTEGERS[kind][1]
        )
    raise NotCompiled(sql, f"a negative {value.kind} has no compiled form")


def _div(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    if compiler.oracle.kind(sql) != "DOUBLE":
        raise NotCompiled(sql, f"a division that gives {compiler.oracle.kind(sql)} has no compiled form")
    left, right = (compiler.caster.cast(compiler.value(part), "DOUBLE") for part in (node.this, node.expression))
    safe = right.constant is not None and not right.is_null and right.code not in {"0.0", "-0.0", "NAN"}
    text = f"{left.code} / {right.code}" if safe else f"divide({left.code}, {right.code})"
    return compiler.body.guarded(text, (left, right), "DOUBLE", nan=True)


def _intdiv(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    kind = compiler.oracle.kind(sql)
    left, right = (compiler.caster.cast(compiler.value(part), kind) for part in (node.this, node.expression))
    if kind not in INTEGERS:
        raise NotCompiled(sql, f"an integer division that gives {kind} has no compiled form")
    if right.constant is None or right.low <= 1:
        return compiler.body.guarded(f"int_divide({left.code}, {right.code})", (left, right), kind)
    text = f"{left.code} // {right.code}"
    if left.low < 0:
        text = f"{text} if {left.code} >= 0 else -(-{left.code} // {right.code})"
    low, high = -(-left.low // right.low) if left.low < 0 else left.low // right.low, left.high // right.low
    return compiler.body.guarded(f"({text})", (left, right), kind, low=low, high=max(high, low))


def _mod(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    kind = compiler.oracle.kind(sql)
    left, right = (compiler.caster.cast(compiler.value(part), kind) for part in (node.this, node.expression))
    if kind == "DOUBLE":
        return compiler.body.guarded(f"math.fmod({left.code}, {right.code})", (left, right), kind, nan=True)
    if kind not in INTEGERS:
        raise NotCompiled(sql, f"a modulo that gives {kind} has no compiled form")
    if right.constant is None or right.low <= 1:
        return compiler.body.guarded(f"int_modulo({left.code}, {right.code})", (left, right), kind)
    text = f"{left.code} % {right.code}"
    if left.low < 0:
        text = f"{text} if {left.code} >= 0 else -(-{left.code} % {right.code})"
    low = 1 - right.low if left.low < 0 else 0
    return compiler.body.guarded(f"({text})", (left, right), kind, low=low, high=right.low - 1)


def _bits(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    operator = _BITS[type(node).__name__]
    kind = compiler.oracle.kind(sql)
    if kind not in INTEGERS:
        raise NotCompiled(sql, f"bits of a {kind} have no compiled form")
    left, right = (compiler.caster.cast(compiler.value(part), kind) for part in (node.this, node.expression))
    low, high = INTEGERS[kind]
    return compiler.body.guarded(f"{left.code} {operator} {right.code}", (left, right), kind, low=low, high=high)


HANDLERS: Final[Mapping[str, Handler]] = {
    **dict.fromkeys(_OPERATORS, _arithmetic),
    **dict.fromkeys(_BITS, _bits),
    "Neg": _neg,
    "Div": _div,
    "IntDiv": _intdiv,
    "Mod": _mod,
}

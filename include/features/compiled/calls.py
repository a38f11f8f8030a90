"""Casts, texts, times and functions in the generated code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from include.features.compiled.functions import DIFFERENCES, FORMS, TRIMS, TRUNCATIONS, Form, arguments
from include.features.compiled.values import INTEGERS, Handler, NotCompiled, Value, decimal_scale

if TYPE_CHECKING:
    from sqlglot import exp

    from include.features.compiled.compiler import Compiler


def _cast(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    return compiler.caster.cast(compiler.value(node.this), compiler.oracle.kind(sql))


def _dpipe(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    left, right = compiler.value(node.this), compiler.value(node.expression)
    if {left.kind, right.kind} != {"VARCHAR"}:
        raise NotCompiled(sql, f"|| of {left.kind} and {right.kind} has no compiled form")
    return compiler.body.guarded(f"{left.code} + {right.code}", (left, right), "VARCHAR")


def _concat(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    parts = [compiler.value(part) for part in node.expressions]
    if any(part.kind != "VARCHAR" for part in parts):
        raise NotCompiled(sql, "concat is compiled for texts")
    texts = [f"({part.code} or '')" if part.nullable else part.code for part in parts]
    return Value(code=compiler.body.assign(" + ".join(texts)), kind="VARCHAR", nullable=False)


def _trim(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    value, position = compiler.value(node.this), node.args.get("position")
    if value.kind != "VARCHAR" or node.args.get("expression") is not None or position not in TRIMS:
        raise NotCompiled(sql, "trim is compiled for the blanks of a text")
    return compiler.body.guarded(f"ascii_only({value.code}).{TRIMS[position]}(' ')", (value,), "VARCHAR")


def _timestamptrunc(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    value, unit = compiler.value(node.this), str(node.args["unit"].name).lower()
    if value.kind != "TIMESTAMP" or compiler.oracle.kind(sql) != "TIMESTAMP" or unit not in TRUNCATIONS:
        raise NotCompiled(sql, f"date_trunc of a {value.kind} to the {unit} has no compiled form")
    return compiler.body.guarded(TRUNCATIONS[unit].format(value.code), (value,), "TIMESTAMP")


def _datediff(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    start, end = compiler.caster.unify([compiler.value(node.expression), compiler.value(node.this)], sql)
    unit = str(node.args["unit"].name).lower() if node.args.get("unit") is not None else ""
    if start.kind != "TIMESTAMP" or unit not in DIFFERENCES:
        raise NotCompiled(sql, f"date_diff of {start.kind} in the unit {unit!r} has no compiled form")
    return compiler.body.guarded(DIFFERENCES[unit].format(start.code, end.code), (start, end), "BIGINT")


def _function(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    name = type(node).__name__
    values = [compiler.value(part) for part in arguments(node)]
    if name == "Abs" and values[0].kind in INTEGERS:
        return _absolute(compiler, values[0], sql)
    if name in {"Ceil", "Floor", "Round", "Trunc"} and values[0].kind in INTEGERS and len(values) == 1:
        return compiler.caster.cast(values[0], compiler.oracle.kind(sql))
    if name == "Round" and len(values) == 2:
        return _rounded(compiler, values, sql)
    return call(compiler, FORMS[name], values, sql)


def _absolute(compiler: Compiler, value: Value, sql: str) -> Value:
    kind = compiler.oracle.kind(sql)
    low, high = INTEGERS.get(kind, (0, -1))
    if value.kind != kind:
        raise NotCompiled(sql, f"abs of a {value.kind} that gives {kind} has no compiled form")
    most = min(high, max(abs(value.low), abs(value.high)))
    return compiler.body.guarded(f"fits(abs({value.code}), {low}, {high})", (value,), kind, low=0, high=most)


def _rounded(compiler: Compiler, values: Sequence[Value], sql: str) -> Value:
    value, digits = values
    if value.kind != "DOUBLE" or digits.constant is None or digits.is_null or not 0 <= digits.low <= 15:
        raise NotCompiled(sql, "round is compiled for a DOUBLE and 0 to 15 digits")
    return compiler.body.guarded(f"round_to({value.code}, {digits.low})", (value,), "DOUBLE", nan=True)


def call(compiler: Compiler, forms: Sequence[Form], values: Sequence[Value], sql: str) -> Value:
    """The first form that takes these values and gives what DuckDB says it gives."""
    kind = compiler.oracle.kind(sql)
    for form in forms:
        if form.gives == kind and len(form.takes) == len(values):
            taken = [_taken(compiler, value, wanted) for value, wanted in zip(values, form.takes, strict=True)]
            arguments = [value for value in taken if value is not None]
            if len(arguments) == len(values):
                text = form.text.format(*(value.code for value in arguments))
                return compiler.body.guarded(text, tuple(arguments), kind, **form.bounds)
    kinds = ", ".join(value.kind for value in values)
    raise NotCompiled(sql, f"the function has no compiled form for {kinds}")


def _taken(compiler: Compiler, value: Value, wanted: str) -> Value | None:
    if wanted == "INTEGER" and value.kind in INTEGERS:
        return value
    if wanted == "DOUBLE" and (value.kind in INTEGERS or decimal_scale(value.kind)):
        return compiler.caster.cast(value, wanted)
    return value if value.kind == wanted or value.is_null else None


HANDLERS: Final[Mapping[str, Handler]] = {
    **dict.fromkeys(FORMS, _function),
    "Cast": _cast,
    "TryCast": _cast,
    "DPipe": _dpipe,
    "Concat": _concat,
    "Trim": _trim,
    "TimestampTrunc": _timestamptrunc,
    "DateDiff": _datediff,
}

"""Conditions in the generated code: comparisons and DuckDB's three-valued logic."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import reduce
from typing import TYPE_CHECKING, Final

from include.features.compiled.values import Handler, NotCompiled, Value

if TYPE_CHECKING:
    from sqlglot import exp

    from include.features.compiled.compiler import Compiler

#: Python text by the name of sqlglot's node, and the text for floats that may be NaN.
COMPARISONS: Final = {
    "EQ": ("{0} == {1}", "float_equal({0}, {1})"),
    "NEQ": ("{0} != {1}", "not float_equal({0}, {1})"),
    "LT": ("{0} < {1}", "float_less({0}, {1})"),
    "GT": ("{0} > {1}", "float_less({1}, {0})"),
    "LTE": ("{0} <= {1}", "not float_less({1}, {0})"),
    "GTE": ("{0} >= {1}", "not float_less({0}, {1})"),
}


def compare(compiler: Compiler, name: str, left: Value, right: Value, sql: str) -> Value:
    """A comparison of two values, in the type in which DuckDB compares them.

    :param name: sqlglot's name of the comparison.
    :raises NotCompiled: if that type is not certain.
    """
    left, right = compiler.caster.unify([left, right], sql)
    plain, careful = COMPARISONS[name]
    text = careful if left.kind == "DOUBLE" and (left.nan or right.nan) else plain
    return compiler.body.guarded(text.format(left.code, right.code), (left, right), "BOOLEAN")


def _boolean_operands(compiler: Compiler, node: exp.Expr, sql: str) -> tuple[Value, Value]:
    values = compiler.value(node.this), compiler.value(node.expression)
    for value in values:
        if value.kind != "BOOLEAN" and not value.is_null:
            raise NotCompiled(sql, f"it takes a {value.kind} as condition")
    return values


def _and(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    return both(compiler, *_boolean_operands(compiler, node, sql))


def both(compiler: Compiler, left: Value, right: Value) -> Value:
    """Whether two conditions hold."""
    return junction(compiler, left, right, "False", "and")


def _or(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    return junction(compiler, *_boolean_operands(compiler, node, sql), "True", "or")


def junction(compiler: Compiler, left: Value, right: Value, deciding: str, word: str) -> Value:
    """AND and OR: one deciding operand decides, else a null makes it null."""
    if not left.nullable and not right.nullable:
        return Value(code=compiler.body.assign(f"{left.code} {word} {right.code}"), kind="BOOLEAN", nullable=False)
    other = "True" if deciding == "False" else "False"
    decided = f"{left.code} is {deciding} or {right.code} is {deciding}"
    absent = f"{left.code} is None or {right.code} is None"
    return Value(
        code=compiler.body.assign(f"{deciding} if {decided} else None if {absent} else {other}"), kind="BOOLEAN"
    )


def _not(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    value = compiler.value(node.this)
    if value.kind != "BOOLEAN" and not value.is_null:
        raise NotCompiled(sql, f"it takes a {value.kind} as condition")
    return compiler.body.guarded(f"not {value.code}", (value,), "BOOLEAN")


def _is(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    from sqlglot import exp

    value = compiler.value(node.this)
    if isinstance(node.expression, exp.Null):
        return Value(code=compiler.body.assign(f"{value.code} is None"), kind="BOOLEAN", nullable=False)
    if isinstance(node.expression, exp.Boolean) and value.kind == "BOOLEAN":
        wanted = bool(node.expression.this)
        return Value(code=compiler.body.assign(f"{value.code} is {wanted}"), kind="BOOLEAN", nullable=False)
    raise NotCompiled(sql, "IS is compiled with NULL, TRUE and FALSE")


def _nullsafeeq(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    left, right = compiler.value(node.this), compiler.value(node.expression)
    equal = compare(compiler, "EQ", left, right, sql)
    both = " and ".join(f"{value.code} is None" for value in (left, right))
    text = f"{equal.code} if {equal.code} is not None else {both if left.nullable and right.nullable else False}"
    return Value(code=compiler.body.assign(text), kind="BOOLEAN", nullable=False)


def _nullsafeneq(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    return compiler.body.guarded(f"not {_nullsafeeq(compiler, node, sql).code}", (), "BOOLEAN")


def _between(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    parts = [compiler.value(node.this), compiler.value(node.args["low"]), compiler.value(node.args["high"])]
    if node.args.get("symmetric"):
        raise NotCompiled(sql, "BETWEEN SYMMETRIC has no compiled form")
    value, low, high = compiler.caster.unify(parts, sql)
    return both(compiler, compare(compiler, "GTE", value, low, sql), compare(compiler, "LTE", value, high, sql))


def _in(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    if node.args.get("unnest") is not None or node.args.get("field") is not None or not node.expressions:
        raise NotCompiled(sql, "IN is compiled with a list of values")
    value, *items = compiler.caster.unify([compiler.value(part) for part in (node.this, *node.expressions)], sql)
    plain = all(item.constant is not None and not item.is_null for item in items)
    if plain and value.kind == "VARCHAR":
        allowed = compiler.body.global_constant(f"frozenset(({', '.join(item.code for item in items)},))")
        return compiler.body.guarded(f"{value.code} in {allowed}", (value,), "BOOLEAN")
    each = [compare(compiler, "EQ", value, item, sql) for item in items]
    return reduce(lambda left, right: junction(compiler, left, right, "True", "or"), each)


def _like(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    text, pattern = compiler.value(node.this), compiler.value(node.expression)
    if text.kind != "VARCHAR" or not pattern.literal:
        raise NotCompiled(sql, "LIKE is compiled for a text and a literal pattern")
    wanted = str(node.expression.this)
    pieces = (".*" if c == "%" else "." if c == "_" else re.escape(c) for c in wanted)
    compiled = compiler.body.global_constant(f"re.compile({''.join(pieces)!a}, re.DOTALL).fullmatch")
    matches = "is None" if node.args.get("negate") else "is not None"
    return compiler.body.guarded(f"{compiled}({text.code}) {matches}", (text,), "BOOLEAN")


def _comparison(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    return compare(compiler, type(node).__name__, compiler.value(node.this), compiler.value(node.expression), sql)


HANDLERS: Final[Mapping[str, Handler]] = {
    **dict.fromkeys(COMPARISONS, _comparison),
    "And": _and,
    "Or": _or,
    "Not": _not,
    "Is": _is,
    "NullSafeEQ": _nullsafeeq,
    "NullSafeNEQ": _nullsafeneq,
    "Between": _between,
    "In": _in,
    "Like": _like,
}

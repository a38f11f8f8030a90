"""Choices between values in the generated code: only the chosen one is computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from include.features.compiled.logic import COMPARISONS, compare
from include.features.compiled.values import Handler, NotCompiled, Value

if TYPE_CHECKING:
    from sqlglot import exp

    from include.features.compiled.compiler import Compiler


def _case(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    from sqlglot import exp

    subject = node.args.get("this")
    whens = []
    for branch in node.args["ifs"]:
        condition = branch.this if subject is None else exp.EQ(this=subject.copy(), expression=branch.this.copy())
        whens.append((condition, branch.args["true"]))
    return _choose(compiler, whens, node.args.get("default"), sql)


def _if(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    return _choose(compiler, [(node.this, node.args["true"])], node.args.get("false"), sql)


def _choose(compiler: Compiler, whens: Sequence[tuple[Any, Any]], default: Any, sql: str) -> Value:
    """The first branch whose condition is true; the others are not computed."""
    kind, result = compiler.oracle.kind(sql), compiler.body.variable()
    chosen: list[Value] = []

    def finish(node: Any) -> None:
        value = Value(code="None", kind=kind) if node is None else compiler.caster.cast(compiler.value(node), kind)
        compiler.body.line(f"{result} = {value.code}")
        chosen.append(value)

    def branch(rest: Sequence[tuple[Any, Any]]) -> None:
        if not rest:
            finish(default)
            return
        condition = compiler.value(rest[0][0])
        if condition.kind != "BOOLEAN" and not condition.is_null:
            raise NotCompiled(sql, f"it takes a {condition.kind} as condition")
        with compiler.body.block(f"if {condition.code}:"):
            finish(rest[0][1])
        with compiler.body.block("else:"):
            branch(rest[1:])

    branch(whens)
    return _either(result, kind, chosen)


def _coalesce(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    """The first that is not null; the others are not computed."""
    kind, result = compiler.oracle.kind(sql), compiler.body.variable()
    chosen: list[Value] = []

    def first(nodes: Sequence[Any]) -> None:
        value = compiler.caster.cast(compiler.value(nodes[0]), kind)
        chosen.append(value)
        compiler.body.line(f"{result} = {value.code}")
        if len(nodes) > 1 and value.nullable:
            with compiler.body.block(f"if {result} is None:"):
                first(nodes[1:])

    first([node.this, *node.expressions])
    return replace(_either(result, kind, chosen), nullable=all(value.nullable for value in chosen))


def _nullif(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    value, other = compiler.value(node.this), compiler.value(node.expression)
    kind = compiler.oracle.kind(sql)
    equal, value = compare(compiler, "EQ", value, other, sql), compiler.caster.cast(value, kind)
    code = compiler.body.assign(f"None if {equal.code} else {value.code}")
    return replace(value, code=code, nullable=True, constant=None, literal=False)


def _greatest(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    return _extreme(compiler, node, sql, "GT")


def _least(compiler: Compiler, node: exp.Expr, sql: str) -> Value:
    return _extreme(compiler, node, sql, "LT")


def _extreme(compiler: Compiler, node: exp.Expr, sql: str, comparison: str) -> Value:
    """The first of the largest or smallest; nulls are passed over."""
    kind = compiler.oracle.kind(sql)
    values = [compiler.caster.cast(compiler.value(part), kind) for part in (node.this, *node.expressions)]
    careful = kind == "DOUBLE" and any(value.nan for value in values)
    text = COMPARISONS[comparison][1 if careful else 0]
    result = compiler.body.assign(values[0].code)
    for value in values[1:]:
        if value.is_null:
            continue
        better = f"({result} is None or {text.format(value.code, result)})"
        present = f"{value.code} is not None and " if value.nullable else ""
        with compiler.body.block(f"if {present}{better}:"):
            compiler.body.line(f"{result} = {value.code}")
    return replace(_either(result, kind, values), nullable=all(value.nullable for value in values))


def _either(code: str, kind: str, values: Sequence[Value]) -> Value:
    """A variable that holds one of these values."""
    bounds = [value for value in values if not value.is_null]
    return Value(
        code=code,
        kind=kind,
        nullable=any(value.nullable for value in values),
        low=min((value.low for value in bounds), default=0),
        high=max((value.high for value in bounds), default=0),
        nan=any(value.nan for value in values),
    )


HANDLERS: Final[Mapping[str, Handler]] = {
    "Case": _case,
    "If": _if,
    "Coalesce": _coalesce,
    "Nullif": _nullif,
    "Greatest": _greatest,
    "Least": _least,
}

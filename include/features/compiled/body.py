"""The generated function while it grows: lines, variables, blocks, and constants beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from include.features.compiled.values import NotCompiled, Value

_DEEPEST = 60


class Body:
    """Lines of the generated function; what was computed in a block is known only there and in blocks inside."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.constants: list[str] = []
        self._depth = 1
        self._variables = 0
        self._known: list[dict[str, Value]] = [{}]

    def known(self, key: str) -> Value | None:
        """What was computed for this key on the way here."""
        for scope in reversed(self._known):
            if key in scope:
                return scope[key]
        return None

    def remember(self, key: str, value: Value) -> Value:
        """Remember what was computed, as long as this block lasts."""
        self._known[-1][key] = value
        return value

    def variable(self) -> str:
        """A new variable's name."""
        self._variables += 1
        return f"v{self._variables}"

    def line(self, text: str) -> None:
        """Add a line to the current block."""
        self.lines.append("    " * self._depth + text)

    def assign(self, text: str) -> str:
        """Assign an expression to a new variable."""
        name = self.variable()
        self.line(f"{name} = {text}")
        return name

    def global_constant(self, text: str) -> str:
        """A constant that is made once, when the module is loaded."""
        name = f"K{len(self.constants) + 1}"
        self.constants.append(f"{name} = {text}")
        return name

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Lines under a head such as ``if v1:``.

        :raises NotCompiled: if blocks lie too deep in each other.
        """
        if self._depth >= _DEEPEST:
            raise NotCompiled(head, "conditions are nested too deep")
        self.line(head)
        self._depth += 1
        self._known.append({})
        try:
            yield
        finally:
            self._known.pop()
            self._depth -= 1

    def guarded(self, text: str, operands: tuple[Value, ...], kind: str, **bounds: Any) -> Value:
        """A new value: the expression's, or null where an operand is null."""
        if any(operand.is_null for operand in operands):
            return Value(code="None", kind=kind)
        nulls = [operand.code for operand in dict.fromkeys(operands) if operand.nullable]
        absent = " or ".join(f"{code} is None" for code in dict.fromkeys(nulls))
        code = self.assign(f"None if {absent} else {text}" if absent else text)
        return Value(code=code, kind=kind, nullable=bool(absent), **bounds)

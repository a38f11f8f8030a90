"""The functions that have an exact compiled form: what they take, what Python does, what DuckDB gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from include.features.compiled.runtime import LARGEST

if TYPE_CHECKING:
    from sqlglot import exp


@dataclass(frozen=True)
class Form:
    """One compiled form of a function.

    :param takes: DuckDB types of the arguments; INTEGER stands for every integer type.
    :param text: Python text with the arguments' places.
    :param gives: DuckDB's result type; anything else from DuckDB means that the form does not fit.
    :param bounds: what is known of the result.
    """

    takes: tuple[str, ...]
    text: str
    gives: str
    bounds: dict[str, Any] = field(default_factory=dict)


_T, _D, _V, _I, _B, _DAY = "TIMESTAMP", "DOUBLE", "VARCHAR", "INTEGER", "BOOLEAN", "DATE"
_NAN: Final = {"nan": True}


def _part(text: str, low: int, high: int, *, of_day: bool = True) -> tuple[Form, ...]:
    kinds = (_T, _DAY) if of_day else (_T,)
    return tuple(Form((kind,), text, "BIGINT", {"low": low, "high": high}) for kind in kinds)


PARTS: Final[dict[str, tuple[Form, ...]]] = {
    "year": _part("{0}.year", 1, 9999),
    "quarter": _part("({0}.month + 2) // 3", 1, 4),
    "month": _part("{0}.month", 1, 12),
    "week": _part("{0}.isocalendar()[1]", 1, 53),
    "isoyear": _part("{0}.isocalendar()[0]", 0, 10000),
    "day": _part("{0}.day", 1, 31),
    "doy": _part("day_of_year({0})", 1, 366),
    "dow": _part("{0}.isoweekday() % 7", 0, 6),
    "isodow": _part("{0}.isoweekday()", 1, 7),
    "hour": _part("{0}.hour", 0, 23, of_day=False),
    "minute": _part("{0}.minute", 0, 59, of_day=False),
    "second": _part("{0}.second", 0, 59, of_day=False),
    "millisecond": _part("{0}.second * 1000 + {0}.microsecond // 1000", 0, 59999, of_day=False),
    "epoch": (Form((_T,), "epoch({0})", "DOUBLE"),),
}
_PART_NAMES: Final = {
    "dayofyear": "doy",
    "dayofweek": "dow",
    "weekday": "dow",
    "dayofmonth": "day",
    "weekofyear": "week",
    "dayofweekiso": "isodow",
    "timetounix": "epoch",
}

TRUNCATIONS: Final = {
    "year": "datetime({0}.year, 1, 1)",
    "quarter": "datetime({0}.year, ({0}.month - 1) // 3 * 3 + 1, 1)",
    "month": "datetime({0}.year, {0}.month, 1)",
    "week": "start_of_day({0} - timedelta(days={0}.weekday()))",
    "day": "start_of_day({0})",
    "hour": "{0}.replace(minute=0, second=0, microsecond=0)",
    "minute": "{0}.replace(second=0, microsecond=0)",
    "second": "{0}.replace(microsecond=0)",
}
DIFFERENCES: Final = {
    "year": "{1}.year - {0}.year",
    "month": "months_between({0}, {1})",
    "day": "days_between({0}, {1})",
    "hour": "units_between({0}, {1}, 3600000000)",
    "minute": "units_between({0}, {1}, 60000000)",
    "second": "units_between({0}, {1}, 1000000)",
}

#: Forms by the name of sqlglot's node.
FORMS: Final[dict[str, tuple[Form, ...]]] = {
    "Abs": (Form((_D,), "abs({0})", _D, _NAN),),
    "Ceil": (Form((_D,), "ceil({0})", _D, _NAN),),
    "Floor": (Form((_D,), "floor({0})", _D, _NAN),),
    "Trunc": (Form((_D,), "truncate({0})", _D, _NAN),),
    "Round": (Form((_D,), "round_half_away({0})", _D, _NAN),),
    "Sign": (
        Form((_D,), "sign({0})", "TINYINT", {"low": -1, "high": 1}),
        Form((_I,), "sign({0})", "TINYINT", {"low": -1, "high": 1}),
    ),
    "Sqrt": (Form((_D,), "math.sqrt({0})", _D, _NAN),),
    "Exp": (Form((_D,), "math.exp({0})", _D, _NAN),),
    "Ln": (Form((_D,), "math.log({0})", _D, _NAN),),
    "Log": (
        Form((_D,), "math.log10({0})", _D, _NAN),
        Form((_D, _D), "math.log10({1}) / math.log10({0})", _D, _NAN),
    ),
    "Sin": (Form((_D,), "math.sin({0})", _D, _NAN),),
    "Cos": (Form((_D,), "math.cos({0})", _D, _NAN),),
    "Pow": (Form((_D, _D), "math.pow({0}, {1})", _D, _NAN),),
    "IsNan": (Form((_D,), "{0} != {0}", _B),),
    "Dayname": (Form((_T,), "DAYS[{0}.weekday()]", _V), Form((_DAY,), "DAYS[{0}.weekday()]", _V)),
    "Monthname": (Form((_T,), "MONTHS[{0}.month - 1]", _V), Form((_DAY,), "MONTHS[{0}.month - 1]", _V)),
    "Lower": (Form((_V,), "ascii_only({0}).lower()", _V),),
    "Upper": (Form((_V,), "ascii_only({0}).upper()", _V),),
    "Length": (Form((_V,), "len({0})", "BIGINT", {"low": 0, "high": LARGEST}),),
    "Reverse": (Form((_V,), "ascii_only({0})[::-1]", _V),),
    "StartsWith": (Form((_V, _V), "{0}.startswith({1})", _B),),
    "EndsWith": (Form((_V, _V), "{0}.endswith({1})", _B),),
    "Contains": (Form((_V, _V), "({1} in {0})", _B),),
    "StrPosition": (Form((_V, _V), "{0}.find({1}) + 1", "BIGINT", {"low": 0, "high": LARGEST}),),
    "Replace": (Form((_V, _V, _V), "replace({0}, {1}, {2})", _V),),
    "Left": (Form((_V, _I), "from_left({0}, {1})", _V),),
    "Right": (Form((_V, _I), "from_right({0}, {1})", _V),),
    "Substring": (
        Form((_V, _I, _I), "substring({0}, {1}, {2})", _V),
        Form((_V, _I), f"substring({{0}}, {{1}}, {LARGEST})", _V),
    ),
}
TRIMS: Final = {None: "strip", "BOTH": "strip", "LEADING": "lstrip", "TRAILING": "rstrip"}
_OPERANDS: Final = ("this", "expression", "expressions")
_ARGUMENTS: Final = {
    "Left": ("this", "expression"),
    "Right": ("this", "expression"),
    "StartsWith": ("this", "expression"),
    "EndsWith": ("this", "expression"),
    "Contains": ("this", "expression"),
    "Pow": ("this", "expression"),
    "StrPosition": ("this", "substr"),
    "Replace": ("this", "expression", "replacement"),
    "Substring": ("this", "start", "length"),
    "Round": ("this", "decimals"),
    "Log": ("this", "expression"),
    "Trim": ("this", "position"),
    "Like": ("this", "expression", "negate"),
    "Between": ("this", "low", "high"),
    "Case": ("this", "ifs", "default"),
    "If": ("this", "true", "false"),
    "Cast": ("this", "to"),
    "TryCast": ("this", "to"),
    "TimestampTrunc": ("this", "unit"),
    "DateDiff": ("expression", "this", "unit"),
}


#: What sqlglot notes of a node that DuckDB's meaning does not depend on.
_NOTES: Final = frozenset({"safe", "typed", "coalesce", "ignore_nulls", "date_part_boundary"})


def arguments(node: exp.Expr) -> list[exp.Expr]:
    """A function's arguments in DuckDB's order."""
    keys = _ARGUMENTS.get(type(node).__name__, ("this",))
    return [node.args[key] for key in keys if node.args.get(key) is not None]


def unread_arguments(node: exp.Expr) -> list[str]:
    """Arguments of a node that no handler reads, so that it must not be compiled."""
    name = type(node).__name__
    read = _ARGUMENTS.get(name, ("this",)) if name in FORMS else _ARGUMENTS.get(name, _OPERANDS)
    return [key for key, given in node.args.items() if given and key not in read and key not in _NOTES]


def date_part(node: exp.Expr) -> tuple[str, exp.Expr] | None:
    """Which part of which time a node takes, None if it is no such node or no part with a compiled form."""
    kind = type(node).__name__
    if kind == "Extract":
        name, of = str(node.this.name).lower(), node.expression
    elif kind == "Anonymous" and node.name.lower() in {"date_part", "datepart"} and len(node.expressions) == 2:
        first, of = node.expressions
        name = str(first.name).lower() if type(first).__name__ == "Literal" and first.is_string else ""
    elif kind == "Anonymous" and len(node.expressions) == 1:
        name, of = node.name.lower(), node.expressions[0]
    elif node.args.get("this") is not None and not node.args.get("mode"):
        name, of = kind.lower(), node.this
    else:
        return None
    name = _PART_NAMES.get(name, name)
    return (name, of) if name in PARTS else None

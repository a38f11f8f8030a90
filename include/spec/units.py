"""Well-known units: what a number in one of them is in another of the same quantity, as SQL."""

from __future__ import annotations

from fractions import Fraction
from typing import Final, Literal

Unit = Literal[
    "celsius", "fahrenheit", "kelvin",
    "millimetre", "centimetre", "metre", "kilometre", "inch", "foot", "yard", "mile", "nautical_mile",
    "gram", "kilogram", "tonne", "ounce", "pound",
    "metre_per_second", "kilometre_per_hour", "mile_per_hour", "knot",
    "millisecond", "second", "minute", "hour", "day",
]  # fmt: skip

#: Quantity, and the unit's size and zero point in the quantity's first unit (exact by definition).
_UNITS: Final[dict[str, tuple[str, Fraction, Fraction]]] = {
    "celsius": ("temperature", Fraction(1), Fraction(0)),
    "fahrenheit": ("temperature", Fraction(5, 9), Fraction(-160, 9)),
    "kelvin": ("temperature", Fraction(1), Fraction("-273.15")),
    **{
        unit: (quantity, Fraction(size), Fraction(0))
        for quantity, sizes in {
            "length": {
                "metre": "1", "millimetre": "0.001", "centimetre": "0.01", "kilometre": "1000", "inch": "0.0254",
                "foot": "0.3048", "yard": "0.9144", "mile": "1609.344", "nautical_mile": "1852",
            },
            "mass": {
                "kilogram": "1", "gram": "0.001", "tonne": "1000", "ounce": "0.028349523125", "pound": "0.45359237",
            },
            "speed": {
                "metre_per_second": "1", "kilometre_per_hour": "5/18", "mile_per_hour": "0.44704",
                "knot": "1852/3600",
            },
            "time": {"second": "1", "millisecond": "0.001", "minute": "60", "hour": "3600", "day": "86400"},
        }.items()
        for unit, size in sizes.items()
    },
}  # fmt: skip


def quantity(unit: Unit) -> str:
    """What is measured in a unit: temperature, length, mass, speed or time."""
    return _UNITS[unit][0]


def convert_sql(value: str, old: Unit, new: Unit) -> str:
    """SQL of a DOUBLE: a value in the old unit as one in the new unit.

    As people write it where that is exact: ``(x - 32) / 1.8``, and ``x * 1.8 + 32``.

    :param value: SQL of a number in the old unit.
    :param new: of the same quantity.
    """
    size, zero = _UNITS[old][1] / _UNITS[new][1], (_UNITS[old][2] - _UNITS[new][2]) / _UNITS[new][1]
    number = f"CAST({value} AS DOUBLE)"
    if zero and not _is_decimal(zero):
        return _scaled(f"({number} + {_literal(zero / size)})", size)
    scaled = _scaled(number, size)
    return f"({scaled} + {_literal(zero)})" if zero else scaled


def _scaled(value: str, size: Fraction) -> str:
    if size == 1:
        return value
    divided = not _is_decimal(size) and _is_decimal(1 / size)
    return f"({value} / {_literal(1 / size)})" if divided else f"({value} * {_literal(size)})"


def _is_decimal(number: Fraction) -> bool:
    """Whether a number has a finite decimal form."""
    rest = number.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def _literal(number: Fraction) -> str:
    """A DOUBLE literal; without an exponent DuckDB would read a DECIMAL."""
    text = f"{float(abs(number))!r}"
    text = text if "e" in text else f"{text}e0"
    return f"(-{text})" if number < 0 else text

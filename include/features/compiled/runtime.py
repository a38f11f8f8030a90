"""What compiled features call: DuckDB's scalar functions in plain Python, exact or not at all.

The text of this file is the head of every generated ``compiled_features.py``, so it must stay self-contained: standard
library only. A function never sees a null. Where Python cannot give DuckDB's very bits, and where DuckDB refuses the
row, a function raises; the caller then leaves the row to DuckDB.
"""

import math
import re
from datetime import date, datetime, timedelta  # noqa: F401 - generated code needs them

INF = math.inf
NAN = math.nan
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - timestamps have no zone here
LARGEST = 9223372036854775807
SMALLEST = -9223372036854775808
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_WHOLE = 2.0**52
_INTEGER_TEXT = re.compile(r"-?[0-9]{1,15}\Z")
_NUMBER_TEXT = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?\Z")


class LeftToDuckDB(ArithmeticError):
    """This row's value is DuckDB's to compute or to refuse."""


def fits(value: int, low: int, high: int) -> int:
    """An integer within the bounds of its type."""
    if low <= value <= high:
        return value
    raise LeftToDuckDB


# ---- numbers --------------------------------------------------------------------------------------------------------


def int_divide(left: int, right: int) -> int:
    """Integer division towards zero."""
    if right == 0 or right == -1:
        raise LeftToDuckDB
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def int_modulo(left: int, right: int) -> int:
    """The rest of an integer division towards zero; it has the dividend's sign."""
    if right == 0 or right == -1:
        raise LeftToDuckDB
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def divide(left: float, right: float) -> float:
    """Division of floats by IEEE 754, by zero too."""
    if right != 0.0:
        return left / right
    if left == 0.0 or left != left:
        return NAN
    return math.copysign(INF, left) * math.copysign(1.0, right)


def decimal_to_float(value: int, scale: int) -> float:
    """A scaled decimal as float, where one division gives it exactly rounded."""
    if -9007199254740992 <= value <= 9007199254740992 and scale <= 22:
        return value / 10.0**scale
    raise LeftToDuckDB


def float_to_int(value: float, low: int, high: int) -> int:
    """A float as integer, halves to the even one."""
    if not -9007199254740992.0 <= value <= 9007199254740992.0:
        raise LeftToDuckDB
    return fits(round(value), low, high)


def round_half_away(value: float) -> float:
    """The nearest whole number, halves away from zero."""
    if not -_WHOLE < value < _WHOLE:
        return value
    whole = float(math.trunc(value))
    if abs(value - whole) >= 0.5:
        whole += math.copysign(1.0, value)
    return math.copysign(whole, value)


def round_to(value: float, digits: int) -> float:
    """Rounded to a number of digits behind the point, halves away from zero."""
    scaled = value * 10.0**digits
    if not -_WHOLE < scaled < _WHOLE:
        raise LeftToDuckDB
    return round_half_away(scaled) / 10.0**digits


def floor(value: float) -> float:
    """The largest whole number that is not larger."""
    if not -_WHOLE < value < _WHOLE:
        return value
    whole = float(math.floor(value))
    return whole if whole != 0.0 else math.copysign(0.0, value)


def ceil(value: float) -> float:
    """The smallest whole number that is not smaller."""
    if not -_WHOLE < value < _WHOLE:
        return value
    whole = float(math.ceil(value))
    return whole if whole != 0.0 else math.copysign(0.0, value)


def truncate(value: float) -> float:
    """The whole number next to it towards zero."""
    if not -_WHOLE < value < _WHOLE:
        return value
    return math.copysign(float(math.trunc(value)), value)


def sign(value: float) -> int:
    """-1, 0 or 1; 0 for NaN."""
    return (value > 0) - (value < 0)


# ---- comparisons of floats that may be NaN: it equals itself and is larger than all others ---------------------------


def float_equal(left: float, right: float) -> bool:
    """Whether two floats are equal, NaN with NaN too."""
    return left == right or (left != left and right != right)


def float_less(left: float, right: float) -> bool:
    """Whether a float is smaller; NaN is the largest."""
    return left < right or (right != right and left == left)


# ---- texts ----------------------------------------------------------------------------------------------------------


def ascii_only(text: str) -> str:
    """A text of ASCII characters, for which Python and DuckDB agree on case, blanks and places."""
    if text.isascii():
        return text
    raise LeftToDuckDB


def from_left(text: str, count: int) -> str:
    """The first characters."""
    if count < 0:
        raise LeftToDuckDB
    return ascii_only(text)[:count]


def from_right(text: str, count: int) -> str:
    """The last characters."""
    if count < 0:
        raise LeftToDuckDB
    return ascii_only(text)[-count:] if count else ""


def substring(text: str, start: int, length: int) -> str:
    """Characters from a place, counted from 1."""
    if start < 1 or length < 0:
        raise LeftToDuckDB
    return ascii_only(text)[start - 1 : start - 1 + length]


def replace(text: str, old: str, new: str) -> str:
    """Every occurrence replaced; an empty one is none."""
    return text.replace(old, new) if old else text


def text_to_int(text: str, low: int, high: int) -> int:
    """A text of plain digits as integer."""
    if _INTEGER_TEXT.match(text) is None:
        raise LeftToDuckDB
    return fits(int(text), low, high)


def text_to_float(text: str) -> float:
    """A text of plain digits, with or without a point, as float."""
    if _NUMBER_TEXT.match(text) is None:
        raise LeftToDuckDB
    return float(text)


# ---- times ----------------------------------------------------------------------------------------------------------


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970."""
    since = moment - EPOCH
    return (since.days * 86400 + since.seconds) * 1000000 + since.microseconds


def epoch(moment: datetime) -> float:
    """Seconds since 1970."""
    return microseconds(moment) / 1e6


def day_of_year(day: date) -> int:
    """The day of the year, counted from 1."""
    return day.toordinal() - date(day.year, 1, 1).toordinal() + 1


def days_between(start: date, end: date) -> int:
    """Midnights between two days or moments."""
    return end.toordinal() - start.toordinal()


def months_between(start: date, end: date) -> int:
    """Starts of months between two days or moments."""
    return (end.year - start.year) * 12 + end.month - start.month


def units_between(start: datetime, end: datetime, unit: int) -> int:
    """Starts of hours, minutes or seconds between two moments since 1970.

    :param unit: its length in microseconds.
    """
    if start < EPOCH or end < EPOCH:
        raise LeftToDuckDB
    return microseconds(end) // unit - microseconds(start) // unit


def start_of_day(moment: datetime) -> datetime:
    """The midnight before."""
    return datetime(moment.year, moment.month, moment.day)  # noqa: DTZ001 - timestamps have no zone here

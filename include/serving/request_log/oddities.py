"""Records that cannot become rows, as a damaged disk leaves them, are left out alone: they hold no others up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

import pyarrow as pa

Item = TypeVar("Item")
_FAULTS: Final = (ValueError, KeyError, TypeError, IndexError, ArithmeticError, AttributeError, pa.ArrowException)


def tables_of(
    items: Sequence[Item], make: Callable[[Sequence[Item]], pa.Table], odd: list[tuple[Item, str]]
) -> Iterator[pa.Table]:
    """The items' rows, in order: one table of all, or if that cannot be made, of those before and after what is odd.

    :param make: makes the rows of some items; raises what Python or Arrow raises at values of the wrong kind.
    :param odd: takes the items that have no rows even alone, each with the reason.
    """
    if not items:
        return
    try:
        table = make(items)
    except _FAULTS as error:
        if len(items) == 1:
            odd.append((items[0], str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"))
            return
        middle = len(items) // 2
        yield from tables_of(items[:middle], make, odd)
        yield from tables_of(items[middle:], make, odd)
        return
    if table.num_rows:
        yield table

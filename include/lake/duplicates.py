"""Duplicates at ingest: of a partition's rows with the same entity one stays, as ``clean.duplicates`` says.

Which one does not depend on the order in which rows are delivered: ties go by the values of all columns. The rule is
part of the one query that every kind of source writes its raw rows by.
"""

from __future__ import annotations

from include.lake.connections import quote_name
from include.lake.writer import GROUP
from include.spec.definition import Definition


def kept_condition(definition: Definition) -> str:
    """A condition for QUALIFY on converted raw rows, by ``_group``: true for those that stay.

    Rows with a null in their entity are nobody's duplicates, and all stay.
    """
    rule, source = definition.clean.duplicates, definition.source
    if rule is None:
        return "true"
    by = rule.order_by or source.event_time
    names = dict.fromkeys([*([by] if by else []), *source.columns])
    direction = "ASC" if rule.keep == "first" else "DESC"
    order = ", ".join(f"{quote_name(name)} {direction} NULLS LAST" for name in names)
    same = ", ".join(map(quote_name, source.entity))
    nobody = " OR ".join(f"{quote_name(name)} IS NULL" for name in source.entity)
    return f"row_number() OVER (PARTITION BY {GROUP}, {same} ORDER BY {order}) = 1 OR {nobody}"


def duplicates_note(definition: Definition, delivered: int, left: int) -> str:
    """What a reader is told of a partition whose duplicates were left out."""
    rule, source = definition.clean.duplicates, definition.source
    keep, by = ("last", None) if rule is None else (rule.keep, rule.order_by)
    return (
        f"{delivered - left} of {delivered} rows were left out as duplicates: of rows with the same "
        f"{', '.join(source.entity)} the {keep} by {by or source.event_time} stays"
    )

"""Checks of the section history: names, keys, windows, and that nothing is used before it is known."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from include.spec.cleaned import cleaned
from include.spec.definition import ColumnType, Definition, PartitionSize
from include.spec.duration import format_duration
from include.spec.expressions import ExpressionError
from include.spec.histories import History, history_of
from include.spec.history import AGGREGATES, EVERY_ROW, HistoryGroup, HistoryValue
from include.spec.problems import Finding, KeyPath, choose

MOST_PARTITIONS: Final = 1000
"""Most partitions in a window: each is read again for every partition that follows it."""
KEY_TYPES: Final[tuple[ColumnType, ...]] = ("string", "integer", "boolean")
_LENGTHS: Final[dict[PartitionSize, timedelta]] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "month": timedelta(days=31),
}
_TAKEN: Final = frozenset({"label", "prediction", "part", "partition"})


def history_findings(definition: Definition, *, expressions: bool) -> Iterator[Finding]:
    """What is wrong with the groups of a definition.

    :param expressions: whether SQL may be parsed.
    """
    yield from _columns(definition)
    for name, group in definition.history.items():
        if group.model is None:
            yield from _own(("history", name), group, definition, expressions=expressions)
        else:
            yield from _borrowed(name, group, definition, expressions=expressions)


def _columns(definition: Definition) -> Iterator[Finding]:
    """Names that can be columns, and that nothing else has."""
    seen = {name.casefold(): f"the source's column {name}" for name in definition.source.columns}
    for name, group in definition.history.items():
        places: list[tuple[str, KeyPath]] = [(name, ("history", name))]
        places += [(one, ("history", name, "values", one)) for one in group.values]
        for part, keys in places:
            if not (part.isidentifier() and part.isascii()) or part.startswith("_") or len(part) > 60:
                cure = "Use letters, digits and underscores, starting with a letter."
                yield Finding(keys, f"{part[:80]!r} cannot be the name of a history or a value", cure)
        found = history_of(definition, name)
        for column in found.columns if found else ():
            keys = ("history", name)
            if column.casefold() in seen:
                cure = "Rename the group or the value."
                yield Finding(keys, f"its column {column} is {seen[column.casefold()]} already", cure)
            elif column.casefold() in _TAKEN or column.casefold().startswith("feature_"):
                yield Finding(
                    keys, f"the column name {column} is used by the features table itself", "Rename the group."
                )
            seen[column.casefold()] = f"a column of history {name}"


def _own(keys: KeyPath, group: HistoryGroup, definition: Definition, *, expressions: bool) -> Iterator[Finding]:
    if group.by is None:
        yield Finding(keys, "it has no key", "Add by, such as `by: [carrier]`, or `by: []` for one key for all rows.")
    if group.over is None:
        yield Finding(keys, "it has no window", "Add over, such as `over: 7d`.")
    else:
        yield from _window((*keys, "over"), group.over, definition)
    if not group.values:
        yield Finding(keys, "it has no values", "Add values, such as `values: {rows: count}`.")
    columns = definition.source.columns
    for position, name in enumerate(group.by or ()):
        at = (*keys, "by", position)
        if name not in columns:
            yield Finding(at, f"there is no column {name!r}", choose(name, columns, kind="columns in source.columns"))
        elif columns[name] not in KEY_TYPES:
            cure = f"Take columns of the types {', '.join(KEY_TYPES)}."
            yield Finding(at, f"{name} has the type {columns[name]}, which is no key", cure)
        elif name in (group.by or ())[:position]:
            yield Finding(at, f"{name!r} is listed twice", "List it once.")
    for name, value in group.values.items():
        yield from _value((*keys, "values", name), value, group, definition, expressions=expressions)


def _window(keys: KeyPath, over: timedelta, definition: Definition) -> Iterator[Finding]:
    length = _LENGTHS[definition.source.partition]
    if over < length:
        what = f"{format_duration(over)} is shorter than one partition ({definition.source.partition})"
        yield Finding(keys, what, f"Write at least {format_duration(length)}.")
    elif over > length * MOST_PARTITIONS:
        what = f"the window has more than {MOST_PARTITIONS} partitions"
        yield Finding(keys, what, f"Write at most {format_duration(length * MOST_PARTITIONS)}.")


def _value(
    keys: KeyPath, value: HistoryValue, group: HistoryGroup, definition: Definition, *, expressions: bool
) -> Iterator[Finding]:
    if len(value.given) != 1:
        what = f"it has {' and '.join(name for name, _ in value.given)}" if value.given else "it says not what it is"
        yield Finding(keys, what, f"Give exactly one of {', '.join(AGGREGATES)}.")
        return
    [(aggregate, sql)] = value.given
    if sql == EVERY_ROW and aggregate == "count":
        return
    if expressions:
        yield from _expression((*keys, aggregate), sql, group, definition)


def _expression(keys: KeyPath, sql: str, group: HistoryGroup, definition: Definition) -> Iterator[Finding]:
    try:
        read = cleaned(definition, sql).columns
    except ExpressionError as error:
        yield Finding(keys, error.what, error.cure)
        return
    columns, label = definition.source.columns, definition.label
    for name in sorted(read - columns.keys()):
        yield Finding(keys, f"there is no column {name!r}", choose(name, columns, kind="columns in source.columns"))
    try:
        late = sorted(read & cleaned(definition, label.expression).columns)
    except ExpressionError:  # said where it stands
        return
    if late and group.known_after is not None and group.known_after < label.known_after:
        what = (
            f"it reads {late[0]!r}, from which the label is made, {format_duration(group.known_after)} after the event"
        )
        cure = (
            f"The label is known after {format_duration(label.known_after)}: leave known_after out, or write as much."
        )
        yield Finding(keys, what, cure)


def _borrowed(name: str, group: HistoryGroup, definition: Definition, *, expressions: bool) -> Iterator[Finding]:
    keys, model = ("history", name), str(group.model)
    for extra in ("over", "known_after", "values"):
        if extra in group.model_fields_set:
            yield Finding((*keys, extra), f"that is said in {model}'s definition", "Remove it here, or remove model.")
    if model == definition.model:
        yield Finding((*keys, "model"), "the group is this model's own", "Remove model, and declare the group here.")
        return
    lender = definition.lenders.get(model)
    if lender is None:
        what = f"there is no definition of the model {model!r} that can be read"
        yield Finding((*keys, "model"), what, f"Correct the name, or {model}.yaml first.")
        return
    own = [one for one, declared in lender.history.items() if declared.model is None]
    if name not in own:
        cure = choose(name, own, kind=f"groups that {model} declares")
        yield Finding(keys, f"{model} declares no group {name!r}", cure)
        return
    if any(_own(keys, lender.history[name], lender, expressions=expressions)):
        yield Finding(keys, f"the group is wrong in {model}.yaml", f"Correct {model}.yaml first.")
    elif (found := history_of(definition, name)) is not None:
        yield from _fits(keys, found, definition)


def _fits(keys: KeyPath, found: History, definition: Definition) -> Iterator[Finding]:
    """A borrowed group means the same here as where it is declared."""
    source, other = definition.source, found.owner.source
    if (source.partition, source.time_zone) != (other.partition, other.time_zone):
        what = f"{found.owner.model}'s partitions are other ones ({other.partition}, {other.time_zone})"
        yield Finding(keys, what, "Declare the group here, or give both sources the same partition and time_zone.")
    if len(found.keys) != len(found.by):
        what = f"the group has {len(found.by)} key columns ({', '.join(found.by) or 'none'}), by has {len(found.keys)}"
        yield Finding((*keys, "by"), what, "Name one column for each, in the same order.")
        return
    for mine, theirs in zip(found.keys, found.by, strict=True):
        if mine not in source.columns:
            cure = choose(mine, source.columns, kind="columns in source.columns")
            yield Finding((*keys, "by"), f"there is no column {mine!r} here", f"Say in by which column it is. {cure}")
        elif source.columns[mine] != other.columns[theirs]:
            what = f"{mine} has the type {source.columns[mine]}, but {other.columns[theirs]} in {found.owner.model}"
            yield Finding((*keys, "by"), what, "Give both the same type.")

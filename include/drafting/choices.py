"""What a draft takes the columns for: the time, the entity, the label, what leaks, what can be a feature."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any, Final

import duckdb
import numpy as np
import pandas as pd

from include.drafting.sample import TABLE, Column, Sample, SampleUnusable
from include.lake.connections import quote_name, quote_text
from include.spec.definition import FeatureType, Task
from include.spec.expressions import ExpressionError, check_expression

#: From this on, one column alone predicts the label too well to be true.
NEAR_PERFECT: Final = 0.98
#: Most values of a text column that is taken as a category.
MOST_CATEGORIES: Final = 200
#: Most values of a text column that is taken as a label's classes.
MOST_CLASSES: Final = 20
_LARGEST_KEY: Final = 4
_LABEL_WORDS: Final = ("label", "target", "outcome", "churn", "default", "fraud", "late", "delay", "is_", "has_")
#: A column of a few texts is taken for the label only if its name says so clearly.
_CLASS_WORDS: Final = ("label", "target", "outcome")
_TIME_WORDS: Final = ("event", "scheduled", "created", "started", "sent", "time", "date", "_at")


@dataclass(frozen=True)
class Label:
    """What the draft proposes to predict; ``classes`` are those of a multiclass classification."""

    column: str
    expression: str
    task: Task
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeftOut:
    """A column that is no input, and why, as a clause."""

    column: str
    reason: str


@dataclass(frozen=True)
class DraftFeature:
    """One proposed input."""

    name: str
    expression: str
    type: FeatureType
    column: str


def choose_time(sample: Sample, wanted: str | None) -> Column | None:
    """The column with the event's time: the one that is asked for, or the likeliest of the timestamps.

    :returns: None if no column holds times: then the rows have none.
    :raises SampleUnusable: if the one that is asked for is none, or all have gaps.
    """
    times = [column for column in sample.columns.values() if column.type == "timestamp" and not column.is_constant]
    if wanted is not None:
        times = [column for column in times if column.name == wanted]
    if not times and wanted is None:
        return None
    if not times:
        cure = "Name one that holds them, or leave TIME out if the rows have no time."
        raise SampleUnusable(sample.shown, f"{wanted!r} is no column with times", cure)
    complete = [column for column in times if column.nulls == 0]
    if not complete:
        names = ", ".join(column.name for column in times)
        raise SampleUnusable(
            sample.shown, f"{names} is missing in some rows", "Remove those rows, or name another TIME=…"
        )
    return max(complete, key=lambda column: (_points(column.name, _TIME_WORDS), column.distinct))


def choose_entity(sample: Sample, time: str | None, label: str) -> list[str]:
    """The fewest columns that together tell every row from every other; all that may, if none do.

    A database's own primary key comes first: a part of a table cannot tell what is unique in all of it.

    :raises SampleUnusable: if no column may.
    """
    kinds = {"string", "integer", "timestamp", "boolean"}
    usable = [c for c in sample.columns.values() if c.type in kinds and c.nulls == 0 and c.name != label]
    if sample.key and set(sample.key) <= {c.name for c in usable}:
        return list(sample.key)
    names = [c.name for c in sorted(usable, key=lambda c: (c.name != time, -c.distinct))][:8]
    for size in range(1, _LARGEST_KEY + 1):
        for key in combinations(names, size):
            if _is_unique(sample, key):
                return list(key)
    if not names:
        problem = "no column names its rows: none without gaps holds whole numbers, texts or times"
        raise SampleUnusable(sample.shown, problem, "Add one, such as a number of each row's customer or case.")
    return names


def _is_unique(sample: Sample, key: tuple[str, ...]) -> bool:
    listed = ", ".join(map(quote_name, key))
    distinct = sample.ask(f"SELECT count(*) FROM (SELECT DISTINCT {listed} FROM {TABLE})")[0][0]  # nosec B608
    return int(distinct) == sample.rows


def choose_label(sample: Sample, wanted: str | None, time: str | None) -> Label:
    """What is likeliest to be predicted: what is named like it, else the last column, else a yes or no.

    :raises SampleUnusable: if nothing can be, or what is asked for cannot.
    """
    candidates = [column for column in sample.columns.values() if column.name != time and not column.is_constant]
    if wanted is not None:
        candidates = [column for column in candidates if column.name == wanted]
    possible = [
        column
        for column in candidates
        if _is_binary(column)
        or column.type in {"integer", "number"}
        or (_has_classes(column) and (wanted is not None or _points(column.name, _CLASS_WORDS)))
    ]
    if not possible:
        problem = (
            f"{wanted!r} is neither a number nor a yes or no, nor one of a few texts"
            if wanted
            else "no column can be a label"
        )
        raise SampleUnusable(sample.shown, problem, "Name the column that is to be predicted with LABEL=…")
    last = list(sample.columns)[-1]
    column = max(possible, key=lambda one: (_points(one.name, _LABEL_WORDS), one.name == last, _is_binary(one)))
    if _has_classes(column):
        classes = tuple(sorted(column.values or ()))
        return Label(column.name, quote_if_needed(column.name), "multiclass_classification", classes)
    if not _is_binary(column):
        return Label(column.name, quote_if_needed(column.name), "regression")
    return Label(column.name, _positive(column), "binary_classification")


def _is_binary(column: Column) -> bool:
    return column.distinct == 2 and column.type in {"boolean", "integer", "string"}


def _has_classes(column: Column) -> bool:
    """Whether it holds a few different texts: what its values are is then the question."""
    return column.type == "string" and column.values is not None and 3 <= column.distinct <= MOST_CLASSES


def _positive(column: Column) -> str:
    """An expression that is true for the rarer value (a text), the larger one (a number), or true."""
    name = quote_if_needed(column.name)
    if column.type == "boolean":
        return name
    if column.values is not None:
        return f"{name} = {quote_text(list(column.values)[-1])}"
    return f"{name} = {column.high}"


def find_leaks(sample: Sample, time: str | None, label: Label) -> Iterator[LeftOut]:
    """Columns that say what is to be predicted, or were not known when it was."""
    truth = _truth(sample, label)
    for column in sample.columns.values():
        if column.name in {time, label.column} or column.is_constant:
            continue
        if column.type == "timestamp":
            if time is not None and (share := _later(sample, column.name, time)) > 0:
                yield LeftOut(column.name, f"in {share:.0%} of the rows it lies after {time}, so it was not known then")
            continue
        strength, gaps = _strength(sample, column, label, truth)
        if gaps >= NEAR_PERFECT:
            yield LeftOut(column.name, f"whether it is missing predicts {label.column} almost perfectly ({gaps:.3f})")
        elif strength >= NEAR_PERFECT:
            yield LeftOut(column.name, f"it alone predicts {label.column} almost perfectly ({strength:.3f})")


def _later(sample: Sample, name: str, time: str) -> float:
    one, other = quote_name(name), quote_name(time)
    query = f"SELECT count(*) FILTER (WHERE {one} > {other}) / greatest(count({one}), 1) FROM {TABLE}"  # nosec B608
    return float(sample.ask(query)[0][0])


def _truth(sample: Sample, label: Label) -> pd.Series[float]:
    """The label of the rows of :meth:`Sample.values`."""
    values = sample.values(label.column)
    column = sample.columns[label.column]
    if label.task == "regression" or column.type == "boolean":
        number: pd.Series[float] = values.astype("float64")
        return number
    # Of several classes the most frequent one against the others: what tells all of them tells this one, too.
    place = 0 if label.task == "multiclass_classification" else -1
    positive: Any = list(column.values)[place] if column.values is not None else column.high
    truth: pd.Series[float] = (values == positive).astype("float64").where(values.notna())
    return truth


def _strength(sample: Sample, column: Column, label: Label, truth: pd.Series[float]) -> tuple[float, float]:
    """How well the column's values, and how well its gaps, rank the label: 0.5 to 1, and 0.5 for nothing."""
    values = sample.values(column.name)
    known = truth.notna()
    gaps = _separation(values[known].isna().astype("float64"), truth[known], label.task) if column.nulls else 0.5
    both = known & values.notna()
    if both.sum() < 20:
        return 0.5, gaps
    if column.type == "string":
        if column.distinct > both.sum() / 20:
            return 0.5, gaps  # its means would be the labels themselves
        means = truth[both].groupby(values[both]).transform("mean")
        return _separation(means, truth[both], label.task), gaps
    return _separation(values[both].astype("float64"), truth[both], label.task), gaps


def _separation(values: pd.Series[float], truth: pd.Series[float], task: Task) -> float:
    """Area under the ROC curve, either way round; for a regression as much of the absolute rank correlation."""
    if values.nunique() < 2 or truth.nunique() < 2:
        return 0.5
    ranks = values.rank()
    if task == "regression":
        return 0.5 + abs(float(np.corrcoef(ranks, truth.rank())[0, 1])) / 2
    positive = float(truth.sum())
    negative = len(truth) - positive
    area = (float(ranks[truth > 0].sum()) - positive * (positive + 1) / 2) / (positive * negative)
    return max(area, 1 - area)


def choose_features(
    sample: Sample, time: Column | None, label: Label, left_out: set[str]
) -> tuple[list[DraftFeature], list[LeftOut]]:
    """Inputs, and columns that are none with the reason."""
    features = [] if time is None else _of_time(sample, time)
    without = [LeftOut(name, "its values are of no type that a definition has") for name in sample.unreadable]
    taken = {feature.name for feature in features}
    for column in sample.columns.values():
        if column.name in {time.name if time else None, label.column} | left_out:
            continue
        reason = _no_input(column, sample.rows)
        if reason:
            without.append(LeftOut(column.name, reason))
            continue
        kind: FeatureType = {"string": "category", "boolean": "boolean"}.get(column.type, "numeric")  # type: ignore[assignment]
        name = _feature_name(column.name, taken)
        taken.add(name)
        features.append(DraftFeature(name, quote_if_needed(column.name), kind, column.name))
    return features, without


def _of_time(sample: Sample, time: Column) -> list[DraftFeature]:
    name = quote_if_needed(time.name)
    parts = {"hour": f"hour({name})", "weekday": f"isodow({name})", "month": f"month({name})"}
    counted = ", ".join(
        f"count(DISTINCT {expression.replace(name, quote_name(time.name))})" for expression in parts.values()
    )
    numbers = sample.ask(f"SELECT {counted} FROM {TABLE}")[0]  # nosec B608
    varying = [part for part, number in zip(parts, numbers, strict=True) if number > 1]
    return [DraftFeature(part, parts[part], "numeric", time.name) for part in varying]


def _no_input(column: Column, rows: int) -> str:
    if column.is_constant:
        return "it is always the same"
    if column.nulls > 0.95:
        return f"it is missing in {column.nulls:.0%} of the rows"
    if column.type == "timestamp":
        return "it is a time: write what of it matters, such as hour(…), or its distance to the event's time"
    if column.type == "string" and column.distinct > MOST_CATEGORIES:
        return f"it has {column.distinct:,} different texts, too many for a category"
    if column.type == "integer" and column.distinct == rows:
        return "it numbers the rows"
    return ""


def _feature_name(column: str, taken: set[str]) -> str:
    plain = "".join(character if character.isalnum() and character.isascii() else "_" for character in column.lower())
    plain = plain.strip("_")[:55] or "column"
    plain = plain if plain[0].isalpha() else f"x_{plain}"
    name, number = plain, 2
    while name in taken:
        name, number = f"{plain}_{number}", number + 1
    return name


def quote_if_needed(name: str) -> str:
    """A column's name in an expression: as it is, or in quotes."""
    try:
        plain = check_expression(name).columns == {name}
    except ExpressionError:
        plain = False
    return name if plain and name.isidentifier() and name.lower() not in _reserved_words() else quote_name(name)


@cache
def _reserved_words() -> frozenset[str]:
    with duckdb.connect() as connection:
        words = "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category != 'unreserved'"
        return frozenset(str(word) for (word,) in connection.execute(words).fetchall())


def _points(name: str, words: tuple[str, ...]) -> int:
    return sum(word in name.lower() for word in words)

"""Checks of the section clean: rules that fit the feature's type, names that are free, nothing without an effect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from include.spec.clean import FeatureCleaning
from include.spec.columns import added_inputs, feature_types
from include.spec.definition import Definition, FeatureType
from include.spec.problems import Finding, KeyPath, choose
from include.spec.section import Scalar

_LARGEST: Final = (2 - 2**-23) * 2.0**127
"""The largest number of 32 bits, as which the model sees numbers."""
_VALUES: Final[dict[FeatureType, str]] = {
    "numeric": "a number, such as 0",
    "category": 'a text, such as "unknown"',
    "boolean": "true or false",
}


def clean_findings(definition: Definition) -> Iterator[Finding]:
    """What is wrong with the cleaning that a definition asks for."""
    yield from _duplicates(definition)
    types = feature_types(definition)
    for name, rule in definition.clean.features.items():
        keys = ("clean", "features", name)
        if name not in types:
            yield Finding(keys, f"there is no feature {name!r}", choose(name, types, kind="features"))
            continue
        yield from _missing(keys, name, rule, types[name])
        yield from _outliers(keys, name, rule, types[name])
        if rule == FeatureCleaning():
            yield Finding(keys, "nothing is cleaned here", "Add missing, indicator or outliers, or remove it.")
    yield from _names(definition, types)


def _duplicates(definition: Definition) -> Iterator[Finding]:
    rule, columns = definition.clean.duplicates, definition.source.columns
    if rule is None or rule.order_by is None:
        return
    keys = ("clean", "duplicates", "order_by")
    if rule.order_by not in columns:
        cure = choose(rule.order_by, columns, kind="columns in source.columns")
        yield Finding(keys, f"there is no column {rule.order_by!r}", cure)
    elif rule.order_by in definition.source.entity:
        what = f"{rule.order_by} is of the entity, so that it is the same in all duplicates"
        yield Finding(keys, what, "Name another column, such as the time of the row's last change.")


def _missing(keys: KeyPath, name: str, rule: FeatureCleaning, kind: FeatureType) -> Iterator[Finding]:
    missing, at = rule.missing, (*keys, "missing")
    if missing.how in {"median", "mean"} and kind != "numeric":
        cure = "Write most_frequent, or a value such as {value: …}."
        yield Finding(at, f"{name} has the type {kind}, which has no {missing.how}", cure)
    if missing.value is not None and not _fits(missing.value, kind):
        what = f"{missing.value!r} is no value of {name}, which has the type {kind}"
        yield Finding((*at, "value"), what, f"Write {_VALUES[kind]}.")
    if missing.how == "drop" and rule.indicator:
        what = "rows without the value are dropped from training, so the model cannot learn from an indicator"
        yield Finding((*keys, "indicator"), what, "Keep one of the two.")


def _fits(value: Scalar, kind: FeatureType) -> bool:
    if kind == "numeric":
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST
    return isinstance(value, str if kind == "category" else bool)


def _outliers(keys: KeyPath, name: str, rule: FeatureCleaning, kind: FeatureType) -> Iterator[Finding]:
    outliers = rule.outliers
    if outliers is None:
        if rule.flag:
            what = "nothing says which values are outliers"
            yield Finding((*keys, "flag"), what, "Add outliers, such as {winsorize: [0.01, 0.99]}.")
        return
    at = (*keys, "outliers")
    if kind != "numeric":
        yield Finding(at, f"{name} has the type {kind}, and only numbers have outliers", "Remove it.")
    if outliers.keep and not rule.flag:
        cure = "Add `flag: true`, or remove keep."
        yield Finding((*at, "keep"), "outliers that are kept and not flagged change nothing", cure)
    if any(end is not None and abs(end) > _LARGEST for end in outliers.clip or ()):
        yield Finding((*at, "clip"), "an end is no number of 32 bits", f"Write at most {_LARGEST:.4g}, or null.")


def _names(definition: Definition, types: dict[str, FeatureType]) -> Iterator[Finding]:
    taken = {name.casefold(): f"the feature {name}" for name in types}
    for name, added in added_inputs(definition).items():
        if name.casefold() in taken:
            key = "indicator" if added.flag == "missing" else "flag"
            what = f"it adds the input {name}, and {taken[name.casefold()]} has this name"
            yield Finding(("clean", "features", added.of, key), what, "Rename one of the two features.")
        taken[name.casefold()] = f"another input that cleaning {added.of} adds"

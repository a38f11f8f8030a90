"""Datasets that steps read and write: what they are called, in which version, and what was found out about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Assertion:
    """What was demanded of a dataset, and whether it is so.

    :param name: kind of the demand, such as Great Expectations' name of an expectation.
    :param column: the column that it is about; None for the whole.
    :param critical: whether a failure stops the data.
    :param found: what was found, in a few words without values of rows.
    """

    name: str
    success: bool
    column: str | None = None
    critical: bool = True
    found: str | None = None


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One version of something that has a name.

    :param version: a table's number, a set's digest, a run's id; None if it is not known, or not yet.
    :param rows: how many rows were written.
    :param columns: names and types.
    :param facts: what else is known of this version, by name of the facet that says it.
    """

    namespace: str
    name: str
    version: str | None = None
    rows: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    assertions: tuple[Assertion, ...] = ()
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Movement:
    """What one step read and wrote."""

    inputs: tuple[Dataset, ...] = ()
    outputs: tuple[Dataset, ...] = ()

    def within(self, namespace: str) -> Movement:
        """The same without what has another namespace."""
        inputs, outputs = ([one for one in side if one.namespace == namespace] for side in (self.inputs, self.outputs))
        return Movement(inputs=tuple(inputs), outputs=tuple(outputs))

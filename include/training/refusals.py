"""When a training set is refused, and how that is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from include.errors import Refused
from include.spec.definition import Definition

if TYPE_CHECKING:
    from include.training.part_files import WrittenPart

#: Fewest labelled rows of each part; below them neither early stopping nor an interval means anything.
FEWEST_ROWS: Final = {"train": 100, "validation": 20, "holdout": 20}
_NAMED_AT_MOST: Final = 10


class TooManyMissing(Refused):
    """More partitions of the training windows are missing or out of date than the definition allows."""

    def __init__(
        self, definition: Definition, needed: Sequence[str], missing: Sequence[str], stale: Sequence[str]
    ) -> None:
        words = _window_words if definition.source.has_time else _whole_words
        super().__init__(words(definition, needed, missing, stale))
        self.missing = tuple(missing)
        self.stale = tuple(stale)
        self.allowed = definition.training.max_missing_partitions


def _window_words(definition: Definition, needed: Sequence[str], missing: Sequence[str], stale: Sequence[str]) -> str:
    gone = [f"Not published: {_named(missing)}."] if missing else []
    gone += [f"Features made from other raw rows, definition or suite: {_named(stale)}."] if stale else []
    unusable = sorted([*missing, *stale])
    return (
        f"{definition.model}: {len(unusable)} of the {len(needed)} partitions of the training windows "
        f"({needed[0]} to {needed[-1]}) cannot be used, and training.max_missing_partitions allows "
        f"{definition.training.max_missing_partitions}. {' '.join(gone)} Trigger the DAG {definition.model}.data with "
        f"first={unusable[0]} and last={unusable[-1]}; if the source has no such data, choose a later as_of or shorter "
        "windows."
    )


def _whole_words(definition: Definition, _needed: Sequence[str], missing: Sequence[str], _stale: Sequence[str]) -> str:
    what = "no data is published" if missing else "its features were made from other raw rows, definition or suite"
    return f"{definition.model} cannot be trained: {what}. Trigger the DAG {definition.model}.data, then train again."


class PartTooSmall(Refused):
    """A part of the training set has too few labelled rows."""

    def __init__(self, definition: Definition, part: str, rows: int, window: str) -> None:
        super().__init__(
            f"{definition.model}: the {part} part has {rows} labelled rows in {window}; at least {FEWEST_ROWS[part]} "
            f"are needed. {make_larger(definition, part)}, choose a later as_of, or publish more data with the DAG "
            f"{definition.model}.data."
        )
        self.part = part
        self.rows = rows


class OneClassOnly(Refused):
    """The labels of a part are all the same, so nothing can be learned or measured on it."""

    def __init__(self, definition: Definition, part: str, labels: Sequence[float], rows: int, window: str) -> None:
        only = ", ".join(f"{label:g}" for label in labels)
        larger = make_larger(definition, part)
        larger = larger[0].lower() + larger[1:]
        super().__init__(
            f"{definition.model}: all {rows} labels of the {part} part ({window}) are {only}, where both 0 and 1 are "
            f"needed. Check label.expression ({definition.label.expression!r}), or {larger}."
        )
        self.part = part
        self.labels = tuple(labels)


class LabelNotBinary(Refused):
    """A label of a binary classification is neither 0 nor 1."""

    def __init__(self, definition: Definition, part: str, labels: Sequence[float]) -> None:
        others = [label for label in labels if label not in (0.0, 1.0)]
        super().__init__(
            f"{definition.model}: the {part} part has the label {others[0]:g} (and {len(others) - 1} other values), "
            f"where binary_classification allows true and false only. Correct label.expression "
            f"({definition.label.expression!r}), or set task: regression."
        )
        self.part = part
        self.labels = tuple(others)


class ClassMissing(Refused):
    """A declared class has no row in the training part, or another part holds one class only."""

    def __init__(self, definition: Definition, part: str, problem: str, window: str) -> None:
        larger = make_larger(definition, part)
        super().__init__(
            f"{definition.model}: {problem} in the {part} part ({window}). Check label.expression "
            f"({definition.label.expression!r}) and label.classes, or {larger[0].lower()}{larger[1:]}."
        )
        self.part = part


_KEYS: Final = {"train": "window", "validation": "validation", "holdout": "holdout"}


def make_larger(definition: Definition, part: str) -> str:
    """What gives a part more rows."""
    if definition.source.has_time:
        return f"Make training.{_KEYS[part]} longer"
    if part == "train":
        return "Make training.validation and training.holdout smaller"
    return f"Make training.{part} larger"


def check_present(definition: Definition, needed: Sequence[str], missing: Sequence[str], stale: Sequence[str]) -> None:
    """Refuse a training set with too many missing or outdated partitions, or with no other.

    :raises TooManyMissing: if so.
    """
    unusable = len(missing) + len(stale)
    if unusable > definition.training.max_missing_partitions or unusable == len(needed):
        raise TooManyMissing(definition, needed, missing, stale)


def _named(keys: Sequence[str]) -> str:
    return ", ".join(keys[:_NAMED_AT_MOST]) + (", …" if len(keys) > _NAMED_AT_MOST else "")


def check_parts(
    definition: Definition, written: Mapping[str, WrittenPart], windows: Mapping[str, Mapping[str, str]]
) -> None:
    """Refuse parts that are too small, or whose labels cannot be learned from.

    :param windows: by part, what it holds: start and end, and ``by`` of data without time.
    :raises PartTooSmall: if a part has too few rows.
    :raises LabelNotBinary: if a label is neither 0 nor 1 (binary classification).
    :raises OneClassOnly: if a part has one class only (binary classification).
    :raises ClassMissing: if the training part lacks a class, or a part holds only one (multiclass classification).
    """
    for part, file in written.items():
        window = windows[part]
        shown = f"{window['start']} to {window['end']}" + (f" of the hash of {window['by']}" if "by" in window else "")
        if file.rows < FEWEST_ROWS[part]:
            raise PartTooSmall(definition, part, file.rows, shown)
        if definition.task == "regression":
            continue
        labels = list(file.labels)
        if definition.task == "multiclass_classification":
            _check_classes(definition, part, labels, shown)
            continue
        if not {0.0, 1.0}.issuperset(labels):
            raise LabelNotBinary(definition, part, labels)
        if len(labels) < 2:
            raise OneClassOnly(definition, part, labels, file.rows, shown)


def _check_classes(definition: Definition, part: str, labels: Sequence[float], window: str) -> None:
    """Every class must be there to be learned; to be judged, at least two."""
    names = definition.label.class_names
    missing = [name for place, name in enumerate(names) if place not in labels]
    if part == "train" and missing:
        several = len(missing) > 1
        what = f"the class{'es' if several else ''} {', '.join(missing)} {'have' if several else 'has'} no row"
        raise ClassMissing(definition, part, what, window)
    if len(labels) < 2:
        raise ClassMissing(definition, part, f"all labels are the class {names[int(labels[0])]}", window)

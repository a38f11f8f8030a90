"""Checks of the classes of a multiclass classification."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from include.spec.definition import Definition
from include.spec.problems import Finding

FEWEST: Final = 3
#: More would make answers, pages and reports that nobody reads.
MOST: Final = 100
_LETTERS: Final = 63
_NOT_IN_COLUMNS: Final = ",;{}()=\"'`"
_KEYS: Final = ("label", "classes")


def class_findings(definition: Definition) -> Iterator[Finding]:
    """What is wrong with ``label.classes``."""
    classes = definition.label.classes
    if definition.task != "multiclass_classification":
        if classes is not None:
            cure = "Remove it, or set task: multiclass_classification."
            yield Finding(_KEYS, f"classes are for multiclass_classification, and the task is {definition.task}", cure)
        return
    if classes is None:
        cure = "List under label.classes every class that label.expression can give, such as [low, middle, high]."
        yield Finding(("label",), "a multiclass_classification needs its classes", cure)
        return
    names = definition.label.class_names
    if len(names) < FEWEST:
        what = f"there are {len(names)} classes, and a multiclass_classification has at least {FEWEST}"
        yield Finding(_KEYS, what, "Use task: binary_classification with a label that is true or false.")
    if len(names) > MOST:
        yield Finding(_KEYS, f"there are {len(names)} classes, and at most {MOST} are allowed", "Join rare ones.")
    seen: dict[str, int] = {}
    for position, name in enumerate(names):
        keys = (*_KEYS, position)
        if not name.strip() or name != name.strip() or not name.isprintable():
            yield Finding(keys, f"the class {name!r} is not readable text", "Write it without spaces at its ends.")
        elif len(name) > _LETTERS or any(letter in _NOT_IN_COLUMNS for letter in name):
            what = f"the class {name[:80]!r} cannot be part of a column's name"
            yield Finding(keys, what, f"Use at most {_LETTERS} letters, and none of {_NOT_IN_COLUMNS}")
        if name.casefold() in seen:
            yield Finding(keys, f"the class {name!r} is listed twice", "List it once; case makes no difference.")
        seen[name.casefold()] = position

"""Checks of the section retention: what training needs is kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from include.spec.definition import Definition
from include.spec.duration import format_duration
from include.spec.lengths import Lengths
from include.spec.problems import Finding

_LONGEST_RUN: Final = timedelta(days=1)


def retention_findings(definition: Definition) -> Iterator[Finding]:
    """What is wrong with the section ``retention``."""
    kept = definition.retention
    for name, age in (("data", kept.data), ("scores", kept.scores), ("quarantine", kept.quarantine)):
        if age is not None and age <= timedelta(0):
            yield Finding(("retention", name), "nothing would be kept", "Write a time such as 730d, or leave it out.")
    if kept.training_sets is not None and kept.training_sets < _LONGEST_RUN:
        what = "a run that still trains could lose its training set"
        yield Finding(("retention", "training_sets"), what, "Write at least 1d, or leave it out.")
    if kept.data is None:
        return
    if not definition.source.has_time:
        yield Finding(("retention", "data"), "data without time has no age", "Leave it out.")
        return
    if definition.training.window is None:  # said of the window itself
        return
    lengths = Lengths.of(definition)
    needed = lengths.window + lengths.validation + lengths.holdout + definition.label.known_after
    if kept.data < needed:
        what = f"training needs {format_duration(needed)} (window, validation, holdout and the label's known_after)"
        yield Finding(("retention", "data"), what, "Keep the data longer, or train on less.")

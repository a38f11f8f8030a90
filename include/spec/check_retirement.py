"""Checks of the section retirement: times in which something can happen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from include.spec.definition import Definition
from include.spec.duration import format_duration
from include.spec.problems import Finding


def retirement_findings(definition: Definition) -> Iterator[Finding]:
    """What is wrong with the section ``retirement``."""
    end = definition.retirement
    if not end.quiet:
        yield Finding(("retirement", "quiet"), "silence cannot be told in no time", "Write a time such as 1m.")
    elif end.drain and end.quiet > end.drain and "quiet" in end.model_fields_set:
        what = f"the model leaves before that in any case (drain: {format_duration(end.drain)})"
        yield Finding(("retirement", "quiet"), what, "Write a shorter time than drain, or drain for longer.")
    if end.keep < timedelta(hours=1):
        what = "a retirement by mistake could not be undone"
        yield Finding(("retirement", "keep"), what, "Write a time such as 30d, at least 1h.")

"""The suites of batch scoring: a model's own ``scoring.json`` and ``scores.json``, else what applies of two others.

Going in, the raw suite is borrowed; coming out, the predictions suite. Both were written for something else (a
delivered partition, a training's holdout with its labels), so of a borrowed suite

- only expectations whose columns are all there are kept; those about the whole table (row counts) are left out;
- expectations about each row keep their severity;
- expectations about a whole column (a mean, the distinct values) only warn: one day, or a file of forty rows, may
  honestly differ from a year. Who wants them to refuse writes the suite down.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from include.gates.suite import Expectation, Stage, Suite, check_columns, load_suite
from include.settings import Settings

_LENDERS: Final[dict[Stage, Stage]] = {"scoring": "raw", "scores": "predictions"}
_NOT_NULL: Final = "expect_column_values_to_not_be_null"


def scoring_suite(settings: Settings, model: str, stage: Stage) -> Suite:
    """The suite file that guards this stage of batch scoring: its own, else the one that it borrows from.

    :param stage: ``scoring`` (rows going in) or ``scores`` (rows coming out).
    :raises SuiteError: as :func:`include.gates.suite.load_suite`.
    """
    own = (settings.expectations / model / f"{stage}.json").is_file()
    return load_suite(settings, model, stage if own else _LENDERS[stage])


def applied(suite: Suite, stage: Stage, columns: Collection[str], required: str) -> Suite:
    """The suite as it judges this stage; a borrowed one is brought down to what applies.

    :param columns: every column of the rows that are judged.
    :param required: a column that must never be null; a borrowed suite always says so.
    :raises SuiteError: if the stage's own suite names a column that is not there.
    """
    if suite.stage == stage:
        check_columns(suite, columns)
        return suite
    kept = [_softened(item) for item in suite.expectations if item.columns and set(item.columns) <= set(columns)]
    if not any(item.type == _NOT_NULL and item.columns == (required,) and "mostly" not in item.kwargs for item in kept):
        kept.append(
            Expectation(
                type=_NOT_NULL,
                kwargs={"column": required},
                severity="critical",
                notes="Without it a row says nothing.",
            )
        )
    return replace(suite, stage=stage, expectations=_without_twins(kept))


def _softened(item: Expectation) -> Expectation:
    return item if item.form.kind == "rows" else replace(item, severity="warning")


def _without_twins(items: list[Expectation]) -> tuple[Expectation, ...]:
    """A critical and a warning of the same kind on the same bounds become one when both only warn."""
    unique: list[Expectation] = []
    for item in items:
        if not any((item.type, item.kwargs, item.severity) == (u.type, u.kwargs, u.severity) for u in unique):
            unique.append(item)
    return tuple(unique)

"""Great Expectations suites in, verdict out. Loading a suite is light; only :func:`evaluate` imports the library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from include.gates.columns import stage_columns
from include.gates.errors import GateBroken, SuiteError
from include.gates.result import Check, GateResult, unreadable
from include.gates.suite import STAGES, Expectation, Stage, Suite, check_columns, load_suite, read_suite

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "STAGES",
    "Check",
    "Expectation",
    "GateBroken",
    "GateResult",
    "Stage",
    "Suite",
    "SuiteError",
    "check_columns",
    "evaluate",
    "load_suite",
    "read_suite",
    "stage_columns",
    "unreadable",
]


def evaluate(suite: Suite, frame: pd.DataFrame, *, subject: str, identify: Sequence[str] = ()) -> GateResult:
    """Judge one frame by a suite; for many frames keep an :class:`include.gates.engine.Evaluator`.

    :param subject: what the frame is, such as a partition's key.
    :param identify: columns that tell a reader which row it is.
    :raises SuiteError: if Great Expectations does not accept an expectation.
    :raises GateBroken: if an expectation could not be evaluated; this says nothing about the data.
    """
    from include.gates.engine import Evaluator

    return Evaluator(suite).judge(frame, subject=subject, identify=identify)

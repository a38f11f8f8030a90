"""A gate's verdict on one subject: frozen, and JSON at the edge. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from include.gates.suite import Severity, Suite
from include.gates.wording import describe

Verdict = Literal["passed", "refused"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One expectation's outcome; every value in it is plain JSON.

    :param type: Great Expectations' name of the expectation.
    :param column: the column or columns that it names; None for the whole table.
    :param kwargs: its arguments.
    :param severity: ``critical`` blocks, ``warning`` is reported.
    :param notes: why it matters.
    :param success: whether the data meets it.
    :param observed: the observed value of a table or column; None for expectations on each row.
    :param unexpected: rows that do not meet it; None if it is not about rows.
    :param judged: rows that it was judged on, without those whose value is missing.
    :param samples: at most 20 of the rows that do not meet it: the entity's columns and the value.
    :param problem: why it could not even be looked at, such as a column that is missing.
    """

    type: str
    column: str | None
    kwargs: Mapping[str, Any]
    severity: Severity
    notes: str
    success: bool
    observed: Any = None
    unexpected: int | None = None
    judged: int | None = None
    samples: tuple[Mapping[str, Any], ...] = ()
    problem: str | None = None

    @property
    def expected(self) -> str:
        """What is expected, as a sentence."""
        return describe(self.type, self.kwargs)

    @property
    def found(self) -> str:
        """What was found, in a few words."""
        if self.problem:
            return self.problem
        if self.unexpected is not None and self.judged is not None:
            return _rows_found(self.unexpected, self.judged)
        if self.observed is None and self.success:
            return "as expected"
        return _value_found(self.observed)

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "type": self.type,
            "column": self.column,
            "kwargs": dict(self.kwargs),
            "severity": self.severity,
            "notes": self.notes,
            "expected": self.expected,
            "success": self.success,
            "observed": self.observed,
            "found": self.found,
            "unexpected": self.unexpected,
            "judged": self.judged,
            "samples": [dict(row) for row in self.samples],
            "problem": self.problem,
        }


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """A suite's verdict on one subject: a partition, a training set, predictions.

    :param suite: the suite's name.
    :param suite_digest: the digest of its content.
    :param stage: the stage that was judged.
    :param subject: what was judged.
    :param rows: number of its rows; None if they could not be read.
    :param checks: one for each expectation, in the suite's order; empty if the rows could not be read.
    :param problem: why the rows could not be read; this refuses the subject.
    """

    suite: str
    suite_digest: str
    stage: str
    subject: str
    rows: int | None
    checks: tuple[Check, ...]
    problem: str | None = None

    @property
    def verdict(self) -> Verdict:
        """``refused`` when it could not be read or a critical expectation is not met."""
        return "refused" if self.problem or self.critical_failures else "passed"

    @property
    def critical_failures(self) -> tuple[Check, ...]:
        """Critical expectations that are not met."""
        return tuple(check for check in self.checks if not check.success and check.severity == "critical")

    @property
    def warnings(self) -> tuple[Check, ...]:
        """Expectations of severity warning that are not met."""
        return tuple(check for check in self.checks if not check.success and check.severity == "warning")

    @property
    def reason(self) -> str:
        """Why it was refused, in one sentence; empty if it passed."""
        if self.problem:
            return self.problem
        failures = self.critical_failures
        if not failures:
            return ""
        first = f"Expected: {failures[0].expected}; found: {failures[0].found}."
        return first if len(failures) == 1 else f"{first} {len(failures) - 1} more critical expectations are not met."

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "suite": self.suite,
            "suite_digest": self.suite_digest,
            "stage": self.stage,
            "subject": self.subject,
            "verdict": self.verdict,
            "reason": self.reason,
            "rows": self.rows,
            "problem": self.problem,
            "warnings": len(self.warnings),
            "checks": [check.to_document() for check in self.checks],
        }


def unreadable(suite: Suite, subject: str, problem: str, rows: int | None = None) -> GateResult:
    """Return the refusal of a subject whose rows could not be read, for the reason ``problem``."""
    return GateResult(
        suite=suite.name,
        suite_digest=suite.digest,
        stage=suite.stage,
        subject=subject,
        rows=rows,
        checks=(),
        problem=problem,
    )


def _rows_found(unexpected: int, judged: int) -> str:
    if not unexpected:
        return f"all {judged:,} rows" if judged else "no value to judge"
    share = 100 * unexpected / judged if judged else 0.0
    return f"{unexpected:,} of {judged:,} rows do not ({share:.{0 if share >= 10 else 2}f} %)"


def _value_found(observed: object) -> str:
    if observed is None:
        return "no value"
    if isinstance(observed, Mapping):
        return "; ".join(f"{name}: {', '.join(map(str, values))}" for name, values in observed.items()) or "as expected"
    if isinstance(observed, bool):
        return "yes" if observed else "no"
    if isinstance(observed, int):
        return f"{observed:,}"
    return f"{observed:,.5g}" if isinstance(observed, float) else str(observed)

"""What a gate found, kept as rows of the table ``check_result``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from include.steps.protocol import StepCall

if TYPE_CHECKING:
    from include.gates.result import GateResult
    from include.gates.suite import Suite

NAMED: Final = 20


def record_verdicts(
    call: StepCall, suite: Suite, subject: str, verdict: str, results: Sequence[GateResult], page: str
) -> None:
    """Keep the verdict as a row, and one more for each partition of a range that was refused or gave warnings."""
    from include.registry.results import record_check

    rows = [(subject, verdict, _summary(results))]
    if [result.subject for result in results] != [subject]:
        striking = [result for result in results if result.verdict == "refused" or result.warnings]
        rows += [(result.subject, result.verdict, _summary([result])) for result in striking]
    for name, word, details in rows:
        record_check(
            call.settings,
            model=call.definition.model,
            kind="gate",
            stage=suite.stage,
            as_of=call.as_of,
            subject=name,
            verdict=word,
            details=details | {"suite_digest": suite.digest, "attempt": call.attempt},
            page=page,
        )


def _summary(results: Sequence[GateResult]) -> dict[str, Any]:
    """What a result row keeps: counts, and the expectations that are not met (at most 20), without rows."""
    failed = [check for result in results for check in (*result.critical_failures, *result.warnings)]
    return {
        "judged": len(results),
        "rows": sum(result.rows or 0 for result in results),
        "refused": [result.subject for result in results if result.verdict == "refused"][:NAMED],
        "problem": next((result.problem for result in results if result.problem), None),
        "warnings": sum(len(result.warnings) for result in results),
        "failed": [
            {"severity": check.severity, "expected": check.expected, "found": check.found} for check in failed[:NAMED]
        ],
    }

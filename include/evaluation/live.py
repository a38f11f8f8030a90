"""The judgement of a challenger in production: wait for more evidence, advance to the next stage, or roll back.

Pure: the same evidence under the same rules gives the same judgement, whoever asks and however often
(``ADR-live-judgement.md``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from include.evaluation import live_checks, live_quality
from include.evaluation.live_checks import Check
from include.evaluation.live_evidence import Arm, Labelled, Latencies, LiveEvidence, Rows, Rules

__all__ = ["Arm", "Check", "Judgement", "Labelled", "Latencies", "LiveEvidence", "Rows", "Rules", "judge"]

Verdict = Literal["wait", "advance", "rollback"]


@dataclass(frozen=True)
class Judgement:
    """The verdict, why in words, and every check with its numbers.

    :param seen: what the evidence amounts to: ``requests``, ``labels``, ``elapsed_s``.
    """

    verdict: Verdict
    reason: str
    checks: tuple[Check, ...] = ()
    seen: dict[str, float] | None = None

    def to_document(self) -> dict[str, Any]:
        """JSON: ``verdict``, ``reason``, ``checks``, ``seen``."""
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "checks": [check.to_document() for check in self.checks],
            "seen": dict(self.seen or {}),
        }


def judge(evidence: LiveEvidence, rules: Rules) -> Judgement:
    """Judge a challenger by what was seen of it.

    Any failed check rolls it back. It advances when it was seen on enough requests (or for the stated time), enough
    labels are in, an A/B test has had its length, and no check holds it.

    :raises UnknownMetric: the rules name a metric that the task does not have.
    :raises UnusablePredictions: labels or predictions are none of the task's.
    """
    evidence = evidence.bounded()
    checks = _checks(evidence, rules)
    seen = {
        "requests": evidence.rows.requests,
        "labels": int(evidence.labelled.labels.size),
        "elapsed_s": round(evidence.elapsed_s, 3),
    }
    failed = [check for check in checks if not check.passed]
    if failed:
        return Judgement("rollback", "; ".join(check.words for check in failed), checks, seen)
    missing = _missing(evidence, rules, checks)
    if missing:
        return Judgement("wait", f"the stage {rules.stage} waits: {'; '.join(missing)}", checks, seen)
    known = [check.words for check in checks if check.enough]
    return Judgement(
        "advance", f"{_amount(evidence, rules)}; {'; '.join(known) or 'no check speaks against it'}", checks, seen
    )


def _checks(evidence: LiveEvidence, rules: Rules) -> tuple[Check, ...]:
    found = [
        live_checks.errors(evidence, rules),
        live_checks.slowest(evidence, rules),
        live_checks.slower(evidence, rules),
        live_checks.slower_answers(evidence, rules),
        live_quality.shift(evidence, rules),
        live_quality.quality(evidence, rules),
    ]
    if _has_had_its_length(evidence, rules) and evidence.arms:
        found.append(live_quality.arms(evidence, rules))
    return tuple(check for check in found if check is not None)


def _has_had_its_length(evidence: LiveEvidence, rules: Rules) -> bool:
    return rules.length_s is not None and evidence.elapsed_s >= rules.length_s


def _missing(evidence: LiveEvidence, rules: Rules, checks: tuple[Check, ...]) -> list[str]:
    """What keeps the challenger from going on, in words."""
    missing = [check.holds for check in checks if check.holds is not None]
    requests, labels = evidence.rows.requests, int(evidence.labelled.labels.size)
    in_time = rules.time_s is not None and evidence.elapsed_s >= rules.time_s and requests > 0
    if requests < rules.requests and not in_time:
        missing.append(f"{requests} of {rules.requests} requests answered by both versions")
    if labels < rules.labels:
        missing.append(f"{labels} of {rules.labels} labels are in")
    if rules.length_s is not None:
        if not _has_had_its_length(evidence, rules):
            missing.append(f"{evidence.elapsed_s:.0f} of {rules.length_s:.0f} seconds of the A/B test are over")
        missing += [check.words for check in checks if check.check.startswith("ab_") and not check.enough]
    return missing


def _amount(evidence: LiveEvidence, rules: Rules) -> str:
    labels = f", {evidence.labelled.labels.size} labels in" if evidence.labelled.labels.size else ""
    return (
        f"{evidence.rows.requests} requests answered by both versions in the stage {rules.stage} within "
        f"{evidence.elapsed_s:.0f} s{labels}"
    )

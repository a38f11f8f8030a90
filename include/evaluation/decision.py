"""The decision: the definition's gates applied to what was measured, with a sentence that says why.

Absolute gates look at the value itself; gates ``against`` something look at the lower bound of the paired interval of
the improvement, so that a challenger has to win by more than luck. Every improvement is positive when better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from include.errors import Refused
from include.evaluation.estimate import Estimate
from include.evaluation.metrics import Metric, find_metric
from include.spec.definition import Gate, Task
from include.spec.objective import Objective


class GateWithoutCondition(Refused):
    """A gate of the definition asks for nothing, and a gate that passes by default is no gate."""

    def __init__(self, metric: str) -> None:
        self.metric = metric
        super().__init__(f"The gate on {metric} has no condition: give it at_least, at_most or against.")


@dataclass(frozen=True)
class GateOutcome:
    """One condition and what became of it.

    :param gate: the condition in words.
    :param value: what was held against the bound: the metric's value, or the lower bound of the improvement.
    :param bound: the bound; the value must reach it (absolute) or exceed it (against); None if there is no value.
    :param by: how far on the passing side (negative: by how much it failed); None if nothing could be compared.
    :param low: lower end of the interval that belongs to it, for a reader.
    :param high: its upper end.
    :param estimate: the point in that interval.
    :param note: what else a reader must know; empty if nothing.
    """

    gate: str
    metric: str
    passed: bool
    value: float | None
    bound: float | None
    by: float | None
    low: float | None = None
    high: float | None = None
    estimate: float | None = None
    note: str = ""

    def sentence(self) -> str:
        """The outcome in words, by how much included."""
        if self.by is None:
            return f"{self.gate}: {'passed' if self.passed else 'failed'}, {self.note}"
        verb = "passed" if self.passed else "failed"
        return f"{self.gate}: {verb} by {abs(self.by):.4g}" + (f" ({self.note})" if self.note else "")

    def to_document(self) -> dict[str, Any]:
        """JSON of all of it."""
        return asdict(self) | {"sentence": self.sentence()}


@dataclass(frozen=True)
class Standing:
    """What the registry says of challenger and champion, as far as it matters for the decision.

    :param champion_version: None if there is no champion.
    :param champion_as_of: the champion's as-of.
    :param challenger_version: the challenger's version if its fingerprint is registered already.
    :param barred: whether that version is barred.
    :param retired: whether the model is out of production, or on its way there.
    """

    champion_version: int | None = None
    champion_as_of: datetime | None = None
    challenger_version: int | None = None
    barred: bool = False
    retired: bool = False


@dataclass(frozen=True)
class Decision:
    """Promote or keep, why, and every gate."""

    verdict: Literal["promote", "keep"]
    reason: str
    gates: tuple[GateOutcome, ...]

    @property
    def promote(self) -> bool:
        """Whether the challenger goes into production."""
        return self.verdict == "promote"

    def to_document(self) -> dict[str, Any]:
        """JSON: ``promote``, ``verdict``, ``reason``, ``gates``."""
        return {
            "promote": self.promote,
            "verdict": self.verdict,
            "reason": self.reason,
            "gates": [outcome.to_document() for outcome in self.gates],
        }


def decide(
    task: Task,
    gates: Sequence[Gate],
    evaluation: Mapping[str, Any],
    standing: Standing,
    *,
    as_of: datetime,
    objective: Objective | None = None,
) -> Decision:
    """Decide on a challenger.

    :param evaluation: output of the step evaluate (``challenger``, ``improvements``, ``comparison``, ``robustness``).
    :param as_of: the challenger's as-of.
    :param objective: the business's own number, for its title.
    :raises UnknownMetric: if a gate names no metric of the task.
    :raises GateWithoutCondition: if a gate asks for nothing.
    """
    outcomes = tuple(apply_gates(task, gates, evaluation, objective))
    obstacle = _obstacle(evaluation, standing, as_of)
    if obstacle is not None:
        return Decision("keep", obstacle, outcomes)
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if failed:
        return Decision("keep", "; ".join(outcome.sentence() for outcome in failed) + ".", outcomes)
    return Decision("promote", "; ".join(outcome.sentence() for outcome in outcomes) + ".", outcomes)


def _obstacle(evaluation: Mapping[str, Any], standing: Standing, as_of: datetime) -> str | None:
    """What keeps the challenger out of production whatever its metrics."""
    champion, challenger = standing.champion_version, standing.challenger_version
    comparison = evaluation["comparison"]
    if champion is not None and challenger == champion:
        return f"This is version {champion}, already champion."
    if standing.barred:
        return f"Version {challenger} is barred until a person lifts the bar."
    if standing.retired:
        return "The model is retired or on its way there; bring it back, or deploy a version by hand with force."
    if champion is None:
        return None
    if standing.champion_as_of is not None and as_of < standing.champion_as_of:
        return (
            f"An older model never replaces a newer champion: this one is as of {as_of.isoformat()}, champion version "
            f"{champion} as of {standing.champion_as_of.isoformat()}."
        )
    if comparison["champion_version"] != champion:
        return (
            f"The champion changed to version {champion} after the evaluation, which compared with "
            f"{comparison['champion_version'] or 'none'}; evaluate again."
        )
    if comparison["status"] == "self":
        return str(comparison["reason"])
    if not evaluation["fair"]:
        return f"No fair comparison with champion version {champion}: {evaluation['unfair_reason']}"
    return None


def apply_gates(
    task: Task, gates: Sequence[Gate], evaluation: Mapping[str, Any], objective: Objective | None = None
) -> list[GateOutcome]:
    """The outcomes of all gates, those on disturbed inputs and on fairness last.

    :raises UnknownMetric: if one names no metric of the task.
    :raises GateWithoutCondition: if one asks for nothing.
    """
    rules = [found for found in evaluation.get("fairness", ()) if found["limit"] is not None]
    disturbed = [found for found in evaluation.get("robustness", ()) if found["tolerance"] is not None]
    return [
        *(outcome for gate in gates for outcome in apply_gate(task, gate, evaluation, objective)),
        *(_robust(task, found, objective) for found in disturbed),
        *(_fair(found) for found in rules),
    ]


def apply_gate(
    task: Task, gate: Gate, evaluation: Mapping[str, Any], objective: Objective | None = None
) -> list[GateOutcome]:
    """The outcomes of one gate: one for each of its conditions.

    :raises UnknownMetric: if it names no metric of the task.
    :raises GateWithoutCondition: if it has none.
    """
    metric = find_metric(gate.metric, task, objective)
    outcomes = []
    value = Estimate.from_document(evaluation["challenger"][metric.name])
    if gate.at_least is not None:
        outcomes.append(_absolute(metric, value, gate.at_least, at_least=True))
    if gate.at_most is not None:
        outcomes.append(_absolute(metric, value, gate.at_most, at_least=False))
    if gate.against is not None:
        outcomes.append(_against(metric, gate, evaluation))
    if not outcomes:
        raise GateWithoutCondition(metric.name)
    return outcomes


def _absolute(metric: Metric, estimate: Estimate, bound: float, *, at_least: bool) -> GateOutcome:
    words = f"{metric.title} {'at least' if at_least else 'at most'} {bound:g}"
    if estimate.value is None:
        return GateOutcome(words, metric.name, False, None, None, None, note=f"undefined: {estimate.reason}")
    by = estimate.value - bound if at_least else bound - estimate.value
    return GateOutcome(
        words, metric.name, by >= 0, estimate.value, bound, by, estimate.low, estimate.high, estimate.value
    )


def _against(metric: Metric, gate: Gate, evaluation: Mapping[str, Any]) -> GateOutcome:
    words = _words(metric, gate)
    comparison = evaluation["comparison"]
    if gate.against == "champion" and comparison["status"] == "none":
        return GateOutcome(words, metric.name, True, None, None, None, note="no champion yet")
    if gate.against == "champion" and comparison["status"] in ("self", "unfair"):
        return GateOutcome(words, metric.name, False, None, None, None, note=f"not compared: {comparison['reason']}")
    estimate = Estimate.from_document(evaluation["improvements"][str(gate.against)][metric.name])
    if estimate.low is None:
        note = f"no interval: {estimate.reason}"
        return GateOutcome(words, metric.name, False, None, None, None, note=note)
    by = estimate.low - gate.margin
    return GateOutcome(
        words, metric.name, by > 0, estimate.low, gate.margin, by, estimate.low, estimate.high, estimate.value,
        note=f"improvement {estimate.value:.4g}, interval {estimate.low:.4g} to {estimate.high:.4g}",
    )  # fmt: skip


def _robust(task: Task, found: Mapping[str, Any], objective: Objective | None) -> GateOutcome:
    """The outcome of a disturbance that has a tolerance: as of a comparison with the model on undisturbed inputs."""
    metric = find_metric(found["metric"], task, objective)
    tolerance = found["tolerance"]
    words = f"{metric.title} at most {tolerance:g} worse with {found['disturbance']}"
    change = Estimate.from_document(found["change"])
    if change.low is None:
        return GateOutcome(words, metric.name, False, None, None, None, note=f"no interval: {change.reason}")
    by = change.low + tolerance
    return GateOutcome(
        words, metric.name, by >= 0, change.low, -tolerance, by, change.low, change.high, change.value,
        note=f"change {change.value:.4g}, interval {change.low:.4g} to {change.high:.4g}",
    )  # fmt: skip


def _fair(found: Mapping[str, Any]) -> GateOutcome:
    """The outcome of a rule of fairness that has a limit."""
    words = f"{found['title']} between the groups of {found['column']} {found['bound']}"
    estimate, limit = Estimate.from_document(found["estimate"]), found["limit"]
    if estimate.value is None:
        return GateOutcome(words, found["measure"], False, None, None, None, note=f"not judged: {found['note']}")
    by = estimate.value - limit if found["bound"].startswith("at least") else limit - estimate.value
    return GateOutcome(
        words, found["measure"], bool(found["passed"]), estimate.value, limit, by, estimate.low, estimate.high,
        estimate.value,
    )  # fmt: skip


def _words(metric: Metric, gate: Gate) -> str:
    other = _NAMES[str(gate.against)]
    if gate.margin < 0:
        return f"{metric.title} less than {-gate.margin:g} worse than {other}"
    return f"{metric.title} better than {other}" + (f" by more than {gate.margin:g}" if gate.margin else "")


_NAMES = {"champion": "the champion", "naive": "the naive baseline", "linear": "the linear baseline"}

"""What each lifecycle step reads and writes, by its inputs and its output: the way from source to deployment.

    source → staged → accepted → raw → staged → accepted → features → training set → MLflow run → version → deployment
    requests, raw → scores; features, requests → drift report

A step that has not ended, or has failed, has no output: what it was to write is then named without a version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from include.lineage.datasets import Assertion, Dataset, Movement
from include.lineage.names import DatasetNames
from include.lineage.verdicts import answer_assertions, condition_assertions, drift_assertions
from include.registry.version_tags import made_from

Document = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class StepFacts:
    """What is known of a step's run.

    :param inputs: what it was given.
    :param output: what it returned; empty before its end and after a failure.
    :param assertions: of a gate: what it found.
    """

    step: str
    inputs: Document
    output: Document = field(default_factory=dict)
    assertions: tuple[Assertion, ...] = ()


def movement_of(names: DatasetNames, facts: StepFacts) -> Movement:
    """What a step reads and writes; nothing for steps that only wait or look."""
    described = _MOVEMENTS.get(facts.step)
    return Movement() if described is None else described(names, facts)


def _ingest(names: DatasetNames, facts: StepFacts) -> Movement:
    return Movement(inputs=names.sources(), outputs=(names.staged("raw", facts.output),))


def _gate(names: DatasetNames, facts: StepFacts) -> Movement:
    stage = str(facts.inputs.get("stage"))
    if stage == "training":
        return Movement(inputs=(names.training_set(facts.inputs.get("training_set"), facts.assertions),))
    given = facts.inputs.get("staged") or _of(facts.inputs, "training").get("staged")
    return Movement(
        inputs=(names.staged(stage, given, assertions=facts.assertions),),
        outputs=(names.staged(stage, facts.output.get("staged"), accepted=True),),
    )


def _publish(names: DatasetNames, facts: StepFacts) -> Movement:
    staged = _of(_of(facts.inputs, "gate"), "staged")
    if not staged:
        return Movement()
    table = str(staged["table"])
    written = names.table(table, facts.output.get("version"), facts.output.get("rows"))
    return Movement(inputs=(names.staged(table, staged, accepted=True),), outputs=(written,))


def _prepare(names: DatasetNames, facts: StepFacts) -> Movement:
    raw = names.table("raw", _of(facts.inputs, "published").get("version"))
    return Movement(inputs=(raw,), outputs=(names.staged("features", facts.output),))


def _assemble(names: DatasetNames, facts: StepFacts) -> Movement:
    read = tuple(names.table(table, facts.output.get(f"{table}_version")) for table in ("features", "raw"))
    return Movement(inputs=read, outputs=(names.training_set(facts.output, written=True),))


def _train(names: DatasetNames, facts: StepFacts) -> Movement:
    return Movement(
        inputs=(names.training_set(facts.inputs.get("training_set")),),
        outputs=(names.run(facts.output.get("run_id")), names.staged("predictions", facts.output.get("staged"))),
    )


def _evaluate(names: DatasetNames, facts: StepFacts) -> Movement:
    training = _of(facts.inputs, "training")
    champion = facts.output.get("champion_version")
    met = () if champion is None else (names.model_version(champion),)
    return Movement(
        inputs=(names.run(training.get("run_id")), names.training_set(training.get("training_set")), *met),
        outputs=(names.report("evaluation", facts.output.get("report")),),
    )


def _decide(names: DatasetNames, facts: StepFacts) -> Movement:
    report = _of(facts.inputs, "evaluation").get("report")
    assertions = condition_assertions(facts.output) if facts.output else ()
    return Movement(inputs=(names.report("evaluation", report, assertions),))


def _register(names: DatasetNames, facts: StepFacts) -> Movement:
    training, evaluation = _of(facts.inputs, "training"), _of(facts.inputs, "evaluation")
    run, report = names.run(training.get("run_id")), names.report("evaluation", evaluation.get("report"))
    if not facts.output:
        return Movement(inputs=(run, report), outputs=(names.model_version(None),))
    tags = made_from(_of(training, "training_set"), evaluation)
    told = {
        **{key: facts.output.get(key) for key in ("version", "status")},
        **{key: training.get(key) for key in ("run_id", "model_uri", "fingerprint", "artifact_digest")},
        "made_from": {tag.removeprefix("noria."): value for tag, value in tags.items()},
        "decision": _of(facts.inputs, "decision").get("verdict"),
        "metrics": evaluation.get("challenger"),
    }
    return Movement(inputs=(run, report), outputs=(names.model_version(facts.output.get("version"), told),))


def _looked_at(names: DatasetNames, facts: StepFacts) -> Movement:
    """Of a step that judges or chooses a version and changes nothing."""
    return Movement(inputs=(names.model_version(facts.output.get("version", facts.inputs.get("version"))),))


def _deployed(names: DatasetNames, facts: StepFacts) -> Movement:
    """Of a step that changes what is deployed; the facts lead to the ledger's row."""
    version = facts.output.get("version", facts.inputs.get("version"))
    left = None if facts.step in ("withdraw", "retire") else version
    keys = ("role", "stage", "share", "previous", "replaced", "rolled_back", "withdrawn", "skipped", "ledger_id")
    told = {"action": facts.step, **{key: facts.output[key] for key in keys if facts.output.get(key) is not None}}
    read = () if version is None else (names.model_version(version),)
    return Movement(inputs=read, outputs=(names.deployment(left, told if facts.output else None),))


def _score(names: DatasetNames, facts: StepFacts) -> Movement:
    version = facts.output.get("model_version", _of(facts.inputs, "chosen").get("version"))
    path = facts.inputs.get("path")
    rows = names.delivered(str(path)) if path else names.table("raw")
    written = names.table("scores", facts.output.get("version"), facts.output.get("rows"))
    return Movement(inputs=(names.model_version(version), rows), outputs=(written,))


def _replay(names: DatasetNames, facts: StepFacts) -> Movement:  # noqa: ARG001 - as all
    return Movement(inputs=names.sources(), outputs=(names.table("inference"), names.table("feedback")))


def _monitor(names: DatasetNames, facts: StepFacts) -> Movement:
    drift = facts.output
    features = (*drift_assertions(drift), *answer_assertions(drift, ("data",))) if drift else ()
    requests = answer_assertions(drift, ("requests",))
    read = [_asserted(names.table("features"), features), names.model_version(drift.get("champion_version"))]
    if requests:
        read.append(_asserted(names.table("inference"), requests))
    return Movement(inputs=tuple(read), outputs=(names.report("drift", drift.get("report")),))


def _asserted(dataset: Dataset, assertions: tuple[Assertion, ...]) -> Dataset:
    return replace(dataset, assertions=assertions)


def _of(document: Document, key: str) -> Document:
    """A part that is a document; an empty one if it is not there."""
    part = document.get(key)
    return part if isinstance(part, Mapping) else {}


_MOVEMENTS: Final[Mapping[str, Callable[[DatasetNames, StepFacts], Movement]]] = {
    "ingest": _ingest,
    "gate": _gate,
    "publish": _publish,
    "prepare": _prepare,
    "assemble": _assemble,
    "train": _train,
    "evaluate": _evaluate,
    "decide": _decide,
    "register": _register,
    **dict.fromkeys(("verify", "assess", "ask", "choose"), _looked_at),
    **dict.fromkeys(("deploy", "stage", "promote", "withdraw", "rollback", "drain", "retire", "restore"), _deployed),
    "score": _score,
    "replay": _replay,
    "monitor": _monitor,
}
"""By step. *audit* only says in short what others did."""

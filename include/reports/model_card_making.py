"""A model card from what the steps know when a version is registered: definition, training, evaluation, decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from include.evaluation.metrics import find_metric
from include.registry.versions import ModelVersion
from include.reports.model_card import (
    Condition,
    Data,
    Disturbed,
    Fact,
    Figure,
    Measure,
    ModelCard,
    Quality,
    SliceQuality,
    Table,
    Window,
)
from include.reports.model_card_rules import rules_of
from include.spec.columns import feature_types, personal_features
from include.spec.definition import Definition
from include.spec.objective import Objective

Document = Mapping[str, Any]

#: Slices on a card; the evaluation page has all.
_MOST_SLICES: Final = 40
_OTHERS: Final = {"champion": "Champion", "naive": "Naive baseline", "linear": "Linear baseline"}
_TASKS: Final = {
    "binary_classification": "yes or no",
    "multiclass_classification": "one of several classes",
    "regression": "a number",
}


def make_card(
    definition: Definition,
    registered: ModelVersion,
    *,
    training: Document,
    report: Document | None,
    page: str | None,
    run: Document | None,
) -> ModelCard:
    """The card of a version that was just registered.

    :param training: output of the step train.
    :param report: of the evaluation, with gates; None if it was not evaluated.
    :param page: the evaluation page, relative to the store.
    :param run: ``params`` and ``tags`` of its MLflow run.
    """
    decision = registered.decision
    run = run or {"params": {}, "tags": {}}
    quality = None if report is None else _quality(definition, report, page)
    return ModelCard(
        model=definition.model,
        version=registered.version,
        description=definition.description,
        owner=definition.owner,
        readers=tuple(definition.readers),
        task=definition.task,
        as_of=registered.as_of,
        registered_at=registered.created_at,
        stated=definition.card,
        facts=tuple(_facts(definition, registered, training, run)),
        parameters=_named(run["params"]),
        libraries=_named(_tagged(run, "noria.library.")),
        data=_data(definition, training),
        quality=quality,
        verdict=decision.get("verdict"),
        reason=str(decision.get("reason") or ""),
        gates=tuple(_condition(gate) for gate in decision.get("gates") or ()),
        rules=tuple(rules_of(definition)),
        factors=tuple(_public(definition, definition.evaluation.slices)),
        sensitive=tuple(dict.fromkeys(rule.column for rule in definition.evaluation.fairness)),
        derived_limits=tuple(_limits(definition, training, report, quality)),
    )


def _public(definition: Definition, names: list[str]) -> list[str]:
    """Columns whose values may be shown."""
    return [name for name in names if name not in definition.serving.personal]


def _named(values: Mapping[str, str]) -> tuple[Fact, ...]:
    return tuple(Fact(name=name, value=str(value)) for name, value in sorted(values.items()))


def _tagged(run: Document, prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): value for name, value in run["tags"].items() if name.startswith(prefix)}


def _facts(definition: Definition, version: ModelVersion, training: Document, run: Document) -> Iterator[Fact]:
    trainer = definition.training.trainer
    tags = run["tags"]
    said = {
        "Answers": _TASKS[definition.task],
        "Trainer": trainer.module or trainer.kind if not definition.training.candidates else "the best of several",
        "Chosen candidate": training.get("candidate"),
        "Boosting rounds": training.get("best_round"),
        "Seed": training.get("seed"),
        "Fingerprint": version.fingerprint,
        "Model digest": version.artifact_digest,
        "MLflow run": version.run_id,
        "Code": tags.get("noria.code"),
        "Commit": tags.get("mlflow.source.git.commit"),
    }
    yield from (Fact(name=name, value=str(value)) for name, value in said.items() if value is not None)


def _data(definition: Definition, training: Document) -> Data:
    made, hidden = training.get("training_set") or {}, personal_features(definition)
    expressions = {name: one.expression for name, one in definition.features.items()}
    module = definition.feature_module.path if definition.feature_module else ""
    features = [
        Fact(name=name, value=f"{expressions.get(name) or module} ({kind})")
        for name, kind in feature_types(definition).items()
        if name not in hidden
    ]
    rows = made.get("rows") or {}
    windows = [
        Window(part=part, start=span["start"], end=span["end"], by=span.get("by"), rows=rows.get(part))
        for part, span in (made.get("windows") or {}).items()
    ]
    tables = [
        Table(name=name, version=made.get(f"{name}_version"), digest=made.get(f"{name}_digest"))
        for name in ("features", "raw")
        if made.get(f"{name}_version") is not None
    ]
    source = definition.source
    return Data(
        source={"files": source.path, "delta": source.path}.get(source.type) or (source.table or "a query"),
        label=definition.label.expression,
        classes=definition.label.class_names,
        digest=made.get("digest"),
        tables=tuple(tables),
        windows=tuple(windows),
        missing=tuple(made.get("missing") or ()),
        features=tuple(features),
        hidden=len(hidden),
        personal=len(definition.serving.personal),
    )


def _quality(definition: Definition, report: Document, page: str | None) -> Quality:
    judging, comparison = report["judging"], report["comparison"]
    resampling = judging["resampling"]
    unit = "single rows" if resampling["unit"] == "row" else f"{resampling['units']:,} whole {resampling['unit']}s"
    shown = _public(definition, definition.evaluation.slices)
    return Quality(
        rows=report["rows"],
        threshold=judging["threshold"] if definition.task == "binary_classification" else None,
        confidence=judging["confidence"],
        drawn=f"{judging['rounds']:,} resamples of {unit}",
        champion=report["champion_version"],
        meeting=_meeting(comparison),
        measures=tuple(_measure(report, name) for name in report["metrics"]),
        slices=tuple(_slice(report, one) for one in report["slices"] if one["column"] in shown)[:_MOST_SLICES],
        robustness=tuple(_disturbed(report, one) for one in report.get("robustness") or ()),
        fairness=tuple(report.get("fairness") or ()),
        importance=_importance(report.get("importance")),
        page=page,
    )


def _importance(found: Document | None) -> dict[str, Any] | None:
    """Without what is only drawn on the evaluation page."""
    if not found:
        return None
    return {key: found.get(key) for key in ("method", "reason", "features", "jump")}


def _meeting(comparison: Document) -> str:
    if comparison["status"] == "fair":
        return f"Compared with champion version {comparison['champion_version']} on the very same rows."
    reason = str(comparison["reason"]).rstrip(".")
    return f"{reason[:1].upper()}{reason[1:]}."


def _measure(report: Document, name: str) -> Measure:
    objective = report["judging"].get("objective")
    metric = find_metric(name, report["task"], Objective.model_validate(objective) if objective else None)
    others = {"champion": report["champion"], **report["baselines"]}
    return Measure(
        name=name,
        title=metric.title,
        higher_is_better=metric.higher_is_better,
        leading=name in report["highlights"],
        version=_figure(report["challenger"][name]),
        others={_OTHERS[side]: _figure(found[name]) for side, found in others.items() if found},
    )


def _figure(estimate: Document) -> Figure:
    return Figure(**{key: estimate.get(key) for key in ("value", "low", "high", "reason")})


def _slice(report: Document, one: Document) -> SliceQuality:
    against = one["improvements"].get("champion") or {}
    high = [found["high"] for name, found in against.items() if name in report["highlights"]]
    return SliceQuality(
        column=one["column"],
        value=one["value"],
        rows=one["rows"],
        figures=tuple(_figure(one["metrics"]["challenger"][name]) for name in report["highlights"]),
        reason=one["reason"],
        worse=any(end is not None and end < 0 for end in high),
    )


def _disturbed(report: Document, one: Document) -> Disturbed:
    return Disturbed(
        disturbance=one["disturbance"],
        metric=find_metric(one["metric"], report["task"]).title,
        before=_figure(one["undisturbed"]),
        after=_figure(one["disturbed"]),
        change=_figure(one["change"]),
    )


def _condition(gate: Document) -> Condition:
    words = str(gate.get("sentence") or gate.get("note") or "")
    return Condition(gate=str(gate["gate"]), passed=bool(gate["passed"]), words=words.removeprefix(f"{gate['gate']}: "))


def _limits(
    definition: Definition, training: Document, report: Document | None, quality: Quality | None
) -> Iterator[str]:
    """What measurements and definition say of its limits by themselves."""
    if report is None or quality is None:
        yield "It was registered without an evaluation: nothing is known of its quality."
        return
    made = training.get("training_set") or {}
    if made.get("missing"):
        yield f"{len(made['missing'])} partitions of its windows were missing when it was trained."
    weak = [f"{one.column} {one.value}" for one in quality.slices if one.worse]
    if weak:
        yield f"It is surely worse than the champion was where {_some(weak)}."
    small = [one for one in quality.slices if one.reason]
    if small:
        yield f"Of {len(small)} shown slices there were too few rows to judge it by."
    if report["judging"]["resampling"]["reason"]:
        yield f"Its intervals come from single rows: {report['judging']['resampling']['reason']}."
    if quality.champion is None:
        yield "It was compared with no earlier version."
    if definition.serving.limits:
        yield f"Requests outside of the definition's limits are refused: {_some(list(definition.serving.limits))}."
    unseen = "are refused" if definition.serving.unseen_categories == "refuse" else "count as missing"
    if "category" in feature_types(definition).values():
        yield f"Categories that training has not seen {unseen}."


def _some(names: list[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

"""The end of ``make run``: one document for machines, the same as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from include.spec.definition import Definition
from include.stack.environment import Stack
from include.stack.life import Life
from include.stack.lifecycle import addresses

_GATES = (("data", "gate_raw"), ("data", "gate_features"), ("train", "gate_training"), ("train", "gate_predictions"))


def summarize(stack: Stack, definition: Definition, life: Life) -> dict[str, Any]:
    """Everything that came of the run, as JSON."""
    train = life.output("train", "train")
    return {
        "model": life.model,
        "as_of": life.as_of.isoformat(),
        "landed": life.landed,
        "data": {
            **{name: life.output("data", f"publish_{name}") for name in ("raw", "features")},
            "predictions": life.output("train", "publish_predictions"),
        },
        "training_set": train.get("training_set", life.output("train", "assemble")),
        "gates": {task: life.output(family, task) for family, task in _GATES},
        "training": {key: value for key, value in train.items() if key != "training_set"},
        "evaluation": life.output("train", "evaluate"),
        "decision": life.output("train", "decide"),
        "version": life.output("train", "register").get("version"),
        "deployment": _deployment(definition, life),
        "served": life.served,
        "monitoring": life.output("monitor", "monitor"),
        "metrics_first": definition.evaluation.metrics,
        "stages": _stages(life),
        "addresses": addresses(stack),
        "store": stack.settings.store_address,
    }


def _deployment(definition: Definition, life: Life) -> dict[str, Any]:
    names = [stage.name for stage in definition.deployment.stages if stage.kind != "champion"]
    awaited = {name: life.output("deploy", f"await_{name}") for name in names}
    steps = {task: life.output("deploy", task) for task in ("deploy", "verify", "promote")}
    return {**steps, "stages": {name: output for name, output in awaited.items() if output}}


def _stages(life: Life) -> dict[str, Any]:
    return {
        family: {
            "seconds": round(life.seconds.get(family, run.seconds), 1),
            "tasks": {name: round(task.seconds, 1) for name, task in run.tasks.items() if task.seconds is not None},
        }
        for family, run in life.runs.items()
    }


def render(document: Mapping[str, Any]) -> str:
    """The document as text."""
    return "\n".join(_lines(document))


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    yield f"══ {document['model']} as of {document['as_of']} " + "═" * 40
    yield from _data(document)
    yield from _gates(document)
    yield from _metrics(document)
    yield from _decision(document)
    yield from _monitoring(document)
    yield "\nSeconds"
    yield "  " + ", ".join(f"{family} {stage['seconds']:.1f}" for family, stage in document["stages"].items())
    yield "\nPages"
    yield from (f"  {name:<18}{address}" for name, address in document["addresses"].items())
    store = Path(document["store"])
    for name, page in _pages(document):
        yield f"  {name:<18}{(store / page).as_uri()}"


def _data(document: Mapping[str, Any]) -> Iterator[str]:
    yield "\nData"
    yield f"  landing           {document['landed']}"
    for name, published in document["data"].items():
        if published:
            first, last = published.get("first"), published.get("last")
            span = f"{first}" if first == last else f"{published.get('partitions', 0)} partitions {first} … {last}"
            changed = f"{published.get('changed', 0)} changed"
            yield f"  {name:<18}version {published.get('version')}, {span}, {changed}, digest {published.get('digest')}"
        else:
            yield f"  {name:<18}nothing new"
    training_set = document["training_set"]
    rows = training_set.get("rows", {})
    counts = ", ".join(f"{part} {count:,}" for part, count in rows.items())
    yield f"  training set      {counts} rows; digest {training_set.get('digest')}"


def _gates(document: Mapping[str, Any]) -> Iterator[str]:
    yield "\nGates"
    for task, gate in document["gates"].items():
        if gate and gate.get("accepted") == 0 and not gate.get("refused"):
            yield f"  {task.removeprefix('gate_'):<18}nothing new to judge"
        elif gate:
            refused = f", refused: {', '.join(gate['refused'])}" if gate.get("refused") else ""
            verdict = f"{gate.get('verdict')}, {gate.get('warnings', 0)} warnings"
            yield f"  {task.removeprefix('gate_'):<18}{verdict}{refused}"
        else:
            yield f"  {task.removeprefix('gate_'):<18}nothing to judge"


def _metrics(document: Mapping[str, Any]) -> Iterator[str]:
    evaluation = document["evaluation"]
    challenger, champion = evaluation.get("challenger") or {}, evaluation.get("champion") or {}
    against = _rival(evaluation, champion=bool(champion))
    yield f"\n{'Metrics on the holdout':<26}{'challenger':<28}{against}"
    for name in _ordered(document["metrics_first"], challenger):
        yield f"  {name:<24}{_interval(challenger.get(name)):<28}{_interval(champion.get(name))}"
    if evaluation.get("unfair_reason"):
        yield f"  {evaluation['unfair_reason']}"


def _rival(evaluation: Mapping[str, Any], *, champion: bool) -> str:
    """The heading of the champion's column."""
    version = evaluation.get("champion_version")
    if version is None:
        return "champion (there is none yet)"
    return f"champion (version {version})" if champion else f"champion (version {version}, not compared)"


def _ordered(first: list[str], metrics: Mapping[str, Any]) -> list[str]:
    return [name for name in first if name in metrics] + [name for name in metrics if name not in first]


def _interval(metric: Mapping[str, Any] | None) -> str:
    if not metric or metric.get("value") is None:
        return "–"
    low, high = metric.get("low"), metric.get("high")
    between = f" [{low:.4g}, {high:.4g}]" if low is not None and high is not None else ""
    return f"{metric['value']:.4g}{between}"


def _decision(document: Mapping[str, Any]) -> Iterator[str]:
    decision, deployment, served = document["decision"], document["deployment"], document["served"]
    reused = " (reused: nothing that makes it has changed)" if document["training"].get("reused") else ""
    yield f"\nDecision: {decision.get('verdict')}. {decision.get('reason', '')}"
    yield f"  version {document['version']}{reused}, artifact digest {document['training'].get('artifact_digest')}"
    for gate in decision.get("gates", []):
        yield f"  {'✓' if gate.get('passed') else '✗'} {gate.get('gate')}: {_by(gate)}"
    yield from _way(deployment)
    yield f"  served: version {served.get('version')} answered {served.get('predictions')}"


def _way(deployment: Mapping[str, Any]) -> Iterator[str]:
    """How the version came into production, if this run deployed one."""
    if not deployment["promote"]:
        return
    rows = deployment["verify"].get("rows")
    yield f"  verified: {rows} holdout rows answered by the live server exactly as in the batch"
    for name, stage in deployment["stages"].items():
        yield f"  {name}: {stage.get('reason')}"
    replaced = deployment["promote"].get("replaced")
    yield "  champion" + (f", in place of version {replaced}" if replaced else ", the model's first")


def _by(gate: Mapping[str, Any]) -> str:
    value, bound, by = gate.get("value"), gate.get("bound"), gate.get("by")
    shown = [
        f"{name} {number:.4g}"
        for name, number in (("value", value), ("bound", bound), ("by", by))
        if number is not None
    ]
    return ", ".join(shown) or str(gate.get("note", ""))


def _monitoring(document: Mapping[str, Any]) -> Iterator[str]:
    monitoring = document["monitoring"]
    if not monitoring:
        yield "\nDrift: not checked"
        return
    window = monitoring.get("window") or {}
    days = f"{window.get('first')} … {window.get('last')}"
    yield f"\nDrift: {monitoring['verdict']} in {days}. {monitoring.get('reason', '')}"
    yield from _quality(monitoring.get("quality") or [], monitoring.get("estimates") or [])


def _quality(said: list[Mapping[str, Any]], estimates: list[Mapping[str, Any]]) -> Iterator[str]:
    """What labels say of the champion's answers, a line for each source of labels; without enough, the estimate."""
    estimated = {one["source"]: one["reason"] for one in estimates}
    if not said:
        yield "Quality: nothing to judge yet: no answers that the champion has not been made with"
    for one in said:
        whose = {"data": "by labels that came with the data", "requests": "by labels sent for requests"}[one["source"]]
        yield f"Quality: {one['verdict']} {whose}. {one['reason']}"
        if one["verdict"] == "not enough data" and one["source"] in estimated:
            yield f"  {estimated[one['source']]}"


def _pages(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for task, gate in document["gates"].items():
        if gate.get("page"):
            yield f"{task.removeprefix('gate_')} gate", gate["page"]
    if document["evaluation"].get("page"):
        yield "evaluation", document["evaluation"]["page"]
    if document["deployment"]["promote"].get("page"):
        yield "deployment", document["deployment"]["promote"]["page"]
    if document["monitoring"].get("page"):
        yield "drift", document["monitoring"]["page"]

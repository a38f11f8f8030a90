"""How a definition wants its versions deployed, watched and taken back, in words for the model card."""

from __future__ import annotations

from collections.abc import Iterator

from include.reports.layout import format_percent
from include.reports.model_card import Fact
from include.spec.definition import Definition
from include.spec.duration import format_duration
from include.spec.production import live_metric


def rules_of(definition: Definition) -> Iterator[Fact]:
    """The rules that hold for every version of the model."""
    deployment, monitoring = definition.deployment, definition.monitoring
    yield Fact(name="Way into production", value=" → ".join(stage.name for stage in deployment.stages))
    asked = "a person decides in Airflow" if deployment.approval == "required" else "none is asked for"
    yield Fact(name="Approval", value=asked)
    yield Fact(name="Taken back by itself at", value=", or ".join(_rollback(definition)))
    drift, decay = monitoring.drift, monitoring.decay
    yield Fact(
        name="Drift",
        value=f"newest {format_duration(drift.window)}, changes from {format_percent(drift.least_change)} of the rows",
    )
    metrics = ", ".join(decay.metrics or definition.evaluation.metrics[:1])
    yield Fact(
        name="Decay",
        value=f"labels of {format_duration(decay.window)}: {metrics}, losses from {format_percent(decay.least_change)}",
    )
    causes = [
        word for word, on in (("drift", monitoring.retrain.on_drift), ("decay", monitoring.retrain.on_decay)) if on
    ]
    yield Fact(name="Retraining", value=f"started by {' and '.join(causes)}" if causes else "started by people only")
    yield Fact(name="Requests are kept for", value=format_duration(definition.serving.log.retention))
    told = definition.alerts.to
    yield Fact(
        name="Alerts go to", value="the installation's channels" if told is None else ", ".join(told) or "nobody"
    )


def _rollback(definition: Definition) -> Iterator[str]:
    rules = definition.deployment.rollback
    yield f"failures on more than {format_percent(rules.error_rate)} of the rows"
    if rules.p99_ms is not None:
        yield f"a 99th percentile of its latency above {rules.p99_ms:g} ms"
    yield f"a median latency {rules.added_ms:g} ms above the champion's"
    yield f"predictions that move by {rules.prediction_shift:g} standard deviations"
    yield f"a {rules.metric or live_metric(definition)} that is {rules.quality_margin:g} worse on labelled rows"

"""What a definition says of a version's way into production, and of the server that answers with it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from pydantic import Field, model_validator

from include.spec.section import Duration, Scalar, Section

if TYPE_CHECKING:
    from include.spec.definition import Definition

StageKind = Literal["shadow", "canary", "ab", "champion"]

_STAGE_FORMS: Final = "write shadow, canary: 10, ab: {share: 50, length: 14d} or champion"


class Stage(Section):
    """One stage of a deployment: ``shadow``, ``canary: 10``, ``ab: {share: 50, length: 14d}`` or ``champion``."""

    kind: StageKind = Field(description="shadow, canary, ab or champion; it is the key of the short form.")
    share: float = Field(0.0, ge=0, le=100, description="Percent of the entities that the challenger answers.")
    length: Duration | None = Field(None, description="How long an A/B test runs; it ends at that time, not before.")
    metric: str | None = Field(
        None, description="Metric that decides an A/B test; `deployment.rollback.metric` if left out."
    )

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"kind": value}
        if isinstance(value, dict) and len(value) == 1 and "kind" not in value:
            ((kind, given),) = value.items()
            if isinstance(given, dict):
                return {"kind": kind, **given, "share": _percent(given.get("share", 50 if kind == "ab" else 0))}
            return {"kind": kind, "share": _percent(given)}
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        answers = self.kind in {"canary", "ab"}
        if answers != (self.share > 0):
            raise ValueError(f"a {self.kind} stage takes {'a share over 0' if answers else 'no share'}; {_STAGE_FORMS}")
        if (self.kind == "ab") != (self.length is not None):
            raise ValueError(f"only an A/B test has a length, and it must have one; {_STAGE_FORMS}")
        if self.metric is not None and self.kind != "ab":
            raise ValueError(f"only an A/B test has a metric of its own; {_STAGE_FORMS}")
        return self

    @property
    def name(self) -> str:
        """A short name, unique within a deployment: ``shadow``, ``canary_10``, ``ab_50``, ``champion``."""
        return f"{self.kind}_{self.share:g}".replace(".", "_") if self.share else self.kind


def _percent(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


class Evidence(Section):
    """How much must have been seen before a stage ends well."""

    requests: int = Field(500, ge=1, description="Rows that champion and challenger have both answered in the stage.")
    labels: int = Field(
        0, ge=0, description="Of these (over all stages), rows whose label has come in. 0: labels are not waited for."
    )
    time: Duration | None = Field(
        None, description="After this time a stage ends well with fewer requests too, if nothing speaks against it."
    )
    timeout: Duration = Field(
        timedelta(hours=6), description="A stage that has not ended by then is rolled back, Airflow running or not."
    )


class Rollback(Section):
    """What takes a challenger out again, without a person."""

    error_rate: float = Field(0.01, ge=0, le=1, description="Largest share of rows on which it may fail.")
    p99_ms: float | None = Field(None, gt=0, description="Largest 99th percentile of its latency, milliseconds.")
    added_ms: float = Field(
        10.0, gt=0, description="Milliseconds by which its median latency may exceed the champion's in the same window."
    )
    prediction_shift: float = Field(
        0.2,
        gt=0,
        description="By how many standard deviations of the champion's predictions the mean may move on the same rows, "
        "as long as labels do not show it to be as good.",
    )
    quality_margin: float = Field(
        0.02, ge=0, description="By how much it may be worse than the champion on the same labelled rows."
    )
    metric: str | None = Field(
        None, description="Metric of that comparison; the first gate's against the champion if left out."
    )


class Deployment(Section):
    """How a version goes into production."""

    verify_rows: int = Field(500, ge=1, description="Holdout rows sent through the live server before any traffic.")
    stages: list[Stage] = Field(
        default_factory=lambda: [Stage(kind="champion")],
        min_length=1,
        description="The way into production, such as `[shadow, canary: 10, canary: 50, champion]`. Needs traffic; "
        "a model's first champion goes there directly.",
    )
    approval: Literal["none", "required"] = Field(
        "none", description="`required`: a person approves in the Airflow UI before the challenger answers anybody."
    )
    evidence: Evidence = Field(Evidence(), description="How much must have been seen before a stage ends well.")
    rollback: Rollback = Field(Rollback(), description="What takes a challenger out again.")

    @model_validator(mode="after")
    def _stages_lead_to_champion(self) -> Self:
        kinds = [stage.kind for stage in self.stages]
        if kinds[-1] != "champion" or kinds.count("champion") > 1:
            raise ValueError("stages must end with champion, and have it once")
        if "shadow" in kinds[1:]:
            raise ValueError("shadow can only be the first stage")
        shares = [stage.share for stage in self.stages if stage.kind == "canary"]
        if shares != sorted(set(shares)):
            raise ValueError("the shares of the canary stages must rise")
        names = [stage.name for stage in self.stages]
        if len(names) != len(set(names)):
            raise ValueError("two stages are the same")
        return self


class Limit(Section):
    """What a request may say in one column; outside of it the request is refused with a 422."""

    minimum: float | None = Field(None, description="Smallest number.")
    maximum: float | None = Field(None, description="Largest number.")
    values: list[Scalar] | None = Field(None, min_length=1, description="All values that there are.")


class RequestLog(Section):
    """The log of requests and answers."""

    retention: Duration = Field(timedelta(days=90), description="How long requests are kept in the table `inference`.")


class Serving(Section):
    """What the inference server takes and keeps."""

    limits: dict[str, Limit] = Field(
        default_factory=dict, description="Input columns and what a request may say in them."
    )
    unseen_categories: Literal["missing", "refuse"] = Field(
        "missing",
        description="A category that training has not seen counts as `missing`, or the request is refused with a 422.",
    )
    personal: list[str] = Field(
        default_factory=list, description="Columns that are hashed in the request log, with a key of this installation."
    )
    log: RequestLog = Field(RequestLog(), description="The log of requests and answers.")


def live_metric(definition: Definition) -> str:
    """The metric of a definition that names none for this: its first gate's against the champion, else its first."""
    gates = (gate.metric for gate in definition.evaluation.gates if gate.against == "champion")
    return next(gates, definition.evaluation.metrics[0])

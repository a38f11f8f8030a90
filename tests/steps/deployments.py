"""Versions without a model behind them, and the steps of a deployment as Airflow would call them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from include.registry import database, state
from include.registry.assessments import Verdict
from include.registry.deployed import challenger, champion
from include.registry.tables import deployment_state, model_version
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.loader import find_definition
from include.spec.production import Deployment
from include.steps.catalog import load_step
from include.steps.protocol import Document, StepCall
from tests.registry.judgements import record_assessment

MODEL = "bike_demand"
STAGES = ["shadow", {"canary": 10}, {"canary": 50}, "champion"]
AS_OF = datetime(2013, 10, 1, tzinfo=UTC)


def put_version(settings: Settings, version: int, *, status: str = "registered", **values: Any) -> int:
    """A registered version; number n is as of n days after 1 October 2013."""
    row = {
        "model": MODEL,
        "version": version,
        "fingerprint": f"f{version}",
        "run_id": f"run{version}",
        "as_of": AS_OF + timedelta(days=version),
        "artifact_digest": f"d{version}",
        "model_uri": f"models:/m-{version}",
        "status": status,
        "windows": {},
        "decision": {},
    }
    with database.transaction(settings.database_url) as connection:
        connection.execute(model_version.insert().values(**row | values))
    return version


def with_stages(stages: list[Any] | None = None) -> Definition:
    """The model's definition with other stages."""
    deployment = Deployment.model_validate({"stages": STAGES if stages is None else stages})
    return find_definition(Settings.from_environment({}), MODEL).model_copy(update={"deployment": deployment})


@dataclass(frozen=True)
class DeploymentRun:
    """One run of the deployment DAG, without Airflow."""

    settings: Settings
    version: int
    name: str = "bike_demand.deploy/manual__1"

    def step(self, name: str, **inputs: Any) -> Document:
        """Run a step as the DAG does."""
        given = {"version": self.version, "deployment": self.name, "actor": "ana", "reason": "it is better"}
        call = StepCall(
            settings=self.settings, definition=with_stages(), as_of=AS_OF, attempt="a1", inputs=given | inputs
        )
        return load_step(name)(call)

    def judge(self, stage: str, verdict: Verdict, reason: str = "300 rows, nothing speaks against it") -> None:
        """What the server does by itself."""
        record_assessment(
            self.settings, MODEL, version=self.version, deployment=self.name, stage=stage, verdict=verdict,
            reason=reason, evidence={"checks": [{"check": "errors", "value": 0.0, "bound": 0.01, "passed": True}]},
        )  # fmt: skip

    def move_deadline(self, by: timedelta) -> None:
        """As if the stage had been entered at another time."""
        with database.transaction(self.settings.database_url) as connection:
            connection.execute(
                deployment_state.update()
                .where(deployment_state.c.version == self.version)
                .values(until=deployment_state.c.until + by)
            )


def standing(settings: Settings) -> tuple[int | None, tuple[int, str, float] | None]:
    """The champion, and the challenger with its role and share."""
    first, second = champion(settings, MODEL), challenger(settings, MODEL)
    return (first.version if first else None, (second.version, second.role, second.share) if second else None)


def make_champion(settings: Settings, version: int) -> int:
    """A version that is in production."""
    state.switch_champion(settings, MODEL, put_version(settings, version), actor="ana", reason="first")
    return version

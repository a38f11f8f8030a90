"""What a definition says of alerts: who is told, and of what."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from include.spec.section import Duration, Section

Event = Literal[
    "gate_refused",
    "missed_partition",
    "drift",
    "decay",
    "fairness_gap",
    "importance_jump",
    "retrain_lost",
    "promotion",
    "rollback",
    "stuck_deployment",
    "task_failed",
]

ChannelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,200}$")]


class Alerts(Section):
    """Who is told when something happens to the model, and of what. Addresses and secrets stay in Airflow."""

    to: list[ChannelName] | None = Field(
        None,
        description="Ids of Airflow connections: http (a webhook), slackwebhook, smtp or fs (a file). Left out: those "
        "in the Airflow variable `noria_alerts_to`; `[]`: nobody.",
    )
    on: list[Event] | None = Field(None, description="What is told. Left out: everything.")
    data_deadline: Duration = Field(
        timedelta(hours=1),
        gt=timedelta(0),
        description="A run of the data DAG that has not ended so long after its start is told as a missed partition.",
    )
    approval_after: Duration = Field(
        timedelta(days=1),
        gt=timedelta(0),
        description="A deployment that has waited so long for a person's approval is told as stuck.",
    )

    def wants(self, event: str) -> bool:
        """Whether an event of this kind is told."""
        return self.on is None or event in self.on

"""Operators by which one run starts another: a deployment after a decision, a training after drift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Variable
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from include.errors import TryAgain
from plugins.operators.environment import project_settings
from plugins.operators.retired import standing_of, words_of
from plugins.operators.run_facts import actor_of, request_of

if TYPE_CHECKING:
    from airflow.sdk import Context

RETRAIN_VARIABLE = "noria_retrain_on_drift"


class StartDeploymentOperator(TriggerDagRunOperator):
    """
    Starts the model's deployment if the decision says so; a retry does not start a second one.

    :param model: Name of the model.
    :param as_of: The run's instant. (templated)
    :param decision: Output of the step decide. (templated)
    :param registered: Output of the step register. (templated)
    """

    template_fields: Sequence[str] = (*TriggerDagRunOperator.template_fields, "as_of", "decision", "registered")

    def __init__(self, *, model: str, as_of: Any, decision: Any, registered: Any, **kwargs: Any) -> None:
        super().__init__(trigger_dag_id=f"{model}.deploy", **_once(kwargs))
        self.as_of = as_of
        self.decision = decision
        self.registered = registered

    def execute(self, context: Context) -> None:
        """Trigger ``<model>.deploy`` with the version, the reason and the actor."""
        if not self.decision["promote"]:
            raise AirflowSkipException(f"The champion stays: {self.decision['reason']}")
        run = context["dag_run"]
        version = self.registered["version"]
        self.trigger_run_id = f"version_{version}__{run.run_id}"
        self.conf = {
            "version": version,
            "reason": self.decision["reason"],
            "actor": actor_of(context),
            "as_of": self.as_of,
            # The decision holds against this champion only.
            "expected_champion": self.decision.get("champion_version"),
            "evidence": {
                "run": request_of(context),
                "gates": self.decision.get("gates"),
                **({"started_by": started} if (started := self.decision.get("started_by")) else {}),
            },
        }
        super().execute(context)


class StartTrainingOperator(TriggerDagRunOperator):
    """
    Starts a training if drift or decay asks for one; one for each window, however often the check is run.

    The Airflow variable ``noria_retrain_on_drift`` set to ``false`` turns it off for all models.

    :param model: Name of the model.
    :param as_of: The run's instant. (templated)
    :param verdict: Output of the step monitor. (templated)
    """

    template_fields: Sequence[str] = (*TriggerDagRunOperator.template_fields, "as_of", "verdict")

    def __init__(self, *, model: str, as_of: Any, verdict: Any, **kwargs: Any) -> None:
        super().__init__(trigger_dag_id=f"{model}.train", **_once(kwargs))
        self.model = model
        self.as_of = as_of
        self.verdict = verdict

    def execute(self, context: Context) -> None:
        """Trigger ``<model>.train`` with this run's as_of, and say in the ledger what started it."""
        if not self.verdict["retrain"]:
            raise AirflowSkipException(f"No training is started: {self.verdict['reason']}")
        if not retraining_allowed():
            raise AirflowSkipException(
                f"A check asks for it ({self.verdict['reason']}), but the Airflow variable {RETRAIN_VARIABLE} is off."
            )
        start_id = str(self.verdict.get("start_id") or self.verdict["window"]["last"])
        if words := words_of(standing_of(self.model)):
            raise AirflowSkipException(
                f"A check asks for it ({self.verdict['reason']}), but nothing is trained: {words}"
            )
        self._record(start_id, context)
        self.trigger_run_id = _run_id(start_id)
        self.conf = {"as_of": self.as_of, "started_by": start_id}
        super().execute(context)

    def _record(self, start_id: str, context: Context) -> None:
        """Into the ledger before the run is started, so that there is no training of which the ledger does not know."""
        from include.registry.retrainings import record_retraining

        kept = ("reason", "window", "share", "quality", "page", "champion_version")
        try:
            record_retraining(
                project_settings(),
                self.model,
                start_id,
                actor=actor_of(context),
                reason=str(self.verdict["reason"]),
                evidence={
                    "run": f"{self.model}.train/{_run_id(start_id)}",
                    "started_by_run": request_of(context),
                    "check": {name: self.verdict[name] for name in kept if name in self.verdict},
                },
            )
        except TryAgain as problem:
            raise AirflowException(str(problem)) from None


def _run_id(start_id: str) -> str:
    """The training run's, which says what started it."""
    return f"{'decay' if start_id.startswith('decay-') else 'drift'}__{start_id}"


def retraining_allowed() -> bool:
    """Whether the Airflow variable lets drift start trainings; it does unless it says no."""
    value = str(Variable.get(RETRAIN_VARIABLE, default="true"))
    return value.strip().lower() not in {"false", "0", "no", "off"}


def _once(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {"logical_date": None, "skip_when_already_exists": True, **kwargs}

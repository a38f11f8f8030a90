"""The sensor on a stage of a deployment: it ends on evidence, on the challenger's end, or at the deadline.

It looks at once and then defers; a waiting task holds no worker slot, and what it waits for is in the database, so that
it survives the restart of scheduler and triggerer. The judging is done by the server, Airflow running or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from include.errors import TryAgain
from include.steps.progress import Progress, look
from plugins.operators.environment import project_settings
from plugins.sensors.stage_triggers import StageTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class StageSensor(BaseSensorOperator):
    """
    Waits until a stage has ended well; fails at once when the challenger is out, with the ledger's reason.

    :param model: Name of the model.
    :param entered: Output of the step stage. (templated)
    """

    template_fields: Sequence[str] = ("entered",)
    template_fields_renderers = {"entered": "json"}  # noqa: RUF012 - Airflow's own way to declare it
    ui_color = "#e8eefc"

    def __init__(self, *, model: str, entered: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.entered = entered

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002
        """Look at once; defer if the stage goes on. Returns stage, verdict, reason, evidence."""
        return self._look(is_resumed=False)

    def resume(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - looked at afresh
        """Look again after the trigger fired."""
        return self._look(is_resumed=True)

    def _look(self, *, is_resumed: bool) -> dict[str, Any]:
        entered: Mapping[str, Any] = self.entered
        if entered.get("skipped"):
            self.log.info("nothing to wait for: %s", entered["skipped"])
            return {"stage": entered["stage"], "verdict": "skipped", "reason": entered["skipped"], "evidence": {}}
        try:
            found = look(
                project_settings(),
                self.model,
                entered["version"],
                deployment=entered["deployment"],
                stage=entered["stage"],
            )
        except TryAgain as problem:
            if is_resumed:
                raise AirflowException(str(problem)) from None
            found = Progress(state="waiting", reason=str(problem))
        return self._judge(found, entered)

    def _judge(self, found: Progress, entered: Mapping[str, Any]) -> dict[str, Any]:
        stage, version = entered["stage"], entered["version"]
        until = found.until.astimezone(UTC).isoformat(timespec="seconds") if found.until else entered["until"] or ""
        if found.state == "waiting":
            self.log.info("%s goes on until %s: %s", stage, until or "it ends", found.reason)
            self._wait(entered, until)
        if found.state == "gone":
            raise AirflowFailException(found.reason)
        if found.state == "late":
            raise AirflowFailException(
                f"{self.model} version {version} did not end its stage {stage} until {until}, and no server has "
                f"withdrawn it: {found.reason}. Is the inference server running (`make status`)?"
            )
        self.log.info("%s ended well: %s", stage, found.reason)
        return {"stage": stage, "verdict": "advance", "reason": found.reason, "evidence": found.evidence}

    def _wait(self, entered: Mapping[str, Any], until: str) -> NoReturn:
        trigger = StageTrigger(
            model=self.model,
            version=entered["version"],
            deployment=entered["deployment"],
            stage=entered["stage"],
            until=until,
        )
        self.defer(trigger=trigger, method_name="resume")

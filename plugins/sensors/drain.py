"""The sensor on a model that drains: it ends when nobody asks for it any more, at the deadline, or when it is undone.

It looks at once and then defers; a waiting task holds no worker slot, and what it waits for is in the database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

from include.errors import TryAgain
from include.steps.draining import Drain, look_at_drain
from plugins.operators.environment import project_settings
from plugins.sensors.drain_trigger import DrainTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class DrainSensor(BaseSensorOperator):
    """
    Waits until a model may leave production; skips what follows when its retirement was undone.

    :param model: Name of the model.
    :param drained: Output of the step drain. (templated)
    """

    template_fields: Sequence[str] = ("drained",)
    template_fields_renderers = {"drained": "json"}  # noqa: RUF012 - Airflow's own way to declare it
    ui_color = "#e8eefc"

    def __init__(self, *, model: str, drained: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.drained = drained

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002
        """Look at once; defer if the model is still asked. Returns why the wait ended."""
        return self._look(is_resumed=False)

    def resume(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - looked at afresh
        """Look again after the trigger fired."""
        return self._look(is_resumed=True)

    def _look(self, *, is_resumed: bool) -> dict[str, Any]:
        began, until = self.drained["began_at"], self.drained["until"]
        try:
            found = look_at_drain(project_settings(), self.model, datetime.fromisoformat(began))
        except TryAgain as problem:
            if is_resumed:
                raise AirflowException(str(problem)) from None
            found = Drain(state="waiting", reason=str(problem))
        if found.state == "undone":
            raise AirflowSkipException(found.reason)
        if found.state == "waiting":
            self.log.info("%s answers on until %s at the latest: %s", self.model, until, found.reason)
            self.defer(trigger=DrainTrigger(model=self.model, began=began), method_name="resume")
        self.log.info("%s leaves production: %s", self.model, found.reason)
        return {"ended": found.state, "reason": found.reason}

"""A person decides in the Airflow UI whether a challenger goes on: Airflow's own human-in-the-loop request.

Unlike the provider's operator it does not wait for a person when there is nothing to decide any more: while it waits it
watches the challenger, and fails at once with the ledger's reason when that one is withdrawn. Its output is plain JSON.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.exceptions import HITLRejectException
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowFailException, TaskAwaitingInput

from plugins.operators.card_link import card_page
from plugins.sensors.stage_triggers import ApprovalTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

REJECTION = "rejection"
"""XCom key under which a rejection is kept: ``reason``, a sentence, and ``by``."""


def note_param() -> Param:
    """The field of the answer in which a person says why; the operator's ``params={"note": …}``."""
    return Param("", type=["null", "string"], maxLength=1000, title="Note", description_md="Goes into the ledger.")


class ApproveChallengerOperator(ApprovalOperator):
    """
    Asks a person to approve a challenger, with a note; a rejection fails the task.

    :param model: Name of the model.
    :param asked: Output of the step ask: subject, body, version, deployment, until. (templated)
    """

    template_fields: Sequence[str] = ("subject", "body", "asked")
    template_fields_renderers = {"asked": "json"}  # noqa: RUF012 - Airflow's own way to declare it
    ui_color = "#fdf3d8"

    def __init__(self, *, model: str, asked: Any, **kwargs: Any) -> None:
        super().__init__(fail_on_reject=True, **kwargs)
        self.model = model
        self.asked = asked

    def execute(self, context: Context) -> Any:
        """Put the question and wait, without a worker slot, for the answer or the challenger's end."""
        asked: Mapping[str, Any] = self.asked
        self.body = f"{self.body}\n\n[The whole model card]({card_page(self.model, asked['version'])})"
        try:
            super().execute(context)
        except TaskAwaitingInput:
            # Airflow's own way to wait, but it would not notice a challenger that is withdrawn meanwhile. An answer
            # resumes a deferred task just as well.
            self.defer(
                trigger=ApprovalTrigger(
                    request_id=str(context["ti"].id),
                    model=self.model,
                    version=asked["version"],
                    deployment=asked["deployment"],
                    until=asked["until"] or "",
                ),
                method_name="execute_complete",
            )

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Return ``approved_by``, ``user_id``, ``note`` and ``at``.

        :raises AirflowFailException: the answer was no, or there is nothing to decide any more; never retried.
        """
        try:
            answer = super().execute_complete(context, event)
        except HITLRejectException:
            rejection = self._rejection(event)
            context["ti"].xcom_push(key=REJECTION, value=rejection)
            raise AirflowFailException(rejection["reason"]) from None
        return _approval(answer)

    def process_trigger_event_error(self, event: dict[str, Any]) -> None:
        """Say why there was no answer.

        :raises AirflowFailException: always.
        """
        raise AirflowFailException(event["error"])

    def _rejection(self, event: Mapping[str, Any]) -> dict[str, str]:
        given = _approval(event)
        words = f": {given['note']}" if given["note"] else " (no note was given)"
        by = str(given["approved_by"])
        return {"by": by, "reason": f"{by} rejected {self.model} version {self.asked['version']}{words}"}


def _approval(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Who answered, with which note and when, as JSON."""
    user = answer.get("responded_by_user") or {}
    at = answer.get("responded_at")
    return {
        "approved_by": user.get("name") or user.get("id") or "unknown",
        "user_id": user.get("id"),
        "note": str((answer.get("params_input") or {}).get("note") or "").strip(),
        "at": at.isoformat() if isinstance(at, datetime) else at,
    }

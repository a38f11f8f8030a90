"""Triggers of a deployment: what the triggerer watches while a challenger is in a stage or a person decides."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.sdk.execution_time.hitl import get_hitl_detail_content_detail
from airflow.triggers.base import TriggerEvent

from include.settings import Settings
from include.steps.progress import GRACE, Progress, look
from plugins.sensors.registry_trigger import POLL_SECONDS, RegistryTrigger

ANSWER_EVERY = 20
#: Between two lines of the log about a stage that goes on.
SAY_SECONDS = 60.0


class _ChallengerTrigger(RegistryTrigger):
    """Looks at a challenger again and again.

    :param version: The challenger.
    :param deployment: Name of its deployment.
    :param until: Deadline, ISO 8601 with offset; empty if there is none.
    """

    def __init__(
        self, model: str, version: int, deployment: str, until: str, poll_seconds: float = POLL_SECONDS
    ) -> None:
        super().__init__(model, poll_seconds)
        self.version = version
        self.deployment = deployment
        self.until = until

    def _arguments(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "version": self.version,
            "deployment": self.deployment,
            "until": self.until,
            "poll_seconds": self.poll_seconds,
        }

    def _progress(self, settings: Settings, stage: str | None = None) -> Progress:
        return look(settings, self.model, self.version, deployment=self.deployment, stage=stage)

    def _is_over(self) -> bool:
        return bool(self.until) and datetime.now(UTC) > datetime.fromisoformat(self.until) + GRACE


class StageTrigger(_ChallengerTrigger):
    """Fires when a stage has ended, well or not, or when its deadline and a grace have passed.

    :param stage: Name of the stage.
    """

    def __init__(self, *, stage: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stage = stage

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which the triggerer makes it again."""
        return "plugins.sensors.stage_triggers.StageTrigger", {**self._arguments(), "stage": self.stage}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is something to decide; the log says now and then what is still waited for."""
        say_at = 0.0
        while True:
            found = await self._after_pause(partial(self._progress, stage=self.stage))
            if found is not None and found.state == "waiting" and time.monotonic() >= say_at:
                say_at = time.monotonic() + SAY_SECONDS
                self.log.info("%s goes on: %s", self.stage, found.reason)
            if (found is not None and found.state != "waiting") or self._is_over():
                yield TriggerEvent({"state": found.state if found else "unknown"})  # type: ignore[no-untyped-call]
                return


class ApprovalTrigger(_ChallengerTrigger):
    """Fires when a person has answered, when the challenger is gone before that, or when time is up.

    An answer resumes the task by itself. Only one that came in the moment before the task waited does not; for that,
    Airflow is asked now and then (:data:`ANSWER_EVERY`: the triggerer's first such question is slow).

    :param request_id: Id of the task instance that asks.
    """

    def __init__(self, *, request_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.request_id = request_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which the triggerer makes it again."""
        arguments = {**self._arguments(), "request_id": self.request_id}
        return "plugins.sensors.stage_triggers.ApprovalTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is an answer, or none is needed any more."""
        for number in itertools.count(1):
            found = await self._after_pause(self._progress)
            answer = await asyncio.to_thread(self._answer) if number % ANSWER_EVERY == 0 else None
            if answer is not None:
                yield TriggerEvent(answer)  # type: ignore[no-untyped-call]
                return
            if found is not None and found.state == "gone":
                yield TriggerEvent({"error": found.reason, "error_type": "gone"})  # type: ignore[no-untyped-call]
                return
            if self._is_over():
                words = f"Nobody decided on {self.model} version {self.version} until {self.until}."
                yield TriggerEvent({"error": words, "error_type": "timeout"})  # type: ignore[no-untyped-call]
                return

    def _answer(self) -> dict[str, Any] | None:
        """What a person answered, in the words that ``HITLOperator.execute_complete`` reads."""
        try:
            detail = get_hitl_detail_content_detail(ti_id=UUID(self.request_id))
        except AirflowRuntimeError as problem:
            self.log.warning("Airflow does not say whether there is an answer: %s", problem)
            return None
        if not detail.response_received or not detail.chosen_options:
            return None
        user = detail.responded_by_user
        return {
            "chosen_options": list(detail.chosen_options),
            "params_input": detail.params_input or {},
            "responded_at": detail.responded_at,
            "responded_by_user": {"id": user.id, "name": user.name} if user else None,
        }

"""Watches a step's pod in the triggerer, so that the waiting task holds no worker slot, and passes its log on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.providers.cncf.kubernetes.triggers.pod import KubernetesPodTrigger
from airflow.triggers.base import TriggerEvent
from kubernetes_asyncio import client as kubernetes
from kubernetes_asyncio.client.rest import ApiException

from plugins.operators.log_lines import pass_on
from plugins.operators.pods.api import PATIENCE_SECONDS, brief, is_passing
from plugins.operators.pods.cluster import CONNECTION
from plugins.operators.pods.log import LogCursor
from plugins.operators.pods.manifest import GRACE_SECONDS
from plugins.operators.pods.template import BASE
from plugins.operators.pods.watch import Ending, PodWatch, base_state

POLL_SECONDS = 1.5


class StepPodTrigger(KubernetesPodTrigger):
    """Fires when the step in a pod has ended, or when something keeps it from ending.

    :param pod_name: Name of the pod.
    :param pod_namespace: Its namespace.
    :param wait_for_node: Seconds that it may wait for a node.
    :param asked: Whether the worker has judged its trouble already.
    :param mark: How far its log has been read.
    :param try_label: The try that owns the pod; another one's pod is left alone when the task is killed.
    """

    def __init__(
        self, pod_name: str, pod_namespace: str, wait_for_node: float, asked: bool, mark: str, try_label: str
    ) -> None:
        super().__init__(
            pod_name=pod_name,
            pod_namespace=pod_namespace,
            trigger_start_time=None,  # type: ignore[arg-type]  # nothing of ours looks at it
            base_container_name=BASE,
            kubernetes_conn_id=CONNECTION,
            poll_interval=POLL_SECONDS,
            termination_grace_period=GRACE_SECONDS,
        )
        self.wait_for_node = wait_for_node
        self.asked = asked
        self.mark = mark
        self.try_label = try_label

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, from which the triggerer makes it again."""
        return "plugins.operators.pods.trigger.StepPodTrigger", {
            "pod_name": self.pod_name,
            "pod_namespace": self.pod_namespace,
            "wait_for_node": self.wait_for_node,
            "asked": self.asked,
            "mark": self.mark,
            "try_label": self.try_label,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until something has happened; an API server that is away for a while changes nothing."""
        watch = PodWatch(wait_for_node=self.wait_for_node, asked=self.asked)
        cursor = LogCursor(self.mark)
        silent_since: float | None = None
        while True:
            try:
                ending = await self._look(watch, cursor)
                silent_since = None
            except Exception as error:  # noqa: BLE001 - the worker decides what an error means
                now = time.monotonic()
                silent_since = silent_since if silent_since is not None else now
                if not is_passing(error) or now - silent_since > PATIENCE_SECONDS:
                    # The worker asks the cluster itself, and says what is wrong with it.
                    self.log.warning("the cluster does not answer: %s", brief(error))
                    ending = Ending("ended", brief(error))
                elif silent_since == now:
                    self.log.warning("the cluster does not answer (%s); it is asked again", brief(error))
                    ending = None
                else:
                    ending = None
            if ending is not None:
                self._fired_event = True
                yield TriggerEvent(
                    {
                        "name": self.pod_name,
                        "kind": ending.kind,
                        "detail": ending.detail,
                        "mark": cursor.mark,
                    }
                )  # type: ignore[no-untyped-call]
                return
            await asyncio.sleep(self.poll_interval)

    async def on_kill(self) -> None:
        """The task was killed, cleared or marked while it waited: its pod goes too, if it is still this try's."""
        try:
            pod = await self._read()
            if pod is not None and (pod.metadata.labels or {}).get("try_number") not in (None, self.try_label):
                return
        except Exception as error:  # noqa: BLE001 - the deletion is tried all the same
            self.log.warning("the cluster does not answer: %s", brief(error))
        await super().on_kill()

    async def _look(self, watch: PodWatch, cursor: LogCursor) -> Ending | None:
        pod = await self._read()
        state = base_state(pod) if pod is not None else None
        if state is not None and (state.running is not None or state.terminated is not None):
            await self._pass_log_on(cursor)
        return watch.look(pod, time.monotonic())

    async def _read(self) -> Any:
        async with self.hook.get_conn() as connection:
            try:
                return await kubernetes.CoreV1Api(connection).read_namespaced_pod(self.pod_name, self.pod_namespace)
            except ApiException as error:
                if error.status == 404:
                    return None
                raise

    async def _pass_log_on(self, cursor: LogCursor) -> None:
        """Pass on what is new; a log that cannot be read now is read at the next look, or by the worker at the end."""
        now = time.time()
        since = cursor.since_seconds(now)
        bounds: dict[str, Any] = {} if since is None else {"since_seconds": since}
        async with self.hook.get_conn() as connection:
            # Not preloaded, since a step may print bytes that are no text.
            answer: Any = await kubernetes.CoreV1Api(connection).read_namespaced_pod_log(
                self.pod_name,
                self.pod_namespace,
                container=BASE,
                timestamps=True,
                _preload_content=False,
                **bounds,
            )
            text = (await answer.read()).decode("utf-8", "replace")
        if answer.status in (400, 404):
            return
        if answer.status != 200:
            raise ApiException(status=answer.status, reason=text[:300])
        for line in cursor.take(text, now):
            pass_on(line, self.log)

"""What a worker asks of the cluster for one step: patiently, since an API server may be away for a while."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, Final

from kubernetes.client import V1DeleteOptions
from kubernetes.client.rest import ApiException
from kubernetes.stream import stream
from kubernetes.utils.quantity import parse_quantity
from urllib3.exceptions import HTTPError

from plugins.operators.pods.events import events_of
from plugins.operators.pods.manifest import GRACE_SECONDS
from plugins.operators.pods.template import BASE

SIDECAR: Final = "airflow-xcom-sidecar"
RESULT: Final = "/airflow/xcom/return.json"
PATIENCE_SECONDS: Final = 120.0

_PASSING: Final = frozenset({0, 408, 425, 429, 500, 502, 503, 504})
_SCALING: Final = frozenset({"TriggeredScaleUp", "Nominated"})
_EXEC_SECONDS: Final = 60.0


class ResultLost(Exception):
    """The step has ended well, but what it returned cannot be read any more."""


class Stopped(Exception):
    """The task was stopped while the cluster was asked."""


class StopFlag:
    """Says that the task is to end. It is raised within a signal handler, where a lock could wait for itself."""

    def __init__(self) -> None:
        self._raised = False

    def set(self) -> None:
        """Raise it."""
        self._raised = True

    def is_set(self) -> bool:
        """Whether it is raised."""
        return self._raised

    def wait(self, seconds: float) -> bool:
        """Wait, but not for longer than it takes to notice that it is raised; whether it is."""
        until = time.monotonic() + seconds
        while not self._raised and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))
        return self._raised


class PodApi:
    """The calls that a step's pod needs, in its namespace.

    :param connect: makes a client; called again when its credentials have run out.
    :param namespace: namespace of the pods.
    :param log: where it is said that the cluster does not answer.
    :param stopped: set when the task is to end.
    """

    def __init__(self, connect: Callable[[], Any], namespace: str, log: Any, stopped: StopFlag) -> None:
        self._connect = connect
        self._client: Any = None
        self._namespace = namespace
        self._log = log
        self._stopped = stopped
        # Each attempt of each call would be a warning of its own in the task's log.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)

    def read(self, name: str, *, even_if_stopped: bool = False) -> Any:
        """The pod, or None if there is none."""
        try:
            return self._call("read_namespaced_pod", name, self._namespace, even_if_stopped=even_if_stopped)
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    def find(self, labels: Mapping[str, str]) -> list[Any]:
        """Pods with these labels, newest first."""
        selector = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
        pods = self._call("list_namespaced_pod", self._namespace, label_selector=selector).items
        return sorted(pods, key=lambda pod: pod.metadata.creation_timestamp, reverse=True)

    def create(self, pod: Any) -> None:
        """Create the pod. Its name is this try's alone: if it is taken, an answer that was lost had said so."""
        try:
            self._call("create_namespaced_pod", self._namespace, pod)
        except ApiException as error:
            if error.status != 409:
                raise

    def label(self, name: str, labels: Mapping[str, str]) -> None:
        """Change labels of a pod."""
        self._call("patch_namespaced_pod", name, self._namespace, {"metadata": {"labels": dict(labels)}})

    def delete(self, name: str) -> None:
        """Delete the pod, with a short grace; that it is gone already is fine."""
        try:
            options = V1DeleteOptions(grace_period_seconds=GRACE_SECONDS)
            self._call("delete_namespaced_pod", name, self._namespace, body=options, even_if_stopped=True)
        except ApiException as error:
            if error.status != 404:
                raise

    def log(self, name: str, *, since_seconds: int | None = None, tail_lines: int | None = None) -> str:
        """The log of the step's container; empty if there is none (yet, or any more).

        :param tail_lines: only so many lines, and without time stamps.
        """
        bounds: dict[str, Any] = {"since_seconds": since_seconds, "tail_lines": tail_lines}
        try:
            answer = self._call(
                "read_namespaced_pod_log",
                name,
                self._namespace,
                container=BASE,
                timestamps=tail_lines is None,
                _preload_content=False,
                **{key: value for key, value in bounds.items() if value is not None},
            )
        except ApiException as error:
            if error.status in (400, 404):
                return ""
            raise
        return bytes(answer.data).decode("utf-8", "replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """Kubernetes' events about a pod, oldest first: type, reason, message, count, at."""
        found = self._call(
            "list_namespaced_event", self._namespace, field_selector=f"involvedObject.name={name}", limit=200
        ).items
        return events_of(found)

    def result(self, name: str) -> Any:
        """What the step returned, from the container beside it.

        :raises ResultLost: if that container is gone or has nothing that can be read.
        """
        until = time.monotonic() + _EXEC_SECONDS
        while (state := self._sidecar(name)) == "waiting" and time.monotonic() < until:
            self._pause(0.3)
        if state != "running":
            raise ResultLost(f"the container {SIDECAR}, which keeps it, is {state}")
        text = self._call_with(lambda client: _read_file(client, name, self._namespace))
        try:
            return json.loads(text)
        except ValueError as error:
            raise ResultLost(f"{RESULT} is no JSON ({error})") from None

    def never_fits(self, pod: Any) -> list[str]:
        """Resources of which the pod wants more than any node has, in words; empty if that is not sure."""
        if {event["reason"] for event in self.events(pod.metadata.name)} & _SCALING:
            return []
        try:
            nodes = self._call("list_node").items
        except ApiException as error:
            if error.status in (401, 403):
                self._log.info("whether any node could hold the pod is not known: nodes may not be listed")
                return []
            raise
        return _too_much(pod, [node.status.allocatable for node in nodes])

    def _sidecar(self, name: str) -> str:
        pod = self.read(name)
        statuses = (pod.status.container_statuses or []) if pod is not None else []
        state = next((one.state for one in statuses if one.name == SIDECAR), None)
        if state is None or state.terminated is not None:
            return "gone"
        return "running" if state.running is not None else "waiting"

    def _call(self, method: str, *arguments: Any, even_if_stopped: bool = False, **named: Any) -> Any:
        return self._call_with(lambda client: getattr(client, method)(*arguments, **named), even_if_stopped)

    def _call_with(self, call: Callable[[Any], Any], even_if_stopped: bool = False) -> Any:
        until = time.monotonic() + PATIENCE_SECONDS
        said = False
        while True:
            try:
                self._client = self._client or self._connect()
                return call(self._client)
            except (ApiException, HTTPError, OSError) as error:
                if not is_passing(error) or time.monotonic() > until:
                    raise
                if isinstance(error, ApiException) and error.status == 401:
                    self._client = None  # credentials that run out are made anew
                if not said:
                    said = True
                    self._log.warning(
                        "the cluster does not answer (%s); asking again for %.0f s",
                        brief(error),
                        PATIENCE_SECONDS,
                    )
            self._pause(1.0, even_if_stopped)

    def _pause(self, seconds: float, even_if_stopped: bool = False) -> None:
        if even_if_stopped:
            time.sleep(seconds)
        elif self._stopped.wait(seconds):
            raise Stopped


def is_passing(error: BaseException) -> bool:
    """Whether a failed call may go well in a moment; works for both of Kubernetes' clients."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return (status in _PASSING and not _is_lasting_handshake(error)) or status == 401
    return True


def brief(error: BaseException) -> str:
    """An error of a Kubernetes client in a few words."""
    reason = getattr(error, "reason", None) or error
    status = getattr(error, "status", None)
    text = " ".join(str(reason).split())
    return f"{status} {text}"[:300] if status else text[:300]


def _is_lasting_handshake(error: BaseException) -> bool:
    """An exec that is refused comes with status 0, and with the true one in its text."""
    reason = str(getattr(error, "reason", ""))
    return any(f"Handshake status {code}" in reason for code in (400, 403, 404, 405))


def _read_file(client: Any, name: str, namespace: str) -> bytes:
    """The result file, read by a command in the sidecar.

    :raises ResultLost: if the command failed.
    :raises OSError: if the connection broke on the way.
    """
    call = stream(
        client.connect_get_namespaced_pod_exec,
        name,
        namespace,
        container=SIDECAR,
        command=["cat", RESULT],
        stdin=False,
        stdout=True,
        stderr=True,
        tty=False,
        binary=True,
        _preload_content=False,
    )
    with closing(call) as connection:
        connection.run_forever(timeout=_EXEC_SECONDS)
        text, complaint = connection.read_stdout(timeout=0), connection.read_stderr(timeout=0)
        verdict = connection.read_channel(3)
    if not verdict:
        raise OSError("the connection was lost while the result was read")
    if json.loads(verdict).get("status") != "Success":
        raise ResultLost(f"{RESULT} cannot be read ({bytes(complaint).decode('utf-8', 'replace').strip()})")
    return bytes(text)


def _too_much(pod: Any, nodes: list[Mapping[str, str]]) -> list[str]:
    if not nodes:
        return []
    wanted: dict[str, Any] = {}
    for container in pod.spec.containers:
        for resource, amount in ((container.resources and container.resources.requests) or {}).items():
            wanted[resource] = wanted.get(resource, 0) + parse_quantity(amount)
    largest = {one: max(parse_quantity(node.get(one, "0")) for node in nodes) for one in wanted}
    return [
        f"{_amount(resource, amount)} {resource}, the largest node has {_amount(resource, largest[resource])}"
        for resource, amount in sorted(wanted.items())
        if amount > largest[resource]
    ]


def _amount(resource: str, amount: Any) -> str:
    if resource in ("memory", "ephemeral-storage"):
        return f"{float(amount) / 2**30:.4g}Gi"
    return f"{float(amount):g}"

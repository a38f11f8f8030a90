"""A step in a pod of its own, made and found again with KubernetesPodOperator.

The provider's operator makes the pod and knows its cluster. What is waited for, and what is said of an ending, is
decided by :mod:`plugins.operators.pods.watch` and :mod:`plugins.operators.pods.words`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NoReturn

from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred
from kubernetes.client.rest import ApiException
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError

from include.errors import NothingToDo, Refused
from include.settings import Settings
from include.spec.pod_of import pod_of
from include.spec.problems import DefinitionError
from plugins.definitions import arrangement_of
from plugins.operators.log_lines import LastWords, pass_on
from plugins.operators.pod_link import RECORD, PodLink, page_of
from plugins.operators.pods.api import PodApi, ResultLost, StopFlag, Stopped, brief, is_passing
from plugins.operators.pods.cluster import CONNECTION, Cluster, read_cluster
from plugins.operators.pods.log import LogCursor
from plugins.operators.pods.manifest import COMMAND, Manifest, digest_of, manifest_of
from plugins.operators.pods.operator import StepPodOperator
from plugins.operators.pods.refusals import refusal
from plugins.operators.pods.template import read_template
from plugins.operators.pods.trigger import StepPodTrigger
from plugins.operators.pods.watch import START_SECONDS, Ending, PodWatch, base_state, ending_of, is_running
from plugins.operators.pods.words import Failure, Step, failure_of, killed, too_large
from plugins.operators.step import StepCommand, StepOutcome

if TYPE_CHECKING:
    from airflow.sdk import Context

_QUICK_SECONDS = 5.0
_GONE_SECONDS = 20.0
_LAST_LINES = 200
# What is to be judged here, and the trouble that it is about.
_JUDGED: Final[dict[str, str]] = {"crowded": "unschedulable", "unexplained": "image"}
_DEFER_MARGIN = timedelta(minutes=10)
# With these a step has done all that it can do: run again, it would say the same.
_SETTLED: Final = frozenset({0, Refused.exit_code, NothingToDo.exit_code})


def start(command: StepCommand, *, context: Context, log: Any) -> PodRun:
    """Run the step's command line in a pod, or take up the pod in which it runs already."""
    return PodRun(command, context, log)


def resume(command: StepCommand, event: Mapping[str, Any], *, context: Context, log: Any) -> PodRun:
    """Go on with the pod that the triggerer has watched.

    :param event: what :class:`StepPodTrigger` has fired.
    """
    return PodRun(command, context, log, event=event)


def abandon(command: StepCommand, *, context: Context, log: Any) -> None:
    """Delete whatever pods the task has: nobody waits for them any more."""
    PodRun(command, context, log).abandon()


class PodRun:
    """A step that runs in a pod.

    :param event: what ended the wait in the triggerer; None at the start.
    """

    def __init__(
        self, command: StepCommand, context: Context, log: Any, *, event: Mapping[str, Any] | None = None
    ) -> None:
        self._command, self._context, self._log = command, context, log
        self._cluster = read_cluster()
        definition = arrangement_of(Settings.from_environment(), command.model)
        self._step = Step(command.step, command.model, pod_of(definition, command.step))
        self._manifest = _manifest(command, self._step, self._cluster)
        self._operator = StepPodOperator(
            task_id=context["ti"].task_id, manifest=self._manifest, sidecar_image=self._cluster.sidecar_image
        )
        self._stopped = StopFlag()
        self._api = self._connected()
        self._name = str(event["name"]) if event else ""
        self._cursor = LogCursor(event["mark"] if event else None)
        self._told = Ending(event["kind"], event["detail"]) if event else None
        self._asked = self._told is not None and self._told.kind in _JUDGED
        self._removed = False

    def wait(self) -> StepOutcome:
        """Watch the pod until its step ends, then remove it; whatever is raised meanwhile, it does not stay.

        :raises TaskDeferred: to go on watching in the triggerer; the pod stays.
        :raises AirflowFailException: if the step could not do its work, and trying again cannot help.
        :raises AirflowException: if it could not do its work.
        """
        try:
            if not self._name:
                self._open()
            outcome = self._watch()
        except TaskDeferred:
            raise
        except Stopped:
            self._remove()
            raise AirflowException(f"The step {self._step.name} was stopped, and its pod is deleted.") from None
        except (ApiException, HTTPError, OSError, ConfigException) as error:
            self._remove()
            raise refusal(error, self._step, self._cluster) from None
        except BaseException:
            self._remove()
            raise
        self._remove()
        return outcome

    def stop(self) -> None:
        """Delete the pod, unless another try of the task has taken it up meanwhile; its step gets a short grace."""
        self._stopped.set()
        # A client of its own: this may be a signal handler that has interrupted a call of the other one.
        self._remove(self._connected())

    def abandon(self) -> None:
        """Delete whatever pods this task has: nobody waits for them any more."""
        for pod in self._api.find(self._labels()):
            self._api.delete(pod.metadata.name)

    def _connected(self) -> PodApi:
        return PodApi(self._operator.connect, self._cluster.namespace, self._log, self._stopped)

    def _labels(self) -> dict[str, str]:
        return self._operator.labels_of(self._context)

    @property
    def _try_label(self) -> str:
        return str(self._context["ti"].try_number)

    # --- the start ---------------------------------------------------------------------------------------------

    def _open(self) -> None:
        found = self._find()
        if found is not None:
            self._name = found.metadata.name
            # The pod is this try's now: an earlier one that still lives leaves it alone.
            self._api.label(self._name, {"try_number": self._try_label})
            attempt = (found.metadata.annotations or {}).get("noria/attempt")
            self._log.info("found pod %s of an earlier try again (try %s of the step)", self._name, attempt)
        else:
            pod = self._operator.build_pod_request_obj(self._context)
            self._name = pod.metadata.name
            self._create(pod)
            self._log.info("step %s runs in pod %s (try %s)", self._step.name, self._name, self._command.attempt)
        ti = self._context["ti"]
        ti.xcom_push(key=PodLink().xcom_key, value=page_of(ti))
        ti.xcom_push(key=RECORD, value={"name": self._name, "namespace": self._cluster.namespace})

    def _create(self, pod: Any) -> None:
        try:
            self._api.create(pod)
        except ApiException as error:
            if not is_passing(error):
                self._name = ""  # it was refused: there is none to be deleted
            raise

    def _find(self) -> Any:
        """A pod of this task that does the same, or has done it; all others of the task are deleted."""
        wanted = digest_of(self._command, self._manifest)
        chosen = None
        going = []
        for pod in self._api.find(self._labels()):
            same = (pod.metadata.annotations or {}).get(COMMAND) == wanted
            if chosen is None and same and pod.metadata.deletion_timestamp is None and _is_worth_it(pod):
                chosen = pod
                continue
            self._log.info("pod %s of an earlier try is of no use any more and is deleted", pod.metadata.name)
            self._api.delete(pod.metadata.name)
            if is_running(pod):
                going.append(pod.metadata.name)  # its step may still work: it must end before the next one starts
        until = time.monotonic() + _GONE_SECONDS
        while going and time.monotonic() < until:
            going = [name for name in going if self._api.read(name) is not None]
            self._stopped.wait(0.5 if going else 0)
        return chosen

    # --- the wait ----------------------------------------------------------------------------------------------

    def _watch(self) -> StepOutcome:
        watch = PodWatch(wait_for_node=self._step.pod.wait_for_node.total_seconds(), asked=self._asked)
        begun = time.monotonic()
        while True:
            pod = self._api.read(self._name)
            self._read_log(pod)
            now = time.monotonic()
            ending = watch.look(pod, now) or self._still_told(watch)
            if ending is not None and ending.kind in _JUDGED:
                self._asked = True
                self._judge(ending, pod)
            elif ending is not None:
                return self._end(ending, pod)
            if self._cluster.deferrable and (
                now - begun >= self._cluster.defer_after or watch.trouble == "unschedulable"
            ):
                self._defer()
            if self._stopped.wait(0.3 if now - begun < _QUICK_SECONDS else 1.0):
                raise Stopped

    def _still_told(self, watch: PodWatch) -> Ending | None:
        """What the triggerer has waited for in vain: if it still keeps the pod, it is not waited for once more."""
        told, self._told = self._told, None
        return told if told is not None and _JUDGED.get(told.kind, told.kind) == watch.trouble else None

    def _judge(self, ending: Ending, pod: Any) -> None:
        """Fail if the trouble can never pass; else it is waited for."""
        if ending.kind == "crowded" and (wanted := self._api.never_fits(pod)):
            self._fail(too_large(self._step, wanted), pod)
        if ending.kind == "unexplained":
            failure = failure_of(self._step, Ending("image", ending.detail), pod, self._warnings())
            if failure.final:
                self._fail(failure, pod)

    def _read_log(self, pod: Any) -> None:
        state = base_state(pod) if pod is not None else None
        if state is None or (state.running is None and state.terminated is None):
            return
        now = time.time()
        for line in self._cursor.take(self._api.log(self._name, since_seconds=self._cursor.since_seconds(now)), now):
            pass_on(line, self._log)

    def _defer(self) -> NoReturn:
        pod = self._step.pod
        longest = pod.wait_for_node + timedelta(seconds=START_SECONDS) + (pod.deadline or timedelta(0)) + _DEFER_MARGIN
        trigger = StepPodTrigger(
            pod_name=self._name,
            pod_namespace=self._cluster.namespace,
            wait_for_node=pod.wait_for_node.total_seconds(),
            asked=self._asked,
            mark=self._cursor.mark,
            try_label=self._try_label,
        )
        raise TaskDeferred(trigger=trigger, method_name="trigger_reentry", timeout=longest)

    # --- the end -----------------------------------------------------------------------------------------------

    def _end(self, ending: Ending, pod: Any) -> StepOutcome:
        if self._stopped.is_set():
            raise Stopped
        if ending.kind != "ended":
            events = self._warnings()
            self._fail(failure_of(self._step, ending, pod, events), pod)
        failure = killed(self._step, pod)
        if failure is not None:
            self._fail(failure, pod)
        self._record(pod)
        exit_code = base_state(pod).terminated.exit_code
        if exit_code != 0:
            return StepOutcome(exit_code, None, self._last_words(pod))
        try:
            return StepOutcome(0, self._api.result(self._name), "")
        except ResultLost as error:
            return StepOutcome(1, None, f"It ended well but its result cannot be read: {error}.")

    def _last_words(self, pod: Any) -> str:
        words = LastWords()
        text = self._api.log(self._name, tail_lines=_LAST_LINES) or base_state(pod).terminated.message or ""
        for line in text.splitlines():
            words.hear(line)
        return words.text()

    def _fail(self, failure: Failure, pod: Any) -> NoReturn:
        self._record(pod)
        raise (AirflowFailException if failure.final else AirflowException)(failure.message)

    def _warnings(self) -> list[str]:
        events = self._api.events(self._name)
        return [f"{one['reason']}: {one['message']}" for one in events if one["type"] == "Warning"]

    def _record(self, pod: Any) -> None:
        """Keep what Kubernetes knows of the pod now, since it forgets it within the hour."""
        self._context["ti"].xcom_push(
            key=RECORD,
            value={
                "name": self._name,
                "namespace": self._cluster.namespace,
                "node": pod.spec.node_name if pod is not None else None,
                "phase": pod.status.phase if pod is not None else "gone",
                "started": str(pod.status.start_time or "") if pod is not None else "",
                "events": self._api.events(self._name)[-60:],
            },
        )

    def _remove(self, api: PodApi | None = None) -> None:
        """Delete the pod; once, and only if it is this try's."""
        api = api or self._api
        if not self._name or self._removed:
            return
        self._removed = True
        try:
            pod = api.read(self._name, even_if_stopped=True)
            if pod is not None and (pod.metadata.labels or {}).get("try_number") not in (None, self._try_label):
                self._log.info("pod %s is another try's now and stays", self._name)
                return
            api.delete(self._name)
        except Exception as error:  # noqa: BLE001
            # The task's own outcome counts; the pod ends at its deadline, or with the next try.
            self._log.warning("pod %s could not be deleted: %s", self._name, brief(error))


def _manifest(command: StepCommand, step: Step, cluster: Cluster) -> Manifest:
    try:
        manifest = manifest_of(command, step.pod, cluster, read_template(cluster.pod_template))
    except DefinitionError as error:
        raise AirflowFailException(
            f"The pod template cannot be used (see the connection {CONNECTION}). {error}"
        ) from None
    manifest["metadata"]["annotations"][COMMAND] = digest_of(command, manifest)
    return manifest


def _is_worth_it(pod: Any) -> bool:
    """Whether a pod still works, or has ended with something that another run would only repeat."""
    ending = ending_of(pod)
    if ending is None:
        return True
    state = base_state(pod)
    return ending.kind == "ended" and pod.status.phase == "Running" and state.terminated.exit_code in _SETTLED

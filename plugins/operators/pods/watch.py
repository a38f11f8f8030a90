"""What becomes of a pod: one look at a time, the same in the worker and in the triggerer. Nothing here does I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from plugins.operators.pods.template import BASE

Kind = Literal[
    "ended",
    "deleted",
    "evicted",
    "deadline",
    "broken",
    "unschedulable",
    "crowded",
    "image",
    "unexplained",
    "config",
    "start",
]

CROWDED_SECONDS: Final = 20.0
"""After this time without a node it is asked whether any node could ever hold the pod."""
UNEXPLAINED_SECONDS: Final = 3.0
"""After this time without an image, and without a word why, it is asked what the events say."""
START_SECONDS: Final = 600.0
IMAGE_SECONDS: Final = 30.0
CONFIG_SECONDS: Final = 15.0
_TERMINATING_SECONDS: Final = 90.0

_IMAGE_REASONS: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError"})
_IMAGE_NEVER: Final = frozenset({"InvalidImageName", "ErrImageNeverPull"})
_CONFIG_REASONS: Final = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
NO_SUCH_IMAGE: Final = (
    "not found", "manifest unknown", "name unknown", "does not exist", "repository name not known",
    "invalid reference format", "not present with pull policy",
)  # fmt: skip


@dataclass(frozen=True)
class Ending:
    """The end of a watch.

    :param kind: ``ended``: the step did, well or not. ``crowded`` and ``unexplained`` ask for a judgement and are no
        end yet. The others say what kept it from ending by itself.
    :param detail: what Kubernetes says of it.
    """

    kind: Kind
    detail: str = ""


class PodWatch:
    """Looks at a pod again and again, and knows how long each trouble has lasted.

    :param wait_for_node: seconds that the pod may wait for a node.
    :param asked: whether a judgement was asked for already.
    :ivar trouble: what kept the pod from running at the last look: the kind of ending that it would be.
    """

    def __init__(self, *, wait_for_node: float, asked: bool = False) -> None:
        self._wait_for_node = wait_for_node
        self._asked = asked
        self._since = 0.0
        self._pull_error = ""
        self.trouble: str | None = None

    def look(self, pod: Any, now: float) -> Ending | None:
        """What is to be said of the pod now.

        :param pod: the pod as the synchronous or the asynchronous client gives it; None if there is none.
        :param now: seconds of a clock that only runs forward.
        """
        if pod is None:
            return Ending("deleted")
        ending = ending_of(pod)
        if ending is not None:
            return ending
        name, ending, patience = self._trouble_of(pod)
        if name != self.trouble:
            self.trouble, self._since = name, now
        if name is None or ending is None:
            return None
        waited = now - self._since
        if waited >= patience:
            return ending
        if name == "unschedulable" and not self._asked and waited >= CROWDED_SECONDS:
            self._asked = True
            return Ending("crowded", ending.detail)
        if name == "image" and not self._asked and not self._pull_error and waited >= UNEXPLAINED_SECONDS:
            self._asked = True
            return Ending("unexplained", ending.detail)
        return None

    def _trouble_of(self, pod: Any) -> tuple[str | None, Ending | None, float]:
        """What keeps the pod from running, how it would end, and how long to wait for it to pass."""
        if pod.metadata.deletion_timestamp is not None:
            return "deleted", Ending("deleted"), _TERMINATING_SECONDS
        if is_running(pod):
            return None, None, 0.0
        unscheduled = _unscheduled(pod)
        if unscheduled is not None:
            return "unschedulable", Ending("unschedulable", unscheduled), self._wait_for_node
        waiting = _waiting(pod)
        reason, message = (waiting.reason or "", waiting.message or "") if waiting else ("", "")
        if reason in _IMAGE_NEVER:
            return "image", Ending("image", f"{reason}: {message}"), 0.0
        if reason in _IMAGE_REASONS:
            # Kubernetes alternates between the error itself and "Back-off pulling image", which says nothing.
            self._pull_error = self._pull_error if reason == "ImagePullBackOff" else message
            patience = 0.0 if is_no_such_image(self._pull_error) else IMAGE_SECONDS
            return "image", Ending("image", f"{reason}: {self._pull_error or message}"), patience
        if reason in _CONFIG_REASONS:
            return "config", Ending("config", f"{reason}: {message}"), CONFIG_SECONDS
        return "start", Ending("start", f"{reason}: {message}" if reason else ""), START_SECONDS


def ending_of(pod: Any) -> Ending | None:
    """How a pod has ended; None while it may still do something."""
    status = pod.status
    reason, message = status.reason or "", status.message or ""
    if reason == "Evicted":
        return Ending("evicted", message)
    if reason == "DeadlineExceeded":
        return Ending("deadline", message)
    state = base_state(pod)
    if state is not None and state.terminated is not None:
        killed = state.terminated.exit_code in (137, 143) and state.terminated.reason != "OOMKilled"
        return Ending("deleted" if killed and pod.metadata.deletion_timestamp is not None else "ended")
    if status.phase in ("Failed", "Succeeded"):
        return Ending("broken", f"{reason}: {message}".strip(": "))
    return None


def is_no_such_image(words: str) -> bool:
    """Whether a registry has said that it has no such image, so that waiting for it cannot help."""
    return any(sign in words.lower() for sign in NO_SUCH_IMAGE)


def base_state(pod: Any) -> Any:
    """State of the step's container, once it has one."""
    return next((one.state for one in pod.status.container_statuses or [] if one.name == BASE), None)


def is_running(pod: Any) -> bool:
    """Whether the step's container works."""
    state = base_state(pod)
    return state is not None and state.running is not None


def _waiting(pod: Any) -> Any:
    """Why a container does not start: the first one that says something; companions and preparations count too."""
    statuses = [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]
    waiting = [one.state.waiting for one in statuses if one.state is not None and one.state.waiting is not None]
    known = _IMAGE_NEVER | _IMAGE_REASONS | _CONFIG_REASONS
    return next((one for one in waiting if one.reason in known), waiting[0] if waiting else None)


def _unscheduled(pod: Any) -> str | None:
    """What the scheduler says of a pod for which it has found no node; None if it has, or has not looked yet."""
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status == "False":
            return condition.message or condition.reason or "no node was found"
    return None

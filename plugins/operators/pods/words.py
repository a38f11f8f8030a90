"""What a task says when its pod did not do its work: what happened, and which key of the definition changes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from include.spec.duration import format_duration
from include.spec.pod_of import home_of
from include.spec.pods import Pod
from plugins.operators.pods.watch import CONFIG_SECONDS, START_SECONDS, Ending, base_state, is_no_such_image

_STORAGE_SIGNS: Final = ("ephemeral", "emptydir")
_STARTLESS: Final = frozenset({"StartError", "ContainerCannotRun"})


@dataclass(frozen=True)
class Failure:
    """Why a step could not do its work.

    :param message: for the person who reads the task's log.
    :param final: whether trying again without a change cannot help.
    """

    message: str
    final: bool


@dataclass(frozen=True)
class Step:
    """The step whose pod it was.

    :param name: name of the step.
    :param model: name of the model, whose definition is to be changed.
    :param pod: what holds for its pod.
    """

    name: str
    model: str
    pod: Pod

    def key(self, key: str) -> str:
        """The key of the definition that changes a value of the pod, with its value."""
        value = getattr(self.pod, key)
        shown = format_duration(value) if isinstance(value, timedelta) else _plain(value)
        return f"{home_of(self.name, key)} (now {shown}) in include/models/{self.model}.yaml"


def failure_of(step: Step, ending: Ending, pod: Any, events: Sequence[str]) -> Failure:
    """What to say of an ending that is not the step's own.

    :param pod: the pod as it was seen last; None if it was not seen.
    :param events: its warnings, oldest first.
    """
    said = f" Kubernetes says: {ending.detail.rstrip('. ')}." if ending.detail else ""
    match ending.kind:
        case "evicted":
            return _evicted(step, ending.detail)
        case "deadline":
            return Failure(
                f"The step {step.name} was ended because it ran for longer than its deadline. Raise "
                f"{step.key('deadline')}, and execution.timeout with it; or give it more cpu: {step.key('cpu')}.",
                final=False,
            )
        case "image":
            return _image(step, ending.detail, pod, events)
        case "config":
            return Failure(
                f"The pod of the step {step.name} cannot be set up within {CONFIG_SECONDS:.0f} s.{said} Secrets and "
                f"ConfigMaps that {home_of(step.name, 'environment')}, pods.default.environment or the pod template "
                "name must be in the pods' namespace.",
                final=True,
            )
        case "unschedulable":
            return Failure(
                f"No node had room for the pod of the step {step.name} within {step.key('wait_for_node')}.{said} Free "
                f"some, raise that time, or ask for less: {_asks(step)}.",
                final=False,
            )
        case "start":
            last = f" Kubernetes says: {events[-1]}" if events else said
            return Failure(
                f"The pod of the step {step.name} has a node but did not start within {START_SECONDS / 60:.0f} "
                f"minutes.{last}",
                final=False,
            )
        case "broken":
            return Failure(f"The pod of the step {step.name} broke before the step ended.{said}", final=False)
        case _:
            return Failure(
                f"The pod of the step {step.name} was deleted while it worked: by a person, with its node, or to make "
                f"room for a pod of higher priority.{said} It is safe to run it again.",
                final=False,
            )


def killed(step: Step, pod: Any) -> Failure | None:
    """What to say of a step that did not end by itself; None if it did."""
    state = base_state(pod)
    terminated = state.terminated if state is not None else None
    if terminated is None:
        return None
    if terminated.reason == "OOMKilled":
        # Memory is reserved in full, so the limit was the step's own, and it would be met again.
        return Failure(
            f"The step {step.name} was killed because it needed more memory than its pod may use (OOMKilled). Raise "
            f"{step.key('memory')}.",
            final=True,
        )
    if terminated.reason in _STARTLESS:
        return Failure(
            f"The step {step.name} could not be started in its image: {terminated.message}. Is it the image of the "
            f"steps? {_image_home(step)}",
            final=True,
        )
    return None


def too_large(step: Step, wanted: Sequence[str]) -> Failure:
    """What to say of a pod that no node can ever hold.

    :param wanted: each resource in words, such as ``64Gi memory, the largest node has 16Gi``.
    """
    return Failure(
        f"No node of the cluster can ever hold the pod of the step {step.name}: it asks for {'; '.join(wanted)}. "
        f"Ask for less, or add a larger node: {_asks(step)}.",
        final=True,
    )


def _asks(step: Step) -> str:
    keys = ["cpu", "memory", "ephemeral_storage", *(["gpu"] if step.pod.gpu else [])]
    shown = [f"{home_of(step.name, key)} (now {_plain(getattr(step.pod, key))})" for key in keys]
    return f"{', '.join(shown)} in include/models/{step.model}.yaml"


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _evicted(step: Step, detail: str) -> Failure:
    own = any(sign in detail.lower() for sign in _STORAGE_SIGNS)
    cure = f"Raise {step.key('ephemeral_storage')}." if own else "It may go better on another node, or later."
    return Failure(
        f"The pod of the step {step.name} was evicted from its node. Kubernetes says: {detail.strip()} {cure}",
        final=own,
    )


def _image(step: Step, detail: str, pod: Any, events: Sequence[str]) -> Failure:
    """The message alone may not say why, when Kubernetes has given up for a while: its events do."""
    reasons = [event for event in events if "failed to pull" in event.lower()]
    said = detail if "Back-off" not in detail or not reasons else reasons[-1]
    final = detail.startswith(("InvalidImageName", "ErrImageNeverPull")) or is_no_such_image(said)
    image = pod.spec.containers[0].image if pod is not None else "the step"
    return Failure(
        f"The image {image} of the step {step.name} cannot be had. {_image_home(step)} Kubernetes says: "
        f"{' '.join(said.split())[:600]}",
        final=final,
    )


def _image_home(step: Step) -> str:
    if step.pod.image:
        return f"Correct {home_of(step.name, 'image')} or pods.default.image in include/models/{step.model}.yaml."
    return "Correct `image` in the extra of the Airflow connection noria_kubernetes, or bring the image to the nodes."

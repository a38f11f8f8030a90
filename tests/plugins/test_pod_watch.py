"""What becomes of a pod, look by look, and what is said of each ending, without a cluster."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes.client import models as k8s

from include.spec.pods import Pod
from plugins.operators.pods.log import LogCursor
from plugins.operators.pods.watch import (
    CONFIG_SECONDS,
    CROWDED_SECONDS,
    IMAGE_SECONDS,
    UNEXPLAINED_SECONDS,
    Ending,
    PodWatch,
)
from plugins.operators.pods.words import Step, failure_of, killed

STEP = Step("score", "flight_delay", Pod(memory="2Gi"))
WAITS = 600.0


def pod(
    *,
    phase: str = "Pending",
    state: k8s.V1ContainerState | None = None,
    unscheduled: str | None = None,
    deleting: bool = False,
    reason: str | None = None,
    message: str | None = None,
) -> k8s.V1Pod:
    statuses = None
    if state is not None:
        statuses = [
            k8s.V1ContainerStatus(name="base", state=state, image="i", image_id="", ready=False, restart_count=0)
        ]
    conditions = [
        k8s.V1PodCondition(type="PodScheduled", status="False" if unscheduled else "True", message=unscheduled)
    ]
    return k8s.V1Pod(
        metadata=k8s.V1ObjectMeta(name="p", deletion_timestamp=datetime.now(UTC) if deleting else None),
        spec=k8s.V1PodSpec(containers=[k8s.V1Container(name="base", image="mine:1")]),
        status=k8s.V1PodStatus(
            phase=phase, container_statuses=statuses, conditions=conditions, reason=reason, message=message
        ),
    )


def waiting(reason: str, message: str = "") -> k8s.V1ContainerState:
    return k8s.V1ContainerState(waiting=k8s.V1ContainerStateWaiting(reason=reason, message=message))


def ended(code: int, reason: str = "Error") -> k8s.V1ContainerState:
    return k8s.V1ContainerState(terminated=k8s.V1ContainerStateTerminated(exit_code=code, reason=reason))


RUNNING = k8s.V1ContainerState(running=k8s.V1ContainerStateRunning())


def watch() -> PodWatch:
    return PodWatch(wait_for_node=WAITS)


def kind_of(ending: Ending | None) -> str | None:
    return ending.kind if ending else None


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        (None, "deleted"),
        (pod(phase="Running", state=RUNNING), None),
        (pod(phase="Running", state=ended(0, "Completed")), "ended"),
        (pod(phase="Failed", state=ended(10)), "ended"),
        (pod(phase="Running", state=ended(137, "OOMKilled")), "ended"),
        (pod(phase="Running", state=ended(143), deleting=True), "deleted"),
        (pod(phase="Running", state=ended(0, "Completed"), deleting=True), "ended"),
        (pod(phase="Failed", reason="Evicted", message="The node was low"), "evicted"),
        (pod(phase="Failed", state=RUNNING, reason="DeadlineExceeded"), "deadline"),
        (pod(phase="Failed", reason="NodeLost"), "broken"),
        (pod(state=waiting("ErrImageNeverPull", "not present")), "image"),
        (pod(state=waiting("InvalidImageName")), "image"),
        (pod(state=waiting("ErrImagePull", "manifest unknown")), "image"),
        (pod(state=waiting("ErrImagePull", "connection refused")), None),
        (pod(state=waiting("ContainerCreating")), None),
        (pod(unscheduled="0/1 nodes are available: 1 Insufficient memory."), None),
    ],
)
def test_the_first_look_says_what_is_sure(seen: Any, kind: str | None) -> None:
    assert kind_of(watch().look(seen, 0.0)) == kind


def test_a_pull_that_fails_for_another_reason_is_given_time_and_its_true_reason_kept() -> None:
    looks = watch()
    assert looks.look(pod(state=waiting("ErrImagePull", "connection refused")), 0.0) is None
    back_off = pod(state=waiting("ImagePullBackOff", "Back-off pulling image"))
    assert looks.look(back_off, IMAGE_SECONDS - 1) is None
    ending = looks.look(back_off, IMAGE_SECONDS)
    assert ending == Ending("image", "ImagePullBackOff: connection refused")


def test_a_pull_that_fails_without_a_word_is_judged_once_by_its_events() -> None:
    looks, silent = watch(), pod(state=waiting("ImagePullBackOff", "Back-off pulling image"))
    assert looks.look(silent, 0.0) is None
    assert kind_of(looks.look(silent, UNEXPLAINED_SECONDS)) == "unexplained"
    assert looks.look(silent, UNEXPLAINED_SECONDS + 1) is None
    assert kind_of(looks.look(silent, IMAGE_SECONDS)) == "image"


def test_a_trouble_that_passes_starts_anew_the_next_time() -> None:
    looks, missing = watch(), pod(state=waiting("CreateContainerConfigError", 'secret "s" not found'))
    assert looks.look(missing, 0.0) is None
    assert looks.look(pod(phase="Running", state=RUNNING), CONFIG_SECONDS - 1) is None
    assert looks.look(missing, CONFIG_SECONDS) is None
    assert kind_of(looks.look(missing, 2 * CONFIG_SECONDS)) == "config"


def test_a_pod_without_a_node_is_judged_once_and_then_waits_as_long_as_it_may() -> None:
    looks, crowded = watch(), pod(unscheduled="0/1 nodes are available")
    assert looks.look(crowded, 0.0) is None
    assert looks.trouble == "unschedulable"
    assert kind_of(looks.look(crowded, CROWDED_SECONDS)) == "crowded"
    assert looks.look(crowded, CROWDED_SECONDS + 1) is None
    assert kind_of(looks.look(crowded, WAITS)) == "unschedulable"


@pytest.mark.parametrize(
    ("ending", "final", "words"),
    [
        (Ending("deleted"), False, "safe to run it again"),
        (Ending("evicted", "The node was low on resource: memory."), False, "another node"),
        (Ending("evicted", "Usage of EmptyDir volume exceeds"), True, "pods.steps.score.ephemeral_storage (now 4Gi)"),
        (Ending("image", "ErrImageNeverPull: not present"), True, "mine:1"),
        (Ending("image", "ErrImagePull: connection refused"), False, "connection noria_kubernetes"),
        (Ending("config", 'secret "s" not found'), True, "pods.steps.score.environment"),
        (Ending("unschedulable", "Insufficient cpu"), False, "pods.steps.score.wait_for_node (now 10m)"),
        (Ending("start"), False, "did not start within 10 minutes"),
        (Ending("broken", "NodeLost: "), False, "NodeLost"),
    ],
)
def test_each_ending_says_what_happened_and_what_to_change(ending: Ending, final: bool, words: str) -> None:
    failure = failure_of(STEP, ending, pod(), [])
    assert failure.final is final
    assert words in failure.message
    assert "\n" not in failure.message


def test_a_pull_that_kubernetes_gave_up_for_a_while_is_explained_by_its_events() -> None:
    events = ["Failed: Failed to pull image: dial tcp: connection refused", "Failed: Error: ImagePullBackOff"]
    failure = failure_of(STEP, Ending("image", "ImagePullBackOff: Back-off pulling image"), pod(), events)
    assert "connection refused" in failure.message


def test_memory_names_its_home_and_is_not_tried_again() -> None:
    failure = killed(STEP, pod(phase="Running", state=ended(137, "OOMKilled")))
    assert failure is not None
    assert failure.final
    assert "pods.steps.score.memory (now 2Gi) in include/models/flight_delay.yaml" in failure.message
    train = killed(Step("train", "flight_delay", Pod()), pod(state=ended(137, "OOMKilled")))
    assert train is not None
    assert "training.resources.memory" in train.message


def test_a_step_that_ended_by_itself_speaks_for_itself() -> None:
    assert killed(STEP, pod(phase="Running", state=ended(10))) is None


def test_each_line_of_a_log_is_taken_once_however_often_it_is_read() -> None:
    text = "2013-10-01T04:00:00.000000001Z one\n2013-10-01T04:00:00.000000002Z two\n"
    cursor = LogCursor()
    assert cursor.since_seconds(1000.0) is None
    assert cursor.take(text, 1000.0) == ["one", "two"]
    assert cursor.since_seconds(1003.0) == 13
    assert cursor.take(text + "2013-10-01T04:00:00.000000002Z three\n", 1003.0) == ["three"]
    assert LogCursor(cursor.mark).take(text + "2013-10-01T04:00:00.000000002Z three\n", 1004.0) == []


def test_lines_at_one_instant_are_all_taken() -> None:
    cursor = LogCursor()
    line = "2013-10-01T04:00:00.5Z {}\n"
    assert cursor.take(line.format("a") + line.format("b"), 1.0) == ["a", "b"]
    assert cursor.take(line.format("a") + line.format("b") + line.format("c"), 2.0) == ["c"]


def test_what_is_no_line_of_the_step_is_left_out() -> None:
    assert LogCursor().take("unable to retrieve container logs for containerd://x", 1.0) == []

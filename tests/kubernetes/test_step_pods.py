"""Steps in pods of a real cluster: how they end, what they say, what they may, and that nothing is left behind."""

from __future__ import annotations

import http.server
import re
import statistics
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.kubernetes.stage import Played, Stage, wait_for

pytestmark = [pytest.mark.kubernetes, pytest.mark.database]

DEFERRED = {"deferrable": True, "defer_after": 0}
LONG = {"text": "é" * 70_000}


class _EmptyRegistry(http.server.BaseHTTPRequestHandler):
    """A registry that answers, and has no image."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/v2/" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _EmptyRegistry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def plays(stage: Stage, registry: str) -> dict[str, Played]:
    """All plays that nobody disturbs, one after the other in one process."""
    stage.core.create_namespaced_secret(
        stage.namespace,
        {
            "metadata": {"name": "probe"},
            "stringData": {"NORIA_DATABASE_URL": "postgresql+psycopg2://u:word-of-a-secret@h/noria"},
        },
    )
    told = [
        stage.told("well", say=["one", "two"]),
        stage.told("well-deferred", connection=DEFERRED, say=["one", "two", "three"], pause=1, sleep=4),
        stage.told("refused", **{"raise": "refused", "message": "day 5 was refused"}),
        stage.told("refused-deferred", connection=DEFERRED, sleep=3, **{"raise": "refused", "message": "day 5"}),
        stage.told("nothing", connection=DEFERRED, sleep=3, **{"raise": "nothing", "message": "all is known"}),
        stage.told("again", **{"raise": "again", "message": "the source is away"}),
        stage.told("long", long=LONG),
        stage.told("environment", pods={"environment": {"secrets": ["probe"]}}, environment=True),
        stage.told("no-secret", pods={"environment": {"secrets": ["absent"]}}),
        stage.told("memory", pods={"memory": "64Mi"}, memory_mib=300),
        stage.told("memory-deferred", connection=DEFERRED, memory_mib=300),
        stage.told("disk", connection=DEFERRED, disk_mib=96, sleep=200),
        stage.told("deadline", connection=DEFERRED, pods={"deadline": "4s"}, sleep=200),
        stage.told("image-not-on-node", pods={"image": "localhost/absent:1", "image_pull_policy": "Never"}),
        stage.told("image-not-in-registry", connection=DEFERRED, pods={"image": f"{registry}/absent:1"}),
        stage.told("no-registry", connection=DEFERRED, pods={"image": "127.0.0.1:9/absent:1"}),
        stage.told("too-large", connection=DEFERRED, pods={"memory": "4000Gi"}),
        stage.told("no-node", connection=DEFERRED, pods={"node_selector": {"disk": "golden"}, "wait_for_node": "4s"}),
        stage.told("template", connection={"pod_template": str(_wrong_template(stage))}),
        stage.told("no-namespace", connection={"namespace": "noria-absent"}),
    ]
    return stage.start(*told).outcomes(seconds=600)


def _wrong_template(stage: Stage) -> Any:
    path = stage.folder / "template.yaml"
    path.write_text("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n    - name: base\n      resouces: {}\n")
    return path


def message_of(played: Played) -> str:
    """What the task raised, as Airflow writes it into its log."""
    lines = [
        line for line in played.text.splitlines() if line.startswith(("AirflowFail", "AirflowException", "airflow."))
    ]
    assert lines, played.text[-4000:]
    return lines[-1]


def failed_finally(played: Played) -> None:
    assert (played.state, played.tries) == ("failed", 1), played.text[-4000:]


def failed_after_a_retry(played: Played) -> None:
    assert (played.state, played.tries) == ("failed", 2), played.text[-4000:]


def test_a_step_ends_well_and_its_output_comes_back(plays: dict[str, Played]) -> None:
    for name in ("well", "well-deferred"):
        played = plays[name]
        assert (played.state, played.tries) == ("success", 1), played.text[-4000:]
        assert played.output["as_of"] == "2013-10-01T00:00:00-04:00"
        assert "try1-" in played.output["attempt"]


def test_its_log_is_in_the_tasks_log_once_with_its_levels_and_one_time_stamp(plays: dict[str, Played]) -> None:
    for name, words in (("well", ["one", "two"]), ("well-deferred", ["one", "two", "three"])):
        lines = plays[name].text.splitlines()
        for word in words:
            (warned,) = [line for line in lines if f"] {word} " in line]
            assert "[warning" in warned
            assert len(re.findall(r"\d\d:\d\d:\d\d", warned)) == 1, f"one time stamp only: {warned}"
            assert len([line for line in lines if f"] printed {word} " in line]) == 1


def test_a_refused_step_fails_at_once_with_its_own_words(plays: dict[str, Played]) -> None:
    for name, words in (("refused", "day 5 was refused"), ("refused-deferred", "day 5")):
        failed_finally(plays[name])
        assert words in message_of(plays[name])


def test_nothing_to_do_is_skipped_also_after_the_triggerer(plays: dict[str, Played]) -> None:
    assert plays["nothing"].state == "skipped"


def test_what_may_go_well_later_is_retried(plays: dict[str, Played]) -> None:
    failed_after_a_retry(plays["again"])
    assert "the source is away" in message_of(plays["again"])


def test_inputs_and_outputs_may_be_longer_than_a_command_line(plays: dict[str, Played]) -> None:
    assert plays["long"].output["inputs"]["long"] == LONG


def test_secrets_come_from_secrets_and_nothing_of_airflows_own(plays: dict[str, Played]) -> None:
    variables = plays["environment"].output["environment"]
    assert variables["NORIA_DATABASE_URL"].endswith("word-of-a-secret@h/noria")
    assert variables["HOME"] == variables["TMPDIR"] == "/scratch"
    assert not [name for name in variables if name.startswith("AIRFLOW")]
    assert "word-of-airflow" not in str(variables)


def test_a_secret_that_is_missing_ends_in_one_message_that_names_it(plays: dict[str, Played]) -> None:
    failed_finally(plays["no-secret"])
    message = message_of(plays["no-secret"])
    assert '"absent" not found' in message
    assert "pods.steps.probe.environment" in message


def test_a_step_that_needs_too_much_memory_is_told_which_key_raises_it(plays: dict[str, Played]) -> None:
    for name, now in (("memory", "64Mi"), ("memory-deferred", "128Mi")):
        failed_finally(plays[name])
        assert "OOMKilled" in message_of(plays[name])
        assert f"pods.steps.probe.memory (now {now}) in include/models/flight_delay.yaml" in message_of(plays[name])
        assert plays[name].seconds < 60


def test_a_step_that_fills_its_disk_is_evicted_and_told_which_key_raises_it(plays: dict[str, Played]) -> None:
    failed_finally(plays["disk"])
    assert "evicted" in message_of(plays["disk"])
    assert "pods.steps.probe.ephemeral_storage (now 64Mi)" in message_of(plays["disk"])


def test_a_step_is_ended_at_its_deadline(plays: dict[str, Played]) -> None:
    failed_after_a_retry(plays["deadline"])
    assert "pods.steps.probe.deadline (now 4s)" in message_of(plays["deadline"])


@pytest.mark.parametrize("name", ["image-not-on-node", "image-not-in-registry"])
def test_an_image_that_does_not_exist_fails_in_seconds_without_a_retry(plays: dict[str, Played], name: str) -> None:
    failed_finally(plays[name])
    assert "absent:1" in message_of(plays[name])
    assert "pods.steps.probe.image" in message_of(plays[name])
    assert plays[name].seconds < 30


def test_a_registry_that_does_not_answer_is_tried_again_within_a_minute(plays: dict[str, Played]) -> None:
    failed_after_a_retry(plays["no-registry"])
    assert "absent:1" in message_of(plays["no-registry"])
    assert plays["no-registry"].seconds < 75


def test_a_request_larger_than_any_node_fails_within_a_minute_and_says_so(plays: dict[str, Played]) -> None:
    failed_finally(plays["too-large"])
    message = message_of(plays["too-large"])
    assert "asks for 4000Gi memory, the largest node has" in message
    assert "pods.steps.probe.memory (now 4000Gi)" in message
    assert plays["too-large"].seconds < 60


def test_a_pod_waits_for_a_node_as_long_as_the_definition_says(plays: dict[str, Played]) -> None:
    failed_after_a_retry(plays["no-node"])
    assert "pods.steps.probe.wait_for_node (now 4s)" in message_of(plays["no-node"])


def test_a_wrong_template_is_refused_with_its_line_and_cure(plays: dict[str, Played]) -> None:
    failed_finally(plays["template"])
    assert "template.yaml:6: spec.containers[0].resouces" in plays["template"].text
    assert "Did you mean `resources`" in plays["template"].text


def test_what_the_cluster_refuses_is_one_message(plays: dict[str, Played]) -> None:
    failed_finally(plays["no-namespace"])
    assert 'namespaces "noria-absent" not found' in message_of(plays["no-namespace"])


def test_no_failure_writes_a_wall_of_trace(plays: dict[str, Played]) -> None:
    for name, played in plays.items():
        assert played.text.count("Traceback (most recent call last)") <= played.tries, name
        assert "urllib3" not in played.text, name


def test_what_kubernetes_said_of_a_pod_is_kept_and_linked(plays: dict[str, Played]) -> None:
    kept = plays["memory"].pod
    assert {"Scheduled", "Started"} <= {event["reason"] for event in kept["events"]}
    assert plays["memory"].link == "/noria/pods/pods/step?run_id=memory"


def test_no_pod_is_left(plays: dict[str, Played], stage: Stage) -> None:
    assert plays
    stage.gone()


def test_the_first_line_comes_within_four_seconds(stage: Stage) -> None:
    """From the pod's creation to the time at which its container wrote its first line, by the same clock."""
    runs = [f"quick-{number}" for number in range(3)]
    process = stage.start(*(stage.told(run, sleep=2) for run in runs))
    taken = [_seconds_to_first_line(stage, run) for run in runs]
    assert set(process.outcomes()) == set(runs)
    print(f"seconds to the first line: {taken}")
    # The API server cuts the time of creation to seconds: the pod is up to a second younger than it says.
    assert statistics.median(taken) <= 4, taken


def _seconds_to_first_line(stage: Stage, run: str) -> float:
    pod = stage.running(run)
    text = wait_for(lambda: _log(stage, pod.metadata.name), 20, "the first line")
    first = datetime.fromisoformat(text.split(" ")[0][:26] + "+00:00")
    return float((first - pod.metadata.creation_timestamp).total_seconds())


def _log(stage: Stage, name: str) -> str:
    answer = stage.core.read_namespaced_pod_log(
        name, stage.namespace, container="base", timestamps=True, _preload_content=False
    )
    return str(answer.data.decode())


def test_the_pod_is_hardened_as_the_cluster_sees_it(stage: Stage) -> None:
    process = stage.start(stage.told("hardened", sleep=3))
    pod = stage.running("hardened")
    process.only()
    for container in pod.spec.containers:
        context = container.security_context
        assert (context.run_as_non_root, context.read_only_root_filesystem) == (True, True), container.name
        assert (context.allow_privilege_escalation, context.capabilities.drop) == (False, ["ALL"]), container.name
        assert context.seccomp_profile.type == "RuntimeDefault", container.name
        assert not [mount for mount in container.volume_mounts if "serviceaccount" in mount.mount_path]
    assert pod.spec.active_deadline_seconds == 2 * 3600
    assert "word-of-airflow" not in str(pod)
    labels = pod.metadata.labels
    assert (labels["model"], labels["step"], labels["as_of"]) == ("flight_delay", "probe", "2013-10-01T040000Z")


def test_a_pod_that_is_deleted_in_mid_step_is_reported_and_run_again(stage: Stage) -> None:
    process = stage.start(stage.told("deleted", connection=DEFERRED, say=["at work"], sleep=6))
    first = stage.running("deleted")
    stage.says(first, "printed at work")
    stage.core.delete_namespaced_pod(first.metadata.name, stage.namespace)
    played = process.only()
    assert (played.state, played.tries) == ("success", 2), played.text[-4000:]
    assert "was deleted while it worked" in message_of(played)
    stage.gone("deleted")

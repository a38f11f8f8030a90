"""A step's pod as it is sent to Kubernetes, built without a cluster: hardening, template, definition."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from include.spec.pods import Pod, Toleration
from include.spec.problems import DefinitionError
from plugins.operators.pods.cluster import Cluster, read_cluster
from plugins.operators.pods.manifest import as_of_label, digest_of, label_value, manifest_of, merge
from plugins.operators.pods.operator import StepPodOperator
from plugins.operators.pods.template import read_template
from plugins.operators.step import StepCommand

CLUSTER = Cluster(namespace="noria-steps", image="noria-steps:1")
BASE = "base"


def command(**inputs: Any) -> StepCommand:
    return StepCommand(
        step="train",
        model="flight_delay",
        as_of="2013-10-01T00:00:00-04:00",
        run="scheduled__2013-10-01T02:00:00+00:00",
        attempt="train-try1-0123456789ab",
        inputs=inputs,
        threads=2,
        secrets={"NORIA_DATABASE_URL": "postgresql+psycopg2://u:hidden-word@h/noria"},
    )


def manifest(pod: Pod | None = None, template: Mapping[str, Any] | None = None, **inputs: Any) -> dict[str, Any]:
    return manifest_of(command(**inputs), pod or Pod(), CLUSTER, template or {})


def base(made: Mapping[str, Any]) -> dict[str, Any]:
    container = made["spec"]["containers"][0]
    assert container["name"] == BASE
    return dict(container)


def sent(pod: Pod | None = None, template: Mapping[str, Any] | None = None) -> Any:
    """The pod as KubernetesPodOperator makes it of the manifest, its hook replaced: there is no cluster here."""
    operator = StepPodOperator(task_id="train", manifest=manifest(pod, template))
    operator.__dict__["hook"] = SimpleNamespace(
        is_in_cluster=False,
        get_xcom_sidecar_container_image=lambda: None,
        get_xcom_sidecar_container_resources=lambda: None,
    )
    ti = SimpleNamespace(dag_id="flight_delay.train", task_id="train", try_number=2, map_index=-1)
    return operator.build_pod_request_obj({"ti": ti, "run_id": "run 1", "dag": SimpleNamespace()})  # type: ignore[arg-type]


def test_every_container_is_hardened_also_the_one_that_keeps_the_result() -> None:
    pod = sent()
    assert [container.name for container in pod.spec.containers] == ["base", "airflow-xcom-sidecar"]
    for container in pod.spec.containers:
        context = container.security_context
        context = context if isinstance(context, dict) else context.to_dict()
        assert (context.get("run_as_non_root") or context.get("runAsNonRoot")) is True
        assert (context.get("read_only_root_filesystem") or context.get("readOnlyRootFilesystem")) is True
        assert context.get("allow_privilege_escalation", context.get("allowPrivilegeEscalation")) is False
        assert context["capabilities"]["drop"] == ["ALL"]
    assert pod.spec.security_context.run_as_user == 10001
    assert pod.spec.security_context.seccomp_profile.type == "RuntimeDefault"
    assert pod.spec.automount_service_account_token is False
    assert pod.spec.termination_grace_period_seconds == 5
    assert pod.spec.restart_policy == "Never"
    assert not pod.spec.host_network


def test_a_token_of_its_account_is_for_the_step_that_is_given_one() -> None:
    spec = sent(Pod(service_account="noria-spark", account_token=True)).spec
    assert (spec.service_account_name, spec.automount_service_account_token) == ("noria-spark", True)
    assert sent(Pod(account_token=False)).spec.automount_service_account_token is False


def test_the_sidecar_is_of_the_steps_own_image_small_and_ends_on_sigterm() -> None:
    sidecar = sent().spec.containers[1]
    assert sidecar.image == "noria-steps:1"
    assert "TERM" in sidecar.command[-1]
    assert sidecar.resources.limits["memory"] == "32Mi"


def test_all_that_a_step_can_write_to_has_a_size() -> None:
    pod = sent(Pod(ephemeral_storage="7Gi"))
    volumes = {volume.name: volume.empty_dir.size_limit for volume in pod.spec.volumes}
    assert volumes == {"xcom": "16Mi", "scratch": "7Gi"}
    variables = {one.name: one.value for one in pod.spec.containers[0].env}
    assert variables["HOME"] == variables["TMPDIR"] == "/scratch"
    assert variables["NORIA_HOME"].startswith("/scratch/")


def test_labels_say_model_step_run_and_as_of_beside_the_providers_own() -> None:
    labels = sent().metadata.labels
    assert labels["model"] == "flight_delay"
    assert labels["step"] == "train"
    assert labels["as_of"] == "2013-10-01T040000Z"
    assert labels["run"].startswith("scheduled__2013-10-01T020000")
    assert (labels["dag_id"], labels["task_id"], labels["try_number"]) == ("flight_delay.train", "train", "2")


@pytest.mark.parametrize("text", ["manual__2013-10-01T00:00:00+00:00", "x" * 80, "-a-", "ä", "a_b.c"])
def test_any_text_becomes_a_valid_label_and_different_ones_stay_different(text: str) -> None:
    import re

    assert re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", label_value(text))
    assert label_value(text) != label_value(text + "!")
    assert label_value("a_b.c") == "a_b.c"
    assert as_of_label("2013-10-01T00:00:00-04:00") == as_of_label("2013-10-01T04:00:00+00:00")


def test_the_command_line_is_the_same_as_anywhere() -> None:
    container = base(manifest(version=3))
    assert container["command"] == ["python", "-m", "include.steps"]
    assert container["args"] == [
        *("train", "--model", "flight_delay", "--as-of", "2013-10-01T00:00:00-04:00"),
        *("--inputs", '{"version": 3}', "--attempt", "train-try1-0123456789ab"),
    ]


def test_secrets_of_airflows_connections_are_nowhere_in_a_pod() -> None:
    assert "hidden-word" not in json.dumps(manifest())


def test_long_inputs_are_a_file_and_too_long_ones_are_refused() -> None:
    made = manifest(staged="x" * 100_000)
    assert "@/noria-inputs/inputs.json" in base(made)["args"]
    assert json.loads(made["metadata"]["annotations"]["noria/inputs"]) == {"staged": "x" * 100_000}
    with pytest.raises(AirflowFailException, match="shorter range"):
        manifest(staged="x" * 300_000)


def test_each_key_of_a_definition_reaches_the_pod() -> None:
    made = manifest(
        Pod.model_validate(
            {
                "cpu": 4,
                "memory": "8Gi",
                "ephemeral_storage": "9Gi",
                "gpu": 2,
                "node_selector": {"disk": "fast"},
                "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoExecute", "seconds": 5}],
                "affinity": {"nodeAffinity": {}},
                "priority_class": "high",
                "service_account": "steps",
                "image": "mine:1",
                "image_pull_policy": "Never",
                "pull_secrets": ["registry"],
                "environment": {"secrets": ["s"], "config_maps": ["c"]},
                "deadline": "1h",
            }
        )
    )
    container, spec = base(made), made["spec"]
    assert container["resources"]["limits"] == {
        "cpu": "4000m",
        "memory": "8Gi",
        "ephemeral-storage": "9Gi",
        "nvidia.com/gpu": "2",
    }
    assert container["resources"]["requests"]["cpu"] == "2000m", "half is reserved, so that it fits beside others"
    assert container["resources"]["requests"]["memory"] == "8Gi"
    assert (container["image"], container["imagePullPolicy"]) == ("mine:1", "Never")
    assert container["envFrom"] == [{"secretRef": {"name": "s"}}, {"configMapRef": {"name": "c"}}]
    assert spec["nodeSelector"] == {"disk": "fast"}
    assert spec["tolerations"] == [{"key": "gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}]
    assert spec["affinity"] == {"nodeAffinity": {}}
    assert (spec["priorityClassName"], spec["serviceAccountName"]) == ("high", "steps")
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert spec["activeDeadlineSeconds"] == 3600
    variables = {one["name"]: one["value"] for one in container["env"]}
    assert variables["OMP_NUM_THREADS"] == "4"


def test_a_template_lies_above_what_nobody_gave_and_below_the_definition() -> None:
    template = {
        "kind": "Pod",
        "metadata": {"labels": {"team": "ops"}},
        "spec": {
            "priorityClassName": "low",
            "securityContext": {"runAsUser": 2000, "fsGroup": None},
            "containers": [
                {"name": "helper", "image": "helper:1"},
                {
                    "name": "base",
                    "image": "templates:1",
                    "command": ["sh"],
                    "args": ["-c", "true"],
                    "resources": {"limits": {"memory": "5Gi"}},
                    "envFrom": [{"secretRef": {"name": "noria-steps"}}],
                    "env": [{"name": "NORIA_STORE", "value": "/store"}, {"name": "HOME", "value": "/elsewhere"}],
                    "volumeMounts": [{"name": "store", "mountPath": "/store"}],
                },
            ],
            "volumes": [{"name": "store", "persistentVolumeClaim": {"claimName": "noria-store"}}],
        },
    }
    pod = Pod.model_validate({"priority_class": "high", "environment": {"secrets": ["mine"]}})
    made = manifest(pod, template)
    container, spec = base(made), made["spec"]
    assert made["metadata"]["labels"]["team"] == "ops"
    assert spec["priorityClassName"] == "high", "the definition goes before the template"
    assert container["resources"]["limits"]["memory"] == "5Gi", "the template goes before a mere default"
    assert container["image"] == "templates:1"
    assert container["command"] == ["python", "-m", "include.steps"], "what the step is, no template changes"
    assert spec["securityContext"]["runAsUser"] == 2000
    assert "fsGroup" not in spec["securityContext"], "null takes a key away"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["envFrom"] == [{"secretRef": {"name": "noria-steps"}}, {"secretRef": {"name": "mine"}}]
    assert {one["name"]: one.get("value") for one in container["env"]}["NORIA_STORE"] == "/store"
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/scratch", "/store"}
    assert {volume["name"] for volume in spec["volumes"]} == {"scratch", "store"}
    assert [one["name"] for one in spec["containers"]] == ["base", "helper"]


def test_merging_leaves_what_it_was_given_alone() -> None:
    below = {"spec": {"containers": [{"name": "base", "env": [{"name": "A", "value": "1"}]}]}}
    before = json.dumps(below)
    merge(below, {"spec": {"containers": [{"name": "base", "env": [{"name": "A", "value": "2"}]}]}})
    assert json.dumps(below) == before


def test_only_a_pod_that_does_the_same_is_taken_for_the_same() -> None:
    same = {digest_of(command(x=1), manifest(x=1)), digest_of(command(x=1), manifest(x=1))}
    other = {digest_of(command(x=2), manifest(x=2)), digest_of(command(x=1), manifest(Pod(image="other:1"), x=1))}
    assert len(same) == 1
    assert len(same | other) == 3


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("kind: Deployment\n", "kind", "kind: Pod"),
        ("kind: Pod\nspec: {contaners: []}\n", "spec.contaners", "Did you mean `containers`?"),
        ("kind: Pod\nspec: {priority: high}\n", "spec.priority", "a whole number"),
        ("kind: Pod\nspec:\n  containers:\n    - {name: 5}\n", "spec.containers[0].name", "text"),
        ("kind: Pod\nspec:\n  containers:\n    - {name: main}\n", "spec.containers", "no container is named base"),
        (
            "kind: Pod\nspec:\n  containers:\n    - name: base\n      env: [{name: NORIA_STORE_SECRET, value: x}]\n",
            "spec.containers[0].env[0]",
            "Put it into a Secret",
        ),
        (
            "kind: Pod\nspec:\n  containers:\n    - name: base\n"
            "      env: [{name: NORIA_DATABASE_URL, value: 'postgresql://u:p@h/d'}]\n",
            "spec.containers[0].env[0]",
            "plain text",
        ),
    ],
)
def test_a_wrong_template_is_refused_with_line_key_and_cure(tmp_path: Path, text: str, key: str, words: str) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(text)
    with pytest.raises(DefinitionError) as caught:
        read_template(path)
    (problem,) = caught.value.problems
    assert problem.key == key
    assert words in f"{problem.what}. {problem.cure}"
    assert "hidden" not in str(caught.value)


def test_a_template_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="cannot be read"):
        read_template(tmp_path / "absent.yaml")
    assert read_template(None) == {}


def test_the_projects_own_templates_are_right() -> None:
    from include.settings import PROJECT

    templates = sorted((PROJECT / "docker" / "kubernetes").rglob("pod-template.yaml"))
    assert templates
    assert all(read_template(path)["kind"] == "Pod" for path in templates)


def test_the_connection_says_where_pods_run(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"namespace": "n", "image": "i", "pod_template": "docker/t.yaml", "defer_after": 0, "kube_config_path": ""}
    monkeypatch.setenv("AIRFLOW_CONN_NORIA_KUBERNETES", json.dumps({"conn_type": "kubernetes", "extra": extra}))
    cluster = read_cluster()
    assert (cluster.namespace, cluster.image, cluster.defer_after, cluster.deferrable) == ("n", "i", 0, True)
    assert cluster.pod_template is not None
    assert cluster.pod_template.is_absolute()


@pytest.mark.parametrize(
    ("extra", "words"), [("{}", "namespace"), ('{"namespace": "n", "image": "i", "defer_after": "x"}', "defer_after")]
)
def test_a_connection_that_lacks_something_is_refused_with_it(
    monkeypatch: pytest.MonkeyPatch, extra: str, words: str
) -> None:
    connection = {"conn_type": "kubernetes", "extra": json.loads(extra)}
    monkeypatch.setenv("AIRFLOW_CONN_NORIA_KUBERNETES", json.dumps(connection))
    with pytest.raises(AirflowFailException, match=words):
        read_cluster()


def test_tolerations_are_written_as_kubernetes_reads_them() -> None:
    made = manifest(Pod(tolerations=[Toleration(key="a", value="b")]))
    assert made["spec"]["tolerations"] == [{"key": "a", "operator": "Equal", "value": "b"}]

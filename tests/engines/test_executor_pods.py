"""The pods of executors, as made from the pod of their step. That they run is shown on a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from include.engines.spark import executor, pods
from include.engines.spark.pods import NoAccount, executor_pods, executor_template

LABELS = {
    "app.kubernetes.io/name": "noria-step",
    "app.kubernetes.io/part-of": "noria",
    "model": "late",
    "step": "train",
    "run": "nightly",
    "dag_id": "late.train",
    "task_id": "train",
    "run_id": "nightly",
    "try_number": "1",
    "kubernetes_pod_operator": "True",
}


def step_pod() -> dict[str, Any]:
    """A step's pod as a cluster describes it, with what Airflow and Kubernetes add."""
    account = {
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
        "name": "kube-api-access-x",
        "readOnly": True,
    }
    return {
        "metadata": {"name": "late-train-1", "labels": LABELS},
        "spec": {
            "serviceAccountName": "noria-spark",
            "automountServiceAccountToken": True,
            "nodeName": "node-1",
            "securityContext": {"runAsUser": 10001},
            "tolerations": [{"key": "ml", "operator": "Exists"}],
            "containers": [
                {"name": "airflow-xcom-sidecar", "image": "sidecar"},
                {
                    "name": "base",
                    "image": "noria-steps-spark:1",
                    "command": ["python", "-m", "include.steps"],
                    "args": ["train"],
                    "env": [{"name": "NORIA_HOME", "value": "/scratch/noria"}],
                    "envFrom": [{"secretRef": {"name": "noria"}}],
                    "resources": {"limits": {"memory": "4Gi"}},
                    "securityContext": {"readOnlyRootFilesystem": True},
                    "volumeMounts": [
                        {"name": "scratch", "mountPath": "/scratch"},
                        {"name": "store", "mountPath": "/store"},
                        {"name": "inputs", "mountPath": "/noria-inputs"},
                        account,
                    ],
                },
            ],
            "volumes": [
                {"name": "scratch", "emptyDir": {}},
                {"name": "store", "persistentVolumeClaim": {"claimName": "noria-store"}},
                {"name": "inputs", "downwardAPI": {}},
                {"name": "kube-api-access-x", "projected": {}},
            ],
        },
    }


def test_an_executor_is_a_pod_like_the_steps() -> None:
    made = executor_template(step_pod())
    (container,) = made["spec"]["containers"]
    assert container["image"] == "noria-steps-spark:1"
    assert container["env"] == [{"name": "NORIA_HOME", "value": "/scratch/noria"}]
    assert container["securityContext"] == {"readOnlyRootFilesystem": True}
    assert [one["name"] for one in container["volumeMounts"]] == ["scratch", "store"]
    assert [one["name"] for one in made["spec"]["volumes"]] == ["scratch", "store"]
    assert made["spec"]["securityContext"] == {"runAsUser": 10001}
    assert made["spec"]["tolerations"] == [{"key": "ml", "operator": "Exists"}]


def test_airflow_does_not_take_an_executor_for_the_pod_of_its_task() -> None:
    labels = executor_template(step_pod())["metadata"]["labels"]
    assert labels == {
        "app.kubernetes.io/name": "noria-spark-executor",
        "app.kubernetes.io/part-of": "noria",
        "model": "late",
        "step": "train",
    }


def test_an_executor_may_ask_the_cluster_for_nothing_and_runs_where_there_is_room() -> None:
    spec = executor_template(step_pod())["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in spec
    assert "nodeName" not in spec
    assert "args" not in spec["containers"][0]
    assert "resources" not in spec["containers"][0]  # engine.cpu and engine.memory are said by Spark


def test_the_token_of_an_older_cluster_is_left_out_too() -> None:
    pod = step_pod()
    pod["spec"]["volumes"][-1] = {"name": "kube-api-access-x", "secret": {"secretName": "noria-spark-token-8x2"}}
    assert [one["name"] for one in executor_template(pod)["spec"]["volumes"]] == ["scratch", "store"]


def test_a_step_without_an_account_says_which_one_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(pods, "_ACCOUNT", tmp_path)
    with pytest.raises(NoAccount, match="noria-spark"):
        executor_pods(tmp_path, 1)


def test_an_executors_program_is_javas_with_what_the_driver_says() -> None:
    environment = {
        "SPARK_JAVA_OPT_10": "-Dspark.driver.port=7078",
        "SPARK_JAVA_OPT_2": "-XX:+IgnoreUnrecognizedVMOptions",
        "SPARK_JAVA_OPT_3": "--add-modules=jdk.incubator.vector",
        "SPARK_EXECUTOR_MEMORY": "512m",
        "SPARK_DRIVER_URL": "spark://x@198.18.77.4:7078",
        "SPARK_EXECUTOR_ID": "1",
        "SPARK_EXECUTOR_CORES": "2",
        "SPARK_APPLICATION_ID": "spark-1",
        "SPARK_EXECUTOR_POD_IP": "198.18.77.5",
        "SPARK_RESOURCE_PROFILE_ID": "0",
        "SPARK_EXECUTOR_POD_NAME": "late-exec-1",
        "NORIA_STORE_SECRET": "s3cret",
    }
    words = executor.command(environment, Path("/java"), Path("/spark/jars"))
    assert words[:3] == ["/java", "-XX:+IgnoreUnrecognizedVMOptions", "-Dspark.driver.port=7078"]
    assert words[words.index("-cp") + 1] == "/spark/jars/*"
    assert words[-2:] == ["--podName", "late-exec-1"]
    assert "s3cret" not in " ".join(words)

"""Spark's executors as pods beside the step's own, which is the driver: like it, but for what only the step needs.

The cluster need not have DNS: executors call the driver by its pod's address. They belong to the step's pod, so that
Kubernetes removes them with it, however it ends.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import requests
import yaml

from include.engines.spark.errors import SparkFailed

_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_SECONDS: Final = 30
_EXECUTOR: Final = "executor"
_PROGRAM: Final = ["python", "-m", "include.engines.spark.executor"]
_KEPT_OF_POD: Final = (
    *("securityContext", "nodeSelector", "tolerations", "affinity", "imagePullSecrets", "priorityClassName"),
    "enableServiceLinks",
)
_KEPT_LABELS: Final = ("app.kubernetes.io/part-of", "model", "step")
_KEPT_OF_CONTAINER: Final = ("image", "imagePullPolicy", "env", "envFrom", "securityContext")


class NoAccount(SparkFailed):
    """The step's pod has no account with which it could start others."""

    def __init__(self) -> None:
        super().__init__(
            "start executors as pods",
            f"the step's pod has no token of a service account ({_ACCOUNT / 'token'} is not there). Give the steps "
            "prepare, assemble and train the account noria-spark (pods.steps.<step>.service_account)",
        )


def executor_pods(scratch: Path, cpu: int) -> dict[str, str]:
    """Spark's settings, with a template for the pods in ``scratch``.

    :param cpu: most CPUs of each; a node must have half of them free, as for the pods of steps.
    :raises NoAccount: if the step's pod may not ask for others.
    :raises SparkFailed: if its own pod cannot be read.
    """
    if not (_ACCOUNT / "token").is_file():
        raise NoAccount
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    namespace = (_ACCOUNT / "namespace").read_text().strip()
    name = socket.gethostname()
    own = _own_pod(f"https://{host}:{port}/api/v1/namespaces/{namespace}/pods/{name}")
    template = scratch / "executor.yaml"
    template.write_text(yaml.safe_dump(executor_template(own)))
    address = _own_address(host, int(port))
    return {
        "spark.master": f"k8s://https://{host}:{port}",
        "spark.kubernetes.authenticate.caCertFile": str(_ACCOUNT / "ca.crt"),
        "spark.kubernetes.authenticate.oauthTokenFile": str(_ACCOUNT / "token"),
        "spark.kubernetes.namespace": namespace,
        "spark.kubernetes.driver.pod.name": name,
        "spark.kubernetes.executor.podTemplateFile": str(template),
        "spark.kubernetes.executor.podTemplateContainerName": _EXECUTOR,
        "spark.kubernetes.executor.limit.cores": str(cpu),
        "spark.kubernetes.executor.request.cores": f"{cpu * 500}m",
        "spark.kubernetes.container.image": _step_of(own)["image"],
        "spark.kubernetes.executor.podNamePrefix": name[:40].rstrip("-."),
        "spark.driver.host": address,
        "spark.driver.bindAddress": address,
        # Work is sent to executors as programs: nobody else in the cluster may send any.
        "spark.authenticate": "true",
        "spark.network.crypto.enabled": "true",
        "spark.scheduler.minRegisteredResourcesRatio": "1.0",
        "spark.scheduler.maxRegisteredResourcesWaitingTime": "300s",
    }


def executor_template(own: Mapping[str, Any]) -> dict[str, Any]:
    """A pod like the step's own, that runs Spark's executor and may ask the cluster for nothing.

    :param own: the step's pod, as the cluster describes it.
    """
    spec = own["spec"]
    step = _step_of(own)
    hidden = {volume["name"] for volume in spec.get("volumes", []) if not _is_shared(volume)}
    container = {key: step[key] for key in _KEPT_OF_CONTAINER if key in step}
    container |= {
        "name": _EXECUTOR,
        "command": _PROGRAM,
        "volumeMounts": [one for one in step.get("volumeMounts", []) if one["name"] not in hidden],
    }
    # Not the step's other labels: by them Airflow finds the pod of a task, and there must be one only.
    labels = {key: value for key, value in own["metadata"]["labels"].items() if key in _KEPT_LABELS}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": {**labels, "app.kubernetes.io/name": "noria-spark-executor"}},
        "spec": {
            **{key: spec[key] for key in _KEPT_OF_POD if key in spec},
            "automountServiceAccountToken": False,
            "volumes": [volume for volume in spec.get("volumes", []) if volume["name"] not in hidden],
            "containers": [container],
        },
    }


def _step_of(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """The container of the step, beside which Airflow has one for the result."""
    return next(one for one in pod["spec"]["containers"] if one["name"] == "base")


def _is_shared(volume: Mapping[str, Any]) -> bool:
    """Whether executors have it, too: not the token of the account, nor the step's inputs."""
    secret = volume.get("secret", {}).get("secretName", "")
    return not ("projected" in volume or "downwardAPI" in volume or "-token-" in secret)


def _own_pod(url: str) -> dict[str, Any]:
    token = (_ACCOUNT / "token").read_text().strip()
    try:
        answer = requests.get(
            url, headers={"Authorization": f"Bearer {token}"}, verify=str(_ACCOUNT / "ca.crt"), timeout=_SECONDS
        )
        answer.raise_for_status()
    except requests.RequestException as error:
        raise SparkFailed("read the step's own pod", f"{type(error).__name__}: {error}") from error
    pod: dict[str, Any] = answer.json()
    return pod


def _own_address(host: str, port: int) -> str:
    """The address by which others of the cluster reach this pod: that from which it would call the cluster."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, port))
        address: str = probe.getsockname()[0]
    return address

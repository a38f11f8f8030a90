"""What a step's pod looks like: hardened by default, then the project's template, then the model's definition."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from airflow.sdk.exceptions import AirflowFailException

from include.spec.pods import Pod, Toleration
from include.steps.environment import quiet_environment
from plugins.operators.pods.cluster import Cluster
from plugins.operators.pods.template import BASE
from plugins.operators.step import StepCommand

Manifest = dict[str, Any]

PROGRAM = ("python", "-m", "include.steps")
SCRATCH: Final = "/scratch"
GRACE_SECONDS: Final = 5
COMMAND: Final = "noria/command"
"""Annotation with the digest of what is run: only a pod that does the same is taken up again."""

_INPUTS = "/noria-inputs"
_USER = 10001
# Linux takes at most 128 KiB as one argument, Kubernetes 256 KiB as the annotations of an object.
_LONGEST_ARGUMENT = 96 * 1024
_LONGEST_ANNOTATION = 240 * 1024
_KEYED: Final = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "imagePullSecrets": "name",
}
_REPLACED: Final = frozenset({"affinity", "env", "volumes", "volumeMounts", "command", "args"})

HARDENED_CONTAINER: Final[Manifest] = {
    "allowPrivilegeEscalation": False,
    "privileged": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def manifest_of(command: StepCommand, pod: Pod, cluster: Cluster, template: Mapping[str, Any]) -> Manifest:
    """The pod that runs a command, as Kubernetes reads it, without what KubernetesPodOperator adds.

    :param pod: what the definition says of it; keys that it does not give lie below the template, the others above.
    :raises AirflowFailException: if the inputs are too long for a pod.
    """
    given = pod.model_fields_set
    layers = (_hardened(), _wishes(pod, Pod.model_fields.keys() - given), template, _wishes(pod, given))
    manifest: Manifest = {}
    for layer in (*layers, _step(command, pod, cluster)):
        manifest = merge(manifest, layer)
    containers = manifest["spec"]["containers"]
    containers.sort(key=lambda container: container["name"] != BASE)
    for volume in manifest["spec"]["volumes"]:
        if volume["name"] == "scratch" and "emptyDir" in volume:
            volume["emptyDir"] = {"sizeLimit": pod.ephemeral_storage, **(volume["emptyDir"] or {})}
    containers[0].setdefault("image", cluster.image)
    return manifest


def merge(below: Any, above: Any, key: str = "") -> Any:
    """``above`` laid over ``below``: keys one by one, lists of named things by name; null takes a key away."""
    if isinstance(below, dict) and isinstance(above, Mapping) and key not in _REPLACED:
        merged = {name: value for name, value in below.items() if name not in above}
        for name, value in above.items():
            if value is not None:
                merged[name] = merge(below.get(name), value, name)
        return merged
    if isinstance(below, list) and isinstance(above, list):
        return _merged_list(below, above, key)
    return merge({}, above) if isinstance(above, Mapping) else above


def _merged_list(below: list[Any], above: list[Any], key: str) -> list[Any]:
    name = _KEYED.get(key)
    if name is None and key in _REPLACED:
        return above
    if name is None:
        return [*below, *(item for item in above if item not in below)]
    named = {item[name]: item for item in below}
    for item in above:
        old = named.get(item[name])
        named[item[name]] = item if key in _REPLACED or old is None else merge(old, item)
    return list(named.values())


def digest_of(command: StepCommand, manifest: Manifest) -> str:
    """A short digest of what is run: the step, its inputs, its image."""
    image = manifest["spec"]["containers"][0]["image"]
    parts = [command.step, command.model, command.as_of, command.inputs, image]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def label_value(text: str) -> str:
    """The text itself if it can be a label's value, else what of it can, with a hash in place of the rest."""
    safe = re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9_.-]|[^A-Za-z0-9]+$", "", text)
    if safe == text and len(text) <= 63:
        return text
    return f"{safe[:53].rstrip('-_.')}-{hashlib.sha256(text.encode()).hexdigest()[:9]}".lstrip("-")


def as_of_label(as_of: str) -> str:
    """An instant as a label's value: in UTC and without colons, such as ``2013-10-01T040000Z``."""
    return datetime.fromisoformat(as_of).astimezone(UTC).strftime("%Y-%m-%dT%H%M%SZ")


def _hardened() -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"labels": {"app.kubernetes.io/name": "noria-step", "app.kubernetes.io/part-of": "noria"}},
        "spec": {
            "automountServiceAccountToken": False,
            # The addresses of all Services of the namespace, as variables, might pass for settings.
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": GRACE_SECONDS,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "fsGroup": _USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": BASE,
                    "securityContext": HARDENED_CONTAINER,
                    "volumeMounts": [{"name": "scratch", "mountPath": SCRATCH}],
                }
            ],
            "volumes": [{"name": "scratch", "emptyDir": {}}],
        },
    }


def _wishes(pod: Pod, names: Collection[str]) -> Manifest:
    """The keys of a definition in Kubernetes' words; only those named."""
    spec: Manifest = {
        "nodeSelector": pod.node_selector if "node_selector" in names else {},
        "tolerations": [_toleration(one) for one in pod.tolerations] if "tolerations" in names else [],
        "affinity": pod.affinity if "affinity" in names else {},
        "imagePullSecrets": [{"name": name} for name in pod.pull_secrets] if "pull_secrets" in names else [],
        "priorityClassName": pod.priority_class if "priority_class" in names else None,
        "serviceAccountName": pod.service_account if "service_account" in names else None,
        "automountServiceAccountToken": pod.account_token if "account_token" in names else None,
    }
    base: Manifest = {
        "image": pod.image if "image" in names else None,
        "imagePullPolicy": pod.image_pull_policy if "image_pull_policy" in names else None,
        "envFrom": _environment(pod) if "environment" in names else [],
        "resources": _resources(pod, names),
    }
    return {"spec": {**_filled(spec), "containers": [{"name": BASE, **_filled(base)}]}}


def _filled(values: Manifest) -> Manifest:
    return {name: value for name, value in values.items() if value}


def _resources(pod: Pod, names: Collection[str]) -> Manifest:
    requests, limits = {}, {}
    if "cpu" in names:
        limits["cpu"] = f"{round(pod.cpu * 1000)}m"
    if {"cpu", "cpu_request"} & set(names):
        requests["cpu"] = f"{round((pod.cpu_request or pod.cpu / 2) * 1000)}m"
    for name, resource in (("memory", "memory"), ("ephemeral_storage", "ephemeral-storage")):
        if name in names:
            requests[resource] = limits[resource] = getattr(pod, name)
    if "gpu" in names and pod.gpu:
        requests[pod.gpu_resource] = limits[pod.gpu_resource] = str(pod.gpu)
    return {"requests": requests, "limits": limits}


def _toleration(toleration: Toleration) -> Manifest:
    values = toleration.model_dump(exclude_none=True)
    seconds = values.pop("seconds", None)
    return values if seconds is None else {**values, "tolerationSeconds": seconds}


def _environment(pod: Pod) -> list[Manifest]:
    secrets = [{"secretRef": {"name": name}} for name in pod.environment.secrets]
    return [*secrets, *({"configMapRef": {"name": name}} for name in pod.environment.config_maps)]


def _step(command: StepCommand, pod: Pod, cluster: Cluster) -> Manifest:
    """What is this step's alone, and no layer below may change."""
    inputs = json.dumps(command.inputs, ensure_ascii=False)
    long = len(inputs.encode()) > _LONGEST_ARGUMENT
    argument = f"@{_INPUTS}/inputs.json" if long else inputs
    base: Manifest = {
        "name": BASE,
        "command": list(PROGRAM),
        "args": [
            *(command.step, "--model", command.model, "--as-of", command.as_of),
            *("--inputs", argument, "--attempt", command.attempt),
        ],
        "env": [{"name": name, "value": value} for name, value in _variables(pod).items()],
    }
    manifest: Manifest = {
        "metadata": {
            "name": _pod_name(command),
            "namespace": cluster.namespace,
            "labels": {
                "model": command.model,
                "step": command.step,
                "run": label_value(command.run),
                "as_of": as_of_label(command.as_of),
            },
            "annotations": {
                "noria/attempt": command.attempt,
                "noria/as-of": command.as_of,
                "noria/run": command.run,
            },
        },
        "spec": {"containers": [base], "restartPolicy": "Never"},
    }
    if pod.deadline is not None:
        manifest["spec"]["activeDeadlineSeconds"] = max(1, round(pod.deadline.total_seconds()))
    return merge(manifest, _inputs_file(inputs)) if long else manifest


def _pod_name(command: StepCommand) -> str:
    """Unique like the attempt's name, which ends in twelve random digits."""
    stem = re.sub(r"[^a-z0-9]+", "-", f"{command.model}-{command.step}".lower()).strip("-")
    return f"{stem[:50].rstrip('-')}-{command.attempt[-12:]}"


def _variables(pod: Pod) -> dict[str, str]:
    """Nothing secret: secrets come from Secrets."""
    level = os.environ.get("NORIA_LOG_LEVEL")
    return {
        **quiet_environment(threads_of(pod)),
        "HOME": SCRATCH,
        "TMPDIR": SCRATCH,
        "NORIA_HOME": f"{SCRATCH}/noria",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **({"NORIA_LOG_LEVEL": level} if level else {}),
    }


def threads_of(pod: Pod) -> int:
    """Threads that the libraries of a step may use in its pod."""
    return max(1, int(pod.cpu))


def _inputs_file(inputs: str) -> Manifest:
    """Inputs that are too long for an argument: an annotation that the pod reads as a file."""
    if len(inputs.encode()) > _LONGEST_ANNOTATION:
        raise AirflowFailException(
            f"The step's inputs are {len(inputs.encode()) // 1024} KiB of JSON, and a pod takes at most "
            f"{_LONGEST_ANNOTATION // 1024} KiB. Run it for a shorter range of partitions."
        )
    source = {"path": "inputs.json", "fieldRef": {"fieldPath": "metadata.annotations['noria/inputs']"}}
    return {
        "metadata": {"annotations": {"noria/inputs": inputs}},
        "spec": {
            "containers": [{"name": BASE, "volumeMounts": [{"name": "inputs", "mountPath": _INPUTS}]}],
            "volumes": [{"name": "inputs", "downwardAPI": {"items": [source]}}],
        },
    }

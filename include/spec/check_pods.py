"""Checks of the section pods: one home for each value, and Kubernetes' own rules as far as they are known here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from include.spec.definition import Definition
from include.spec.pods import Pod, Toleration
from include.spec.problems import Finding, KeyPath, choose

_LABEL_KEY: Final = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")

# What Kubernetes lets stand in an affinity: a dict has these keys, a list holds such items, a type is a value.
_MATCH: Final[dict[str, Any]] = {"key": str, "operator": str, "values": [str]}
_NODE_TERM: Final = {"matchExpressions": [_MATCH], "matchFields": [_MATCH]}
_SELECTOR: Final = {"matchLabels": dict, "matchExpressions": [_MATCH]}
_POD_TERM: Final = {
    "labelSelector": _SELECTOR,
    "namespaceSelector": _SELECTOR,
    "namespaces": [str],
    "topologyKey": str,
}
_REQUIRED, _PREFERRED = (
    "requiredDuringSchedulingIgnoredDuringExecution",
    "preferredDuringSchedulingIgnoredDuringExecution",
)
_POD_RULES: Final[dict[str, Any]] = {
    _REQUIRED: [_POD_TERM],
    _PREFERRED: [{"weight": int, "podAffinityTerm": _POD_TERM}],
}
_AFFINITY: Final[dict[str, Any]] = {
    "nodeAffinity": {
        _REQUIRED: {"nodeSelectorTerms": [_NODE_TERM]},
        _PREFERRED: [{"weight": int, "preference": _NODE_TERM}],
    },
    "podAffinity": _POD_RULES,
    "podAntiAffinity": _POD_RULES,
}


def pod_findings(definition: Definition) -> Iterator[Finding]:
    """What is wrong with the section ``pods``."""
    yield from _pod(("pods", "default"), definition.pods.default)
    for step, pod in definition.pods.steps.items():
        yield from _pod(("pods", "steps", step), pod)
    train = definition.pods.steps.get("train")
    for key in sorted({"cpu", "memory"} & (train.model_fields_set if train else set())):
        what = f"the training step's {key} has its home in training.resources"
        yield Finding(("pods", "steps", "train", key), what, f"Write it as training.resources.{key}, and remove this.")


def _pod(keys: KeyPath, pod: Pod) -> Iterator[Finding]:
    if pod.cpu_request is not None and "cpu" in pod.model_fields_set and pod.cpu_request > pod.cpu:
        what = f"more is reserved than the step may use ({pod.cpu:g})"
        yield Finding((*keys, "cpu_request"), what, "Write at most what `cpu` says.")
    for name in ("deadline", "wait_for_node"):
        if getattr(pod, name) is not None and not getattr(pod, name):
            yield Finding((*keys, name), "nothing can be done in no time", "Write a time such as 30m.")
    for label, value in pod.node_selector.items():
        if not _LABEL_KEY.fullmatch(label) or not _LABEL_VALUE.fullmatch(value):
            what = f"{label}: {value} cannot be a node's label"
            yield Finding((*keys, "node_selector", label), what, "`kubectl get nodes --show-labels` shows them.")
    for position, toleration in enumerate(pod.tolerations):
        yield from _toleration((*keys, "tolerations", position), toleration)
    yield from _shape((*keys, "affinity"), pod.affinity, _AFFINITY)


def _toleration(keys: KeyPath, toleration: Toleration) -> Iterator[Finding]:
    if toleration.operator == "Exists" and toleration.value is not None:
        yield Finding(keys, "with `operator: Exists` no value counts", "Remove the value, or write `operator: Equal`.")
    if toleration.operator == "Equal" and toleration.key is None:
        yield Finding(keys, "it names no taint", "Add `key`, or write `operator: Exists` for all taints.")
    if toleration.seconds is not None and toleration.effect != "NoExecute":
        yield Finding(keys, "only `effect: NoExecute` lasts a time", "Remove `seconds`, or write that effect.")


def _shape(keys: KeyPath, value: Any, wanted: Any) -> Iterator[Finding]:
    """Where a value differs from the shape that Kubernetes gives it."""
    kind: Any = wanted if isinstance(wanted, type) else type(wanted)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        names = {dict: "keys with values", list: "a list", str: "text", int: "a whole number"}
        yield Finding(keys, "Kubernetes has another type here", f"Write {names[kind]}.")
    elif isinstance(wanted, dict):
        for key, inner in value.items():
            if key in wanted:
                yield from _shape((*keys, key), inner, wanted[key])
            else:
                yield Finding((*keys, key), "there is no such key in Kubernetes", choose(key, wanted, kind="keys here"))
    elif isinstance(wanted, list):
        for position, inner in enumerate(value):
            yield from _shape((*keys, position), inner, wanted[0])

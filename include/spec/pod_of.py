"""The pod of one step: what the definition says of it, of all pods, and in ``training.resources``."""

from __future__ import annotations

from typing import Final

from include.spec.definition import Definition
from include.spec.pods import Pod

_TRAIN = "train"
_RESOURCES = ("cpu", "memory")
#: The steps that an engine may spread over several machines.
SPREAD: Final = ("prepare", "assemble", "train")
_ACCOUNT: Final = "noria-spark"


def pod_of(definition: Definition, step: str) -> Pod:
    """What holds for a step's pod.

    ``training.resources`` is the home of the training step's CPU and memory, in a pod and elsewhere.
    """
    own = next((pod for name, pod in definition.pods.steps.items() if name == step), None)
    values = {name: getattr(own, name) for name in own.model_fields_set} if own is not None else {}
    if step == _TRAIN:
        values |= {"cpu": float(definition.training.resources.cpu), "memory": definition.training.resources.memory}
    if definition.engine.name == "spark" and step in SPREAD:
        default = definition.pods.default
        values["service_account"] = values.get("service_account") or default.service_account or _ACCOUNT
        if values.get("account_token") is None:
            values["account_token"] = default.account_token is not False
    if values.get("deadline") is None:
        values["deadline"] = definition.pods.default.deadline or definition.execution.timeout
    return definition.pods.default.model_copy(update=values)


def home_of(step: str, key: str) -> str:
    """The key of a definition with which a value of one step's pod is changed."""
    if step == _TRAIN and key in _RESOURCES:
        return f"training.resources.{key}"
    return f"pods.steps.{step}.{key}"

"""The addresses that take a body: which model, which version, in which protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from include.serving.access import Scope
from include.serving.protocols.calls import Protocol
from include.serving.protocols.mlflow import MLFLOW
from include.serving.protocols.rows import ROWS
from include.serving.protocols.v2 import V2

Kind = Literal["predict", "explain", "feedback"]


@dataclass(frozen=True, slots=True)
class Address:
    """What an address asks for.

    :param version: the version as the caller wrote it, or None for whoever answers in production.
    """

    kind: Kind
    model: str
    version: str | None
    protocol: Protocol


_LAST: Final[dict[str, tuple[Kind, Protocol]]] = {
    "predict": ("predict", ROWS),
    "invocations": ("predict", MLFLOW),
    "explain": ("explain", ROWS),
    "feedback": ("feedback", ROWS),
}


def resolve(path: str) -> Address | None:
    """The address of a path, or None if it is none of these.

    ``/models/{m}/predict``, ``…/invocations``, ``…/explain``, ``…/feedback``, ``/models/{m}/versions/{v}/predict``,
    ``/v2/models/{m}/infer``, ``/v2/models/{m}/versions/{v}/infer``.
    """
    match path.split("/"):
        case ["", "models", model, last] if last in _LAST:
            kind, protocol = _LAST[last]
            return Address(kind, model, None, protocol)
        case ["", "models", model, "versions", version, "predict"]:
            return Address("predict", model, version, ROWS)
        case ["", "v2", "models", model, "infer"]:
            return Address("predict", model, None, V2)
        case ["", "v2", "models", model, "versions", version, "infer"]:
            return Address("predict", model, version, V2)
    return None


def scope_of(path: str) -> Scope | None:
    """Which token another address asks for; None if it is open to everybody."""
    if path == "/metrics" or path == "/models" or path.startswith("/models/"):
        return "admin"
    return "predict" if path.startswith("/v2/models/") else None


def model_of(path: str) -> str | None:
    """The model that an address of :func:`scope_of` is about; None if it is about all of them."""
    match path.split("/"):
        case ["", "models", model, *_] | ["", "v2", "models", model, *_]:
            return model
    return None

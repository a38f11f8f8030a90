"""The documents of the Open Inference Protocol about server and models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from include.serving.protocols.v2_outputs import output_metadata

DATATYPES = {"string": "BYTES", "integer": "INT64", "number": "FP64", "boolean": "BOOL", "timestamp": "BYTES"}
"""The datatype that a column of each type is told to have; others that hold its values are read too."""


def server_metadata() -> dict[str, Any]:
    """``GET /v2``."""
    return {"name": "noria", "version": _version(), "extensions": ["binary_tensor_data"]}


def server_live() -> dict[str, Any]:
    """``GET /v2/health/live``."""
    return {"live": True}


def server_ready(ready: bool) -> dict[str, Any]:
    """``GET /v2/health/ready``; status 200 if ready, else 503."""
    return {"ready": ready}


def model_metadata(
    model: str,
    versions: Sequence[int],
    columns: Mapping[str, str],
    entity: Mapping[str, str] | None = None,
    *,
    trainer: str = "xgboost",
    classes: Sequence[str] = (),
) -> dict[str, Any]:
    """``GET /v2/models/{model}`` and ``…/versions/{version}``.

    :param versions: the versions in state, or the one that is asked for.
    :param columns: the inputs and their types, all required.
    :param entity: the entity columns; those that are no inputs are listed as optional.
    :param trainer: the kind of trainer that the model is of.
    :param classes: whose probabilities it answers, in order.
    """
    extra = {name: kind for name, kind in (entity or {}).items() if name not in columns}
    return {
        "name": model,
        "versions": [str(version) for version in versions],
        "platform": f"noria_{trainer}",
        "inputs": [_tensor(name, kind) for name, kind in columns.items()]
        + [{**_tensor(name, kind), "parameters": {"optional": True}} for name, kind in extra.items()],
        "outputs": output_metadata(classes),
    }


def model_ready(model: str, version: int | None, ready: bool) -> dict[str, Any]:
    """``GET /v2/models/{model}[/versions/{version}]/ready``; status 200 if ready, else 503."""
    return {"name": model, "version": None if version is None else str(version), "ready": ready}


def _tensor(name: str, kind: str) -> dict[str, Any]:
    tensor = {"name": name, "datatype": DATATYPES[kind], "shape": [-1]}
    return {**tensor, "parameters": {"content": "ISO 8601"}} if kind == "timestamp" else tensor


def _version() -> str:
    try:
        return metadata.version("noria")
    except metadata.PackageNotFoundError:
        return "0.1.0"

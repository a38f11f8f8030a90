"""Where step pods run: the Airflow connection ``noria_kubernetes``, the one home of cluster, namespace and image."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from include.settings import PROJECT

CONNECTION: Final = "noria_kubernetes"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What the connection's extra says beside the address of the cluster, which the provider's hook reads.

    :param namespace: namespace of the pods.
    :param image: image of the steps, unless a definition names another.
    :param sidecar_image: image of the container that keeps the result until Airflow has read it; needs a shell. None:
        that of the step.
    :param pod_template: YAML file of a pod that all step pods start from.
    :param deferrable: whether a task leaves its worker slot while its pod runs.
    :param defer_after: seconds for which a task watches its pod in the worker first, since a short step then saves the
        way through the triggerer.
    """

    namespace: str
    image: str
    sidecar_image: str | None = None
    pod_template: Path | None = None
    deferrable: bool = True
    defer_after: float = 5.0


class _Extra(BaseModel):
    """The keys that are Noria's; all others are the provider's own (kube_config_path, in_cluster, …)."""

    model_config = ConfigDict(extra="ignore")

    namespace: str = Field(min_length=1)
    image: str = Field(min_length=1)
    xcom_sidecar_container_image: str | None = None
    pod_template: str | None = None
    deferrable: bool = True
    defer_after: float = Field(5.0, ge=0)


def read_cluster() -> Cluster:
    """Read the connection.

    :raises AirflowFailException: if there is none, or its extra lacks something; a retry cannot help.
    """
    try:
        connection = BaseHook.get_connection(CONNECTION)
    except AirflowNotFoundException:
        raise AirflowFailException(
            f"There is no Airflow connection {CONNECTION}, which says where step pods run. "
            "airflow_settings.yaml has one to start from: python -m plugins.settings_loader airflow_settings.yaml"
        ) from None
    return _cluster(connection.extra or "{}")


def _cluster(extra: str) -> Cluster:
    try:
        document: Any = json.loads(extra)
        found = _Extra.model_validate({k: v for k, v in document.items() if v not in (None, "")})
    except (ValueError, AttributeError) as error:
        problems = (
            "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False))
            if isinstance(error, ValidationError)
            else "it is no JSON object"
        )
        raise AirflowFailException(
            f"The extra of the Airflow connection {CONNECTION} is wrong ({problems}). It needs namespace and image; "
            "airflow_settings.yaml explains its keys."
        ) from None
    return Cluster(
        namespace=found.namespace,
        image=found.image,
        sidecar_image=found.xcom_sidecar_container_image,
        pod_template=PROJECT / found.pod_template if found.pod_template else None,
        deferrable=found.deferrable,
        defer_after=found.defer_after,
    )

"""What a definition says of the pods in which its steps run, where Airflow runs them in Kubernetes."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from include.spec.section import Duration, Section

StepName = Literal[
    "ingest", "gate", "publish", "prepare", "audit", "assemble", "train", "evaluate", "decide", "register", "deploy",
    "verify", "stage", "assess", "ask", "promote", "withdraw", "replay", "rollback", "choose", "score", "monitor",
    "drain", "retire", "archive", "free", "restore",
]  # fmt: skip
Place = Literal["pod", "airflow"]

_NAME: Final = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"
_SIZE: Final = r"^[1-9][0-9]*(Mi|Gi)$"

ObjectName = Annotated[str, Field(pattern=_NAME)]


class Toleration(Section):
    """A taint of nodes that the pod puts up with."""

    key: str | None = Field(None, description="Key of the taint; with `operator: Exists` it may be left out.")
    operator: Literal["Equal", "Exists"] = Field("Equal", description="Whether the value counts.")
    value: str | None = Field(None, description="Value of the taint, with `operator: Equal`.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Effect of the taint; all of them if left out."
    )
    seconds: int | None = Field(None, ge=0, description="How long it is put up with (`NoExecute`).")


class PodEnvironment(Section):
    """Objects of the pod's namespace whose keys become the step's environment variables."""

    secrets: list[ObjectName] = Field(
        default_factory=list, description="Secrets, such as the one with `NORIA_DATABASE_URL`."
    )
    config_maps: list[ObjectName] = Field(default_factory=list, description="ConfigMaps, such as one with `TZ`.")


class Pod(Section):
    """What a step's pod may use and where it may run."""

    place: Place | None = Field(
        None,
        description="`pod`, or `airflow`: as a process beside Airflow. Left out: light steps, which decide or change "
        "state and neither read tables nor compute, stay beside Airflow, all others get a pod.",
    )
    cpu: float = Field(1.0, gt=0, description="Most CPUs; also the number of threads, rounded down.")
    cpu_request: float | None = Field(
        None, gt=0, description="CPUs that a node must have free for it; half of `cpu` if left out."
    )
    memory: str = Field("2Gi", pattern=_SIZE, description="Memory, reserved and at most, such as `4Gi`.")
    ephemeral_storage: str = Field(
        "4Gi", pattern=_SIZE, description="Disk for its scratch folder and its log, reserved and at most."
    )
    gpu: int = Field(0, ge=0, description="Number of GPUs.")
    gpu_resource: str = Field("nvidia.com/gpu", pattern=r"^[a-z0-9.-]+/[a-z0-9.-]+$", description="Which kind of GPU.")
    node_selector: dict[str, str] = Field(default_factory=dict, description="Labels that its node must have.")
    tolerations: list[Toleration] = Field(default_factory=list, description="Taints that it puts up with.")
    affinity: dict[str, Any] = Field(
        default_factory=dict,
        description="As Kubernetes writes it: nodeAffinity, podAffinity, podAntiAffinity.",
    )
    priority_class: ObjectName | None = Field(None, description="Its PriorityClass.")
    service_account: ObjectName | None = Field(
        None, description="Its ServiceAccount; `noria-spark` if left out for the steps that the engine spark spreads."
    )
    account_token: bool | None = Field(
        None,
        description="Whether it gets the account's token, with which it can ask things of the cluster. Left out: only "
        "the steps that the engine spark spreads get it, to start their executors.",
    )
    image: str | None = Field(
        None, pattern=r"^[^\s]+$", description="Its image; that of the connection `noria_kubernetes` if left out."
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        None, description="When its image is pulled; Kubernetes' own rule if left out."
    )
    pull_secrets: list[ObjectName] = Field(default_factory=list, description="Secrets with which images are pulled.")
    environment: PodEnvironment = Field(
        PodEnvironment(), description="Where its environment variables come from; secrets come in no other way."
    )
    deadline: Duration | None = Field(
        None, description="After this time on its node it is ended; `execution.timeout` if left out."
    )
    wait_for_node: Duration = Field(
        timedelta(minutes=10), description="How long it may wait for a node with room; then the try fails."
    )


class Pods(Section):
    """How steps run in Kubernetes (`NORIA_STEP_MODE=kubernetes`); in local mode nothing of it counts."""

    default: Pod = Field(Pod(), description="For all steps. The cpu and memory of train are in `training.resources`.")
    steps: dict[StepName, Pod] = Field(
        default_factory=dict,
        description="For single steps: a key that is given here goes before that of `default`; all others keep it.",
    )

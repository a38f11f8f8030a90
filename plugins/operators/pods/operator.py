"""KubernetesPodOperator for a pod that Noria has described in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from kubernetes.client import CoreV1Api, V1EmptyDirVolumeSource, V1Pod, V1ResourceRequirements

from plugins.operators.pods.api import SIDECAR
from plugins.operators.pods.cluster import CONNECTION
from plugins.operators.pods.manifest import HARDENED_CONTAINER, Manifest

if TYPE_CHECKING:
    from airflow.sdk import Context

_RESULT_LIMIT: Final = "16Mi"
# The provider's own sidecar only listens to SIGINT, so that each deletion would last its whole grace.
_KEEP: Final = 'trap "exit 0" INT TERM; while true; do sleep 1 & wait $!; done'


class StepPodOperator(KubernetesPodOperator):
    """
    Makes a step's pod, with the provider's labels and its sidecar for the result; hardened like the step itself.

    It is not a task of its own: StepOperator uses it within its task, and waits for the pod in its own way.

    :param manifest: The pod, see ``plugins.operators.pods.manifest``.
    :param sidecar_image: Image of the sidecar; that of the step if it is None.
    """

    def __init__(self, *, manifest: Manifest, sidecar_image: str | None = None, **kwargs: Any) -> None:
        super().__init__(
            kubernetes_conn_id=CONNECTION,
            namespace=manifest["metadata"]["namespace"],
            name=manifest["metadata"]["name"],
            random_name_suffix=False,
            pod_template_dict=manifest,
            do_xcom_push=True,
            xcom_sidecar_container_security_context=dict(HARDENED_CONTAINER),
            # The end of the step's log, for the case that the log itself cannot be read any more.
            termination_message_policy="FallbackToLogsOnError",
            **kwargs,
        )
        self.sidecar_image = sidecar_image

    def build_pod_request_obj(self, context: Context | None = None, *, dry_run: bool = False) -> V1Pod:
        """The pod as it is sent to the cluster."""
        pod = super().build_pod_request_obj(context, dry_run=dry_run)
        base = pod.spec.containers[0]
        sidecar = next(one for one in pod.spec.containers if one.name == SIDECAR)
        sidecar.image = self.sidecar_image or base.image
        sidecar.image_pull_policy = base.image_pull_policy
        sidecar.command = ["sh", "-c", _KEEP]
        sidecar.resources = V1ResourceRequirements(
            requests={"cpu": "5m", "memory": "32Mi", "ephemeral-storage": "32Mi"},
            limits={"cpu": "200m", "memory": "32Mi", "ephemeral-storage": "32Mi"},
        )
        for volume in pod.spec.volumes:
            if volume.name == "xcom":
                volume.empty_dir = V1EmptyDirVolumeSource(size_limit=_RESULT_LIMIT)
        return pod

    def labels_of(self, context: Context) -> dict[str, str]:
        """Labels by which the pods of a task are found, whatever try made them."""
        return dict(self._get_ti_pod_labels(context, include_try_number=False))

    def connect(self) -> CoreV1Api:
        """A new client for the connection's cluster."""
        return KubernetesHook(conn_id=CONNECTION).core_v1_client

"""The link in Airflow's UI from a task to the page of its pod."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

PREFIX: Final = "/noria"
"""Where the plugin's pages are on Airflow's server."""

RECORD: Final = "noria_pod"
"""XCom key of what is kept of a pod: name, namespace, node, times, and its events, which Kubernetes forgets."""


class PodLink(BaseOperatorLink):
    """Leads to the pod's events and state, also after Kubernetes has forgotten them."""

    name = "Pod"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's own signature
        """Address of the page."""
        return page_of(ti_key)


def page_of(ti: Any) -> str:
    """Address of the page of a task instance's pod.

    :param ti: what has dag_id, run_id, task_id and map_index.
    """
    from airflow.sdk.configuration import conf

    base = str(conf.get("api", "base_url", fallback="") or "").rstrip("/")
    path = "/".join(quote(part, safe="") for part in (ti.dag_id, ti.task_id))
    index = ti.map_index if ti.map_index is not None else -1
    query = urlencode({"run_id": ti.run_id, **({"map_index": index} if index >= 0 else {})})
    return f"{base}{PREFIX}/pods/{path}?{query}"

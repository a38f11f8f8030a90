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
    return task_page(f"pods/{quote(ti.dag_id, safe='')}/{quote(ti.task_id, safe='')}", ti)


def task_page(path: str, ti: Any) -> str:
    """Address of a page of ours about a task instance.

    :param path: below :data:`PREFIX`.
    :param ti: what has run_id and map_index.
    """
    from airflow.sdk.configuration import conf

    base = str(conf.get("api", "base_url", fallback="") or "").rstrip("/")
    index = ti.map_index if ti.map_index is not None else -1
    query = urlencode({"run_id": ti.run_id, **({"map_index": index} if index >= 0 else {})})
    return f"{base}{PREFIX}/{path}?{query}"

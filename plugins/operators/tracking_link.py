"""The link in Airflow's UI from a task to the MLflow run of the version that it makes, judges or deploys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

from plugins.operators.pod_link import task_page

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

TRACKED: Final = frozenset({"train", "evaluate", "decide", "register", "deploy", "verify", "ask", "promote"})
"""Steps that are about one version, and so about one run in MLflow."""


class TrackingLink(BaseOperatorLink):
    """Leads to the run through a page of ours: which run it is, is known only when the task has ended."""

    name = "MLflow run"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's own signature
        """Address of the page that leads on."""
        return task_page(f"tasks/{quote(ti_key.dag_id, safe='')}/{quote(ti_key.task_id, safe='')}/mlflow", ti_key)

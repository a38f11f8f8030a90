"""The link in Airflow's UI from a task to the page that its step has written, such as a gate's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

from plugins.operators.pod_link import task_page

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

REPORTING: Final = frozenset({"gate", "evaluate", "decide", "monitor"})
"""Steps that write a page."""


class ReportLink(BaseOperatorLink):
    """Leads to the page that the task's last try has written, also if a gate has refused."""

    name = "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's own signature
        """Address of the page."""
        return task_page(f"tasks/{quote(ti_key.dag_id, safe='')}/{quote(ti_key.task_id, safe='')}/report", ti_key)

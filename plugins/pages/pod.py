"""The page of a task's pod: what was kept of it when it ended, and before that what the cluster says now."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.models.xcom import XComModel
from sqlalchemy import select

from include.reports.layout import render_page
from plugins.operators.pod_link import RECORD

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Page:
    """A page, and whether there was anything to show."""

    html: str
    found: bool


def pod_page(session: Session, *, dag_id: str, task_id: str, run_id: str, map_index: int) -> Page:
    """The page of a task instance's pod."""
    where = {"dag": dag_id, "task": task_id, "run": run_id}
    record = _record(session, dag_id, task_id, run_id, map_index)
    if record is None:
        return Page(render_page("pod.html", where=where, pod=None, events=[], note=""), found=False)
    note = ""
    if "phase" not in record:
        record, note = _live(record)
    shown = {"node": None, "phase": None, "started": "", "events": [], **record}
    return Page(render_page("pod.html", where=where, pod=shown, events=shown["events"], note=note), found=True)


def _record(session: Session, dag_id: str, task_id: str, run_id: str, map_index: int) -> dict[str, Any] | None:
    value = session.scalar(
        select(XComModel.value).where(
            XComModel.dag_id == dag_id,
            XComModel.task_id == task_id,
            XComModel.run_id == run_id,
            XComModel.map_index == map_index,
            XComModel.key == RECORD,
        )
    )
    found = json.loads(value) if isinstance(value, str) else value
    return found if isinstance(found, dict) else None


def _live(record: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The record of a pod that has not ended, with what the cluster says now; a note if it cannot be asked."""
    try:
        pod, events = _ask(str(record["name"]), str(record["namespace"]))
    except Exception as error:  # noqa: BLE001 - the page is worth showing whatever keeps the cluster from answering
        log.warning("the cluster could not be asked: %s", error)
        return dict(record), "The cluster cannot be asked from here; the task's log has what was seen until now."
    if pod is None:
        return dict(record), "The pod is gone, and its task has not said yet how it ended."
    state = {"node": pod.spec.node_name, "phase": pod.status.phase, "started": str(pod.status.start_time or "")}
    return {**record, **state, "events": events}, "As it is now; reload the page for newer events."


def _ask(name: str, namespace: str) -> tuple[Any, Sequence[dict[str, Any]]]:
    from airflow.providers.cncf.kubernetes.hooks.kubernetes import KubernetesHook
    from kubernetes.client.rest import ApiException

    from plugins.operators.pods.cluster import CONNECTION
    from plugins.operators.pods.events import events_of

    client = KubernetesHook(conn_id=CONNECTION).core_v1_client
    try:
        pod = client.read_namespaced_pod(name, namespace, _request_timeout=5)
    except ApiException as error:
        if error.status != 404:
            raise
        pod = None
    found = client.list_namespaced_event(
        namespace, field_selector=f"involvedObject.name={name}", limit=200, _request_timeout=5
    )
    return pod, events_of(found.items)

"""The links from a task to the page that its step has written, and to the MLflow run that it is about."""

from __future__ import annotations

from types import SimpleNamespace

from plugins.operators.report_link import ReportLink
from plugins.operators.step import StepOperator
from plugins.operators.tracking_link import TrackingLink


def links_of(step: str) -> list[str]:
    task = StepOperator(task_id="one", model="m", step=step, as_of="2026-01-01T00:00:00+00:00")
    return [link.name for link in task.operator_extra_links]


def test_steps_that_write_a_page_or_are_about_a_version_have_links_and_others_have_none() -> None:
    steps = ("gate", "evaluate", "decide", "monitor", "train", "register", "deploy", "promote", "ingest")
    assert {step: links_of(step) for step in steps} == {
        "gate": ["Report"],
        "evaluate": ["Report", "MLflow run"],
        "decide": ["Report", "MLflow run"],
        "monitor": ["Report"],
        "train": ["MLflow run"],
        "register": ["MLflow run"],
        "deploy": ["MLflow run"],
        "promote": ["MLflow run"],
        "ingest": [],
    }


def test_the_links_name_the_run_and_quote_it() -> None:
    ti = SimpleNamespace(dag_id="m.data", task_id="gate_raw", run_id="manual__2026-01-01T00:00:00+00:00", map_index=-1)
    query = "run_id=manual__2026-01-01T00%3A00%3A00%2B00%3A00"
    for link, page in ((ReportLink(), "report"), (TrackingLink(), "mlflow")):
        address = link.get_link(None, ti_key=ti)  # type: ignore[arg-type]
        assert address.endswith(f"/noria/tasks/m.data/gate_raw/{page}?{query}")

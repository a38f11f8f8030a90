"""The link from a task to the page that its step has written."""

from __future__ import annotations

from types import SimpleNamespace

from plugins.operators.report_link import ReportLink
from plugins.operators.step import StepOperator


def links_of(step: str) -> list[str]:
    task = StepOperator(task_id="one", model="m", step=step, as_of="2026-01-01T00:00:00+00:00")
    return [link.name for link in task.operator_extra_links]


def test_steps_that_write_a_page_have_the_link_and_others_have_not() -> None:
    assert {step: links_of(step) for step in ("gate", "evaluate", "decide", "monitor", "train")} == {
        "gate": ["Report"],
        "evaluate": ["Report"],
        "decide": ["Report"],
        "monitor": ["Report"],
        "train": [],
    }


def test_the_link_names_the_run_and_quotes_it() -> None:
    ti = SimpleNamespace(dag_id="m.data", task_id="gate_raw", run_id="manual__2026-01-01T00:00:00+00:00", map_index=-1)
    link = ReportLink().get_link(None, ti_key=ti)  # type: ignore[arg-type]
    assert link.endswith("/noria/tasks/m.data/gate_raw/report?run_id=manual__2026-01-01T00%3A00%3A00%2B00%3A00")

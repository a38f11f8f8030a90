"""Runs started by the schedule."""

from __future__ import annotations

import pytest

from include.stack.airflow_api import FINISHED
from tests.e2e.line import Document, Line, wait
from tests.e2e.models import shorten

pytestmark = pytest.mark.e2e


def test_cron_starts_the_data_run_and_an_archive_is_not_an_error(line: Line) -> None:
    def every_minute(document: Document) -> None:
        shorten(document)
        document["schedule"] = {"data": "* * * * *"}

    line.define("flights_cron", "flight_delay", every_minute)
    line.land_flights()
    line.wait_for_dag("flights_cron.data")

    def scheduled() -> list[str]:
        runs = line.api.runs("flights_cron.data")
        return [run["state"] for run in runs if run["run_type"] == "scheduled" and run["state"] in FINISHED]

    wait(lambda: bool(scheduled()), 150, "no scheduled run ended")
    (line.home / "dags" / "flights_cron.py").unlink()
    assert set(scheduled()) == {"success"}

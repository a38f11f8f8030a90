"""Runs started by the schedule, and what is told when one of them cannot end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from urllib.parse import unquote

import pytest

from include.stack.airflow_api import FINISHED
from tests.alerts.receivers import Hook, webhook
from tests.e2e.line import Document, Line, wait
from tests.e2e.models import make_live, shorten

pytestmark = [pytest.mark.e2e, pytest.mark.by_turns]

EVERY_MINUTE = "* * * * *"


@pytest.fixture(scope="module")
def hook(line: Line) -> Iterator[Hook]:
    """Two models with a cron, both at once so that they wait for the same minute; the live one's webhook."""

    def archive(document: Document) -> None:
        shorten(document)
        document["schedule"] = {"data": EVERY_MINUTE}

    def live(document: Document) -> None:
        make_live(document)
        document["schedule"] = {"data": EVERY_MINUTE}
        document["alerts"] = {"to": ["missed_hook"], "data_deadline": "2s"}

    with webhook() as hook:
        line.connect_webhook("missed_hook", hook.port)
        line.define("flights_cron", "flight_delay", archive)
        line.define("flights_missed", "flight_delay", live)
        line.land_flights()
        yield hook


def test_cron_starts_the_data_run_and_an_archive_is_not_an_error(line: Line, hook: Hook) -> None:
    line.wait_for_dag("flights_cron.data")

    def scheduled() -> list[str]:
        runs = line.api.runs("flights_cron.data")
        return [run["state"] for run in runs if run["run_type"] == "scheduled" and run["state"] in FINISHED]

    wait(lambda: bool(scheduled()), 150, "no scheduled run ended")
    (line.home / "dags" / "flights_cron.py").unlink()
    assert set(scheduled()) == {"success"}


def test_a_partition_that_does_not_come_is_told_by_its_deadline_though_its_run_still_waits(
    line: Line, hook: Hook
) -> None:
    line.wait_for_dag("flights_missed.data")
    wait(lambda: bool(hook.bodies), 150, "the deadline was not told")
    told = hook.bodies[0]
    assert (told["event"], told["model"]) == ("missed_partition", "flights_missed")
    assert date.fromisoformat(told["subject"]) >= date.today() - timedelta(days=2)  # noqa: DTZ011 - its own clock
    assert "has not ended 2s after its start" in told["reason"]
    run = unquote(told["link"].rsplit("/", 1)[-1])
    assert line.state("flights_missed.data", run) == "running"
    (line.home / "dags" / "flights_missed.py").unlink()
    assert len({body["id"] for body in hook.bodies}) == len(hook.bodies)

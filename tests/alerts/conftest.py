"""Receivers, and an alert to send."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from include.alerts.alert import Alert, Places
from tests.alerts.receivers import Hook, Postbox, mail_server, webhook

PLACES = Places(airflow_url="https://airflow.example", tracking_url="https://mlflow.example", store="/store")


@pytest.fixture
def hook() -> Iterator[Hook]:
    with webhook() as running:
        yield running


@pytest.fixture
def postbox() -> Iterator[Postbox]:
    with mail_server() as running:
        yield running


def an_alert(number: int = 1, **values: Any) -> Alert:
    """A refused day; each number is another piece of news."""
    given: dict[str, Any] = {
        "model": "late",
        "event": "gate_refused",
        "subject": f"2013-03-{number:02}",
        "told_once_for": ("raw", f"2013-03-{number:02}"),
        "title": f"The raw gate of late refused 2013-03-{number:02}",
        "reason": "distance must be at least 0 & below <5000>; found: -1",
        "at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "as_of": datetime(2013, 3, 3, 5, tzinfo=UTC),
        "run": "late.data/manual__1",
        "links": {"run": PLACES.run("late.data/manual__1"), "page": PLACES.page("reports/late/gate.html")},
        "details": {"rows": 3},
    }
    return Alert(**given | values)

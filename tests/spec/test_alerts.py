"""The section alerts, and the limits of retraining: what is taken, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from include.spec.definition import Definition
from tests.spec.conftest import Write, said_of

END = "  slices: [carrier]\n"


def with_alerts(text: str) -> tuple[str, str]:
    return END, f"{END}{text}\n"


def test_left_out_everything_is_told_to_those_whom_the_platform_names(load: Callable[..., Definition]) -> None:
    alerts = load().alerts

    assert alerts.to is None
    assert alerts.wants("drift")
    assert alerts.wants("task_failed")


def test_channels_events_and_times_are_read(load: Callable[..., Definition]) -> None:
    alerts = load(with_alerts("alerts: {to: [ops_webhook], on: [drift, decay], data_deadline: 3h}")).alerts

    assert alerts.to == ["ops_webhook"]
    assert [alerts.wants(event) for event in ("drift", "decay", "promotion")] == [True, True, False]
    assert alerts.data_deadline == timedelta(hours=3)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("alerts: {to: ops_webhook}", "alerts.to", "list"),
        ("alerts: {to: ['https://hooks.example/T0/SECRET']}", "alerts.to", "match"),
        ("alerts: {on: [drifts]}", "alerts.on", "drift"),
        ("alerts: {data_deadline: 0s}", "alerts.data_deadline", "more than 0 seconds"),
        ("alerts: {approval_after: soon}", "alerts.approval_after", "duration"),
        ("monitoring: {retrain: {at_most_per_week: 0}}", "monitoring.retrain.at_most_per_week", "at least 1"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_key(write: Write, text: str, key: str, words: str) -> None:
    assert words in said_of(write(with_alerts(text)), key)

"""Answers with labels, for the judge of quality: a version's own, by the event's time, each with its newest label."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from include.evaluation.answers import Answers
from include.serving.labelled import request_answers
from include.settings import Settings
from tests.serving.judged_traffic import MODEL, Traffic
from tests.training.factories import make_definition

DECEMBER = datetime.fromisoformat("2013-12-01T00:00:00-05:00")
DEFINITION = make_definition(
    model=MODEL,
    source={
        "event_time": "scheduled_at",
        "entity": ["number"],
        "columns": {"scheduled_at": "timestamp", "number": "integer", "delay": "number"},
    },
    features={"hour": {"expression": "hour(scheduled_at)"}},
)


@pytest.fixture
def traffic(settings: Settings) -> Traffic:
    return Traffic(settings, datetime(2026, 1, 5, tzinfo=UTC))


def read(
    settings: Settings, *, version: int = 1, first: int = 0, days: int = 12, since: datetime = DECEMBER
) -> Answers:
    start = DECEMBER + timedelta(days=first)
    found = request_answers(settings, DEFINITION, version, start, start + timedelta(days=days), since=since)
    assert found is not None
    return found


def test_without_a_log_there_is_nothing(settings: Settings) -> None:
    assert request_answers(settings, DEFINITION, 1, DECEMBER, DECEMBER, since=DECEMBER) is None


def test_answers_are_given_with_and_without_labels(traffic: Traffic) -> None:
    traffic.send(120, labels=True)
    traffic.send(60)
    found = read(traffic.settings)

    assert (found.rows, found.labelled().rows, found.labelled().answered) == (180, 120, 180)
    assert set(np.unique(found.labelled().labels)) == {0.0, 1.0}
    assert np.all((found.predictions > 0) & (found.predictions < 1))


def test_the_events_time_says_what_is_in_the_window_whenever_the_request_came(traffic: Traffic) -> None:
    traffic.send(120, labels=True)  # ten events on each of twelve days
    found = read(traffic.settings, first=2, days=3)

    assert found.answered == 30
    assert set(found.partitions) == {"2013-12-03", "2013-12-04", "2013-12-05"}


def test_the_newest_label_wins_a_repeated_one_counts_once_and_an_unknown_one_not_at_all(traffic: Traffic) -> None:
    traffic.send(3)
    for minutes, label in enumerate((0.0, 0.0, 1.0)):
        traffic.label({"r0": label, "r1": 0.0, "nobody": 1.0}, minutes=minutes)
    found = read(traffic.settings)

    assert (found.labelled().rows, found.answered) == (2, 3)
    assert sorted(found.labelled().labels) == [0.0, 1.0]


def test_other_versions_shadow_scores_and_failures_do_not_count(traffic: Traffic) -> None:
    traffic.send(80, share=0.5, labels=True)

    assert read(traffic.settings, version=1).answered == 40
    assert read(traffic.settings, version=2).answered == 40
    traffic.send(40, share=1.0, fails=lambda _: True, labels=True)
    assert read(traffic.settings, version=2).answered == 40


def test_what_came_before_the_version_was_there_is_not_looked_at(traffic: Traffic) -> None:
    traffic.send(12)

    assert read(traffic.settings, since=traffic.start).answered == 12
    assert read(traffic.settings, since=traffic.start + timedelta(hours=1)).answered == 0

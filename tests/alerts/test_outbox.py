"""The outbox: written once, delivered until it is taken, by one process at a time, and given up with a record."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from include.alerts import outbox
from include.alerts.outbox import Delivered
from include.alerts.sending import Channel, SendFailed
from include.alerts.webhook import Webhook
from include.registry import database
from include.settings import Settings
from tests.alerts.conftest import an_alert
from tests.alerts.receivers import Hook
from tests.connections import connections

pytestmark = pytest.mark.database


def deliver(settings: Settings, hook: Hook, seconds: float = 10) -> Delivered:
    return outbox.deliver(settings, lambda _: Webhook(url=hook.url), seconds=seconds)


def deliveries(settings: Settings) -> list[tuple[Any, ...]]:
    with database.transaction(settings.database_url) as connection:
        rows = connection.execute(
            text("SELECT channel, state, attempts, error FROM alert_delivery ORDER BY alert_id, channel")
        )
        return [tuple(row) for row in rows]


def later(settings: Settings, by: timedelta) -> None:
    """As if so much time had passed."""
    with database.transaction(settings.database_url) as connection:
        connection.execute(text("UPDATE alert SET expires_at = expires_at - :by"), {"by": by})
        connection.execute(
            text(
                "UPDATE alert_delivery SET next_at = next_at - :by, attempted_at = attempted_at - :by, "
                "leased_until = leased_until - :by"
            ),
            {"by": by},
        )


def test_the_same_news_is_written_once_however_many_write_it_at_once(stored_settings: Settings) -> None:
    news = [(an_alert(number), ["hook"]) for number in (2, 1)]
    with ThreadPoolExecutor(6) as pool:
        written = list(pool.map(lambda pairs: outbox.write(stored_settings, pairs), [news, news[::-1]] * 6))

    assert sorted(alert.subject for alerts in written for alert in alerts) == ["2013-03-01", "2013-03-02"]
    assert len(deliveries(stored_settings)) == 2


def test_without_channels_nothing_is_sent_then_or_later(stored_settings: Settings, hook: Hook) -> None:
    assert outbox.write(stored_settings, [(an_alert(), [])])
    assert outbox.write(stored_settings, [(an_alert(), ["hook"])]) == []
    assert deliver(stored_settings, hook) == Delivered()


def test_each_channel_gets_it_once(stored_settings: Settings, hook: Hook) -> None:
    outbox.write(stored_settings, [(an_alert(), ["one", "two", "one"])])

    assert deliver(stored_settings, hook) == Delivered(sent=2)
    assert deliver(stored_settings, hook) == Delivered()
    assert len(hook.bodies) == 2
    assert deliveries(stored_settings) == [("one", "sent", 1, None), ("two", "sent", 1, None)]


def test_a_webhook_that_comes_back_gets_everything(stored_settings: Settings, hook: Hook) -> None:
    hook.mood = 500
    outbox.write(stored_settings, [(an_alert(1), ["hook"]), (an_alert(2), ["hook"])])
    assert deliver(stored_settings, hook) == Delivered(failed=1), "the channel rests after its first failure"
    assert deliver(stored_settings, hook) == Delivered(), "for everybody"
    hook.mood = 200
    later(stored_settings, outbox.REST)
    assert deliver(stored_settings, hook) == Delivered(sent=1), "one that was not tried goes before one that failed"
    later(stored_settings, outbox.PAUSES[0])
    assert deliver(stored_settings, hook) == Delivered(sent=1)

    assert [body["subject"] for body in hook.bodies] == ["2013-03-02", "2013-03-01"]


def test_pauses_grow_and_after_a_day_it_is_given_up_with_a_record(
    stored_settings: Settings, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    hook.mood = 500
    outbox.write(stored_settings, [(an_alert(), ["hook"])])
    for pause in outbox.PAUSES:
        assert deliver(stored_settings, hook).failed == 1
        later(stored_settings, pause - timedelta(seconds=5))
        assert deliver(stored_settings, hook).failed == 0
        later(stored_settings, timedelta(seconds=5))
    later(stored_settings, outbox.EXPIRES_AFTER)

    with caplog.at_level(logging.WARNING):
        assert deliver(stored_settings, hook) == Delivered(expired=1)
    assert deliveries(stored_settings) == [("hook", "expired", 6, "the webhook answered with HTTP status 500")]
    assert "given up after 6 attempts" in caplog.text


def test_one_channel_that_is_dead_does_not_hold_up_the_other(stored_settings: Settings, hook: Hook) -> None:
    def channel_of(name: str) -> Channel:
        if name == "dead":
            raise SendFailed("Airflow has no connection with the id dead")
        return Webhook(url=hook.url)

    outbox.write(stored_settings, [(an_alert(number), ["dead", "hook"]) for number in (1, 2, 3)])
    assert outbox.deliver(stored_settings, channel_of, seconds=10) == Delivered(sent=3, failed=1)


def test_two_processes_never_send_the_same_delivery_at_once(stored_settings: Settings) -> None:
    sent: list[str] = []

    class Slow:
        def send(self, document: Any) -> None:
            time.sleep(0.02)
            sent.append(document["subject"])

    outbox.write(stored_settings, [(an_alert(number), ["hook"]) for number in range(1, 21)])
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: outbox.deliver(stored_settings, lambda _: Slow(), seconds=20), range(4)))

    assert len(sent) == len(set(sent)) == 20
    assert sum(one.sent for one in done) == 20


def test_what_a_killed_process_had_leased_is_sent_by_another_after_the_lease(
    stored_settings: Settings, hook: Hook
) -> None:
    outbox.write(stored_settings, [(an_alert(), ["hook"])])
    assert outbox._claim(stored_settings) is not None  # and then it is killed
    assert deliver(stored_settings, hook) == Delivered()
    later(stored_settings, outbox.LEASE)
    assert deliver(stored_settings, hook) == Delivered(sent=1)


def test_a_channel_that_hangs_takes_one_send_and_no_transaction(stored_settings: Settings, hook: Hook) -> None:
    hook.mood = "hang"
    outbox.write(stored_settings, [(an_alert(number), ["hook"]) for number in (1, 2)])
    began = time.monotonic()
    worker = threading.Thread(target=deliver, args=(stored_settings, hook, 1.0))
    worker.start()
    time.sleep(0.5)
    assert connections(stored_settings.database_url) == []
    worker.join()

    assert time.monotonic() - began < 10
    assert [row[2] for row in deliveries(stored_settings)] == [1, 0]

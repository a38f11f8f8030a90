"""The outbox of alerts: each is written once, and delivered to each of its channels until that one has taken it.

A delivery is leased before it is sent, so that two processes never send it at once, and a killed one does not keep it.
It is sent at least once: whoever dies between sending and saying so sends again after the lease; the receiver knows it
by its id. Between failures the pauses grow, until the alert expires. A channel that has just failed rests for
everybody, so that a dead one does not make each caller wait anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert

from include.alerts.alert import Alert
from include.alerts.sending import Channel, SendFailed, send_within
from include.registry import database
from include.registry.tables import alert, alert_delivery
from include.settings import Settings

EXPIRES_AFTER: Final = timedelta(days=1)
PAUSES: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 20, 30))
"""Pauses after the first failures of a delivery; the last one is kept from then on."""
REST: Final = timedelta(seconds=50)
LEASE: Final = timedelta(seconds=60)
"""Longer than any send (:data:`include.alerts.sending.LONGEST_SEND`), so that nobody else begins meanwhile."""

log = logging.getLogger("noria.alerts")

_CLAIM: Final = text(
    """
    UPDATE alert_delivery AS mine
    SET leased_until = clock_timestamp() + :lease, attempts = mine.attempts + 1, attempted_at = clock_timestamp()
    FROM (
        SELECT waiting.alert_id, waiting.channel FROM alert_delivery AS waiting
        WHERE waiting.state = 'waiting' AND waiting.next_at <= clock_timestamp()
          AND (waiting.leased_until IS NULL OR waiting.leased_until <= clock_timestamp())
          AND NOT EXISTS (
              SELECT FROM alert_delivery AS failed
              WHERE failed.channel = waiting.channel AND failed.state = 'waiting' AND failed.error IS NOT NULL
                AND failed.attempted_at > clock_timestamp() - :rest
          )
        ORDER BY waiting.attempts, waiting.alert_id
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ) AS chosen, alert
    WHERE mine.alert_id = chosen.alert_id AND mine.channel = chosen.channel AND alert.id = mine.alert_id
    RETURNING mine.alert_id, mine.channel, mine.attempts, alert.document
    """
)
_EXPIRE: Final = text(
    """
    UPDATE alert_delivery SET state = 'expired' FROM alert
    WHERE alert.id = alert_delivery.alert_id AND state = 'waiting' AND expires_at <= clock_timestamp()
    RETURNING alert.key, channel, attempts, error
    """
)


@dataclass(frozen=True)
class Delivered:
    """What a call has delivered.

    :param sent: deliveries that were taken.
    :param failed: deliveries that were not; they are tried again.
    :param expired: deliveries that were given up.
    """

    sent: int = 0
    failed: int = 0
    expired: int = 0


def write(settings: Settings, alerts: Iterable[tuple[Alert, Sequence[str]]]) -> list[Alert]:
    """Keep alerts that are new, each with its channels; returns these. One that is known is left as it is.

    An alert without channels is kept too: it is known then, and not told when a channel is named later.

    :raises DatabaseAway: the database cannot be reached.
    """
    written = []
    # In one order, so that two writers of the same alerts wait for each other instead of locking each other out.
    given = sorted(alerts, key=lambda pair: pair[0].key)
    with database.transaction(settings.database_url) as connection:
        query = select(alert.c.key).where(alert.c.key.in_([one.key for one, _ in given]))
        known = set(connection.execute(query).scalars())  # nearly all of them, nearly always
        for one, channels in given:
            if one.key in known:
                continue
            row = {
                "key": one.key,
                "model": one.model,
                "event": one.event,
                "run": one.run,
                "document": one.to_document(),
            }
            number = connection.execute(
                insert(alert)
                .values(**row, expires_at=func.clock_timestamp() + EXPIRES_AFTER)
                .on_conflict_do_nothing(index_elements=[alert.c.key])
                .returning(alert.c.id)
            ).scalar_one_or_none()
            if number is None:
                continue
            written.append(one)
            for channel in dict.fromkeys(channels):
                connection.execute(alert_delivery.insert().values(alert_id=number, channel=channel))
    for one in written:
        log.info("alert %s: %s", one.id, one.title)
    return written


def deliver(settings: Settings, channel_of: Callable[[str], Channel], *, seconds: float) -> Delivered:
    """Send what is due, one after the other, until nothing is or the time is over.

    :param channel_of: finds a channel by its name; may raise :class:`SendFailed`.
    :param seconds: no new delivery is begun after that; one takes at most :data:`include.alerts.sending.LONGEST_SEND`.
    :raises DatabaseAway: the database cannot be reached.
    """
    end = time.monotonic() + seconds
    expired = _expire(settings)
    sent = failed = 0
    while time.monotonic() < end:
        claimed = _claim(settings)
        if claimed is None:
            break
        if _send(settings, claimed, channel_of):
            sent += 1
        else:
            failed += 1
    return Delivered(sent, failed, expired)


def _expire(settings: Settings) -> int:
    with database.transaction(settings.database_url) as connection:
        given_up = connection.execute(_EXPIRE).all()
    for row in given_up:
        words = "alert %s was not delivered to %s in %s: given up after %d attempts (%s)"
        log.warning(words, row.key, row.channel, EXPIRES_AFTER, row.attempts, row.error or "none was made")
    return len(given_up)


def _claim(settings: Settings) -> Any:
    with database.transaction(settings.database_url) as connection:
        return connection.execute(_CLAIM, {"lease": LEASE, "rest": REST}).one_or_none()


def _send(settings: Settings, claimed: Any, channel_of: Callable[[str], Channel]) -> bool:
    problem = None
    try:
        send_within(channel_of(claimed.channel), claimed.document)
    except SendFailed as failure:
        problem = str(failure)
    pause = PAUSES[min(claimed.attempts, len(PAUSES)) - 1]
    values = {"state": "sent", "error": None} if problem is None else {"error": problem}
    with database.transaction(settings.database_url) as connection:
        connection.execute(
            alert_delivery.update()
            .where(alert_delivery.c.alert_id == claimed.alert_id, alert_delivery.c.channel == claimed.channel)
            .values(**values, leased_until=None, next_at=func.clock_timestamp() + pause)
        )
    if problem is not None:
        words = "alert %s could not be delivered to %s (%s); attempt %d, the next one in %s"
        log.warning(words, claimed.document["id"], claimed.channel, problem, claimed.attempts, pause)
    return problem is None

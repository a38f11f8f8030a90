"""How an Airflow process tells news: into the outbox first, then out at once as far as that is quick."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from include.settings import Settings
from plugins.definitions import arrangement_of
from plugins.notifiers.channels import channel_of, channels_for

if TYPE_CHECKING:
    from include.alerts.alert import Alert, Places
    from include.alerts.outbox import Delivered

AT_ONCE_SECONDS: Final = 4.0
"""How long a callback goes on with sending; what is left then is for the DAG noria_alerts."""


def places_of(settings: Settings) -> Places:
    """Where readers of an alert can look."""
    from airflow.sdk.configuration import conf

    from include.alerts.alert import Places

    base = str(conf.get("api", "base_url", fallback="") or "")
    return Places(airflow_url=base, tracking_url=settings.tracking_url, store=settings.store_address)


def gather(settings: Settings, model: str, *, run: str | None = None, also: Iterable[Alert] = ()) -> None:
    """Write what is new about a model into the outbox, for the channels that its definition names.

    :param run: the run that asks, ``<dag id>/<run id>``.
    :param also: news that the registry does not know.
    """
    from include.alerts.news import find_news
    from include.alerts.outbox import write

    rules = arrangement_of(settings, model).alerts
    found = [*find_news(settings, model, rules, places_of(settings), run=run), *also]
    if found:
        channels = channels_for(rules)
        write(settings, [(alert, channels if rules.wants(alert.event) else ()) for alert in found])


def send_unkept(settings: Settings, alert: Alert) -> None:
    """Send an alert once, without the outbox: for what nobody else knows while the database is away.

    :raises SendFailed: none of its channels took it.
    """
    from include.alerts.sending import SendFailed, send_within

    rules = arrangement_of(settings, alert.model).alerts
    channels = channels_for(rules) if rules.wants(alert.event) else []
    problems = []
    for name in channels:
        try:
            send_within(channel_of(name), alert.to_document(), AT_ONCE_SECONDS)
        except SendFailed as problem:
            problems.append(f"{name}: {problem}")
    if problems and len(problems) == len(channels):
        raise SendFailed(f"the alert {alert.title!r} is lost: {'; '.join(problems)}")


def send(settings: Settings, seconds: float = AT_ONCE_SECONDS) -> Delivered:
    """Deliver what is due."""
    from include.alerts.outbox import deliver

    return deliver(settings, channel_of, seconds=seconds)

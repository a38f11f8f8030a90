"""Versions in production, the ledger, the outboxes, and PostgreSQL's own figures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy.engine import make_url

from include.alerts import outbox
from include.alerts.sending import Channel, SendFailed
from include.exporter.deployments import read_deployments
from include.exporter.postgres import read_postgres
from include.exporter.sources import Source
from include.registry import database, state
from include.settings import Settings
from include.stack.postgres import Postgres
from tests.alerts.conftest import an_alert
from tests.exporter.conftest import Samples, samples
from tests.registry.stored_versions import FIRST, have_version

pytestmark = pytest.mark.database
WHO = {"actor": "ana", "reason": "because"}
__all__ = ["have_version"]


def scrape(settings: Settings) -> Samples:
    database.ensure_schema(settings.database_url)
    found = samples(Source("deployments", partial(read_deployments, settings.database_url)))
    assert found["noria_source_up", "deployments"] == 1
    return found


def test_what_is_in_production_and_how_it_came_there(
    stored_settings: Settings, have_version: Callable[..., int]
) -> None:
    for version in (1, 2):
        state.switch_champion(stored_settings, "m", have_version(version), **WHO)
    found = scrape(stored_settings)
    assert found["noria_deployment_version", "m", "champion"] == 2
    assert found["noria_deployment_version", "m", "previous"] == 1
    assert found["noria_deployment_share_ratio", "m", "champion"] == 1
    assert found["noria_deployment_as_of_timestamp_seconds", "m", "champion"] == (FIRST + timedelta(days=2)).timestamp()
    assert ("noria_deployment_deadline_timestamp_seconds", "m", "champion") not in found
    assert found["noria_deployment_changes_total", "promote", "m"] == 2
    assert found["noria_aliases_waiting",] == 2, "nobody has told MLflow"
    assert found["noria_aliases_oldest_seconds",] > 0


def test_deliveries_wait_fail_and_are_taken_by_channel(stored_settings: Settings) -> None:
    outbox.write(stored_settings, [(an_alert(), ["hook", "mail"])])
    waiting = scrape(stored_settings)
    assert waiting["noria_alerts_total", an_alert().event, an_alert().model] == 1
    for channel in ("hook", "mail"):
        assert waiting["noria_alert_deliveries_waiting", channel] == 1
        assert waiting["noria_alert_deliveries_failing", channel] == 0

    def taken(name: str) -> Channel:
        if name == "mail":
            raise SendFailed("no such host")
        return _Taker()

    outbox.deliver(stored_settings, taken, seconds=10)
    after = scrape(stored_settings)
    assert after["noria_alert_deliveries_sent_total", "hook"] == 1
    assert after["noria_alert_deliveries_waiting", "hook"] == 0
    assert after["noria_alert_deliveries_failing", "mail"] == 1
    assert after["noria_alert_deliveries_expired_total", "mail"] == 0


class _Taker:
    def send(self, document: object) -> None:
        """Take it."""


def test_postgresql_tells_of_all_its_databases(database_url: str, postgres: Postgres) -> None:
    found = samples(Source("postgres", partial(read_postgres, database_url)))
    assert found["noria_source_up", "postgres"] == 1
    name = str(make_url(database_url).database)
    assert found["noria_postgres_database_bytes", name] > 1_000_000
    assert found["noria_postgres_database_connections", name] >= 1
    assert 1 <= found["noria_postgres_connections",] < found["noria_postgres_connections_limit",] < 300
    assert found["noria_postgres_transactions_total", "postgres", "commit"] > 0
    assert ("noria_postgres_database_bytes", "template0") not in found

"""A database that is away or loses its tables. What makes the tables: test_migrations.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from include.errors import TryAgain
from include.registry import database, results, state
from include.settings import Settings


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg2://noria:s3cret@127.0.0.1:9/noria",
        "postgresql://noria@127.0.0.1:9/noria?password=s3cret",
        "postgresql+psycopg2://noria:s3cret@/noria?host=/nowhere",
    ],
)
def test_database_away_is_try_again_without_the_password(settings: Settings, url: str) -> None:
    with pytest.raises(TryAgain, match="does not answer") as caught:
        state.champion(replace(settings, database_url=url), "m")
    assert "s3cret" not in str(caught.value)
    assert "noria" in str(caught.value)
    assert caught.value.__cause__ is None


def test_text_that_is_no_url_is_not_repeated(settings: Settings) -> None:
    with pytest.raises(database.DatabaseUnusable) as caught:
        state.champion(replace(settings, database_url="s3cret"), "m")
    assert "s3cret" not in str(caught.value)


@pytest.mark.database
def test_connection_lost_in_a_transaction_keeps_nothing(stored_settings: Settings) -> None:
    url = stored_settings.database_url

    def lose_the_connection() -> None:
        with database.transaction(url) as connection:
            connection.execute(text("CREATE TABLE half (x int)"))
            process = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            with database.transaction(url) as other:
                other.execute(text("SELECT pg_terminate_backend(:process, 5000)"), {"process": process})
            connection.execute(text("SELECT 1"))

    with pytest.raises(database.DatabaseAway):
        lose_the_connection()
    with database.transaction(url) as connection:
        assert connection.execute(text("SELECT to_regclass('half')")).scalar_one() is None


@pytest.mark.database
def test_tables_that_went_away_are_made_again_by_the_next_call(stored_settings: Settings) -> None:
    assert state.read_states(stored_settings) == {}
    with database.transaction(stored_settings.database_url) as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    with pytest.raises(TryAgain, match="tables are gone"):
        state.read_states(stored_settings)
    assert state.read_states(stored_settings) == {}


@pytest.mark.database
def test_check_results_are_kept_and_found(stored_settings: Settings) -> None:
    for verdict in ("passed", "refused"):
        results.record_check(
            stored_settings,
            model="m",
            kind="gate",
            stage="raw",
            as_of=datetime(2013, 10, 2, tzinfo=UTC),
            subject="2013-10-01",
            verdict=verdict,
            details={"checks": [1]},
            page="reports/m/x.html",
        )
    found = results.find_checks(stored_settings, "m", kind="gate", stage="raw")
    assert [result.verdict for result in found] == ["refused", "passed"]
    assert found[0].details == {"checks": [1]}
    assert results.find_checks(stored_settings, "m", kind="drift") == []

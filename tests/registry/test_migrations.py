"""A database that older code has made and filled goes on with this code, and is what a new one would be."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from include.registry import database, migrations, stages, state, tables
from include.settings import Settings
from include.stack.postgres import Postgres

pytestmark = pytest.mark.database
AT = datetime(2026, 1, 2, tzinfo=UTC)
HISTORY = """
INSERT INTO model_version
    (model, version, fingerprint, run_id, as_of, artifact_digest, model_uri, status, windows, decision)
VALUES ('m', 1, 'f1', 'r1', '2013-10-01Z', 'd', 'u', 'registered', '{}', '{}'),
       ('m', 2, 'f2', 'r2', '2013-10-02Z', 'd', 'u', 'registered', '{}', '{}'),
       ('m', 3, 'f3', 'r3', '2013-10-03Z', 'd', 'u', 'registered', '{}', '{}');
INSERT INTO deployment (model, revision) VALUES ('m', 2);
INSERT INTO deployment_state (model, role, version, share, since, revision)
VALUES ('m', 'champion', 2, 1, '2026-01-02Z', 2), ('m', 'previous', 1, 0, '2026-01-02Z', 2);
INSERT INTO deployment_ledger (model, revision, at, action, from_version, to_version, actor, reason, evidence, state)
VALUES ('m', 1, '2026-01-01Z', 'promote', NULL, 1, 'ana', 'first', '{}', '{"champion": 1}'),
       ('m', 2, '2026-01-02Z', 'promote', 1, 2, 'ana', 'better', '{}', '{"champion": 2, "previous": 1}');
"""


def structure(url: str) -> dict[str, list[Any]]:
    """Columns, indexes, constraints and triggers, in an order of their own."""
    queries = {
        "columns": "SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity "
        "FROM information_schema.columns WHERE table_schema = 'public'",
        "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE connamespace = 'public'::regnamespace AND contype <> 'n'",
        "triggers": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal",
    }
    with database.create(url).begin() as connection:
        return {name: sorted(map(tuple, connection.execute(text(query)))) for name, query in queries.items()}


def run_sql(url: str, script: str) -> None:
    connection = database.create(url).raw_connection()
    connection.cursor().execute(script)
    connection.commit()
    connection.close()


@pytest.fixture
def old(database_url: str, settings: Settings) -> Settings:
    """Settings of a database of schema 1 with some history."""
    run_sql(database_url, (Path(__file__).parent / "schema_1.sql").read_text() + HISTORY)
    return replace(settings, database_url=database_url)


def test_an_old_database_keeps_its_history_and_takes_stages(old: Settings) -> None:
    state_now = state.read_states(old)["m"]
    assert {role: (held.version, held.share, held.plan) for role, held in state_now.roles.items()} == {
        "champion": (2, 1.0, {}),
        "previous": (1, 0.0, {}),
    }
    assert [entry.shares for entry in state.history(old, "m")] == [
        {"champion": 1.0},
        {"champion": 1.0, "previous": 0.0},
    ]
    assert state.state_at(old, "m", AT).champion == 2
    stages.enter_stage(
        old, "m", 3, role="canary", share=0.1, plan={"stage": "canary_10"}, until=None,
        deployment="run", actor="ana", reason="next",
    )  # fmt: skip
    assert state.roll_back(old, "m", actor="ana", reason="both are bad").version == 1


def test_a_migrated_database_is_what_a_new_one_is(old: Settings, postgres: Postgres) -> None:
    database.ensure_schema(old.database_url)
    postgres.create_database("fresh_for_migrations")
    fresh = postgres.url("fresh_for_migrations")
    try:
        database.ensure_schema(fresh)
        assert structure(old.database_url) == structure(fresh)
    finally:
        postgres.drop_database("fresh_for_migrations")


def test_racing_processes_migrate_once(old: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(set[str]):
        """Each call believes that it is its process's first."""

        def __contains__(self, item: object) -> bool:
            return False

    monkeypatch.setattr(database, "_ready", Forgetful())
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(database.ensure_schema, [old.database_url] * 12))
    with database.transaction(old.database_url) as connection:
        assert connection.execute(text("SELECT version FROM noria_schema")).scalars().all() == [tables.SCHEMA_VERSION]


def test_each_step_can_be_repeated_and_none_is_missing(old: Settings) -> None:
    database.ensure_schema(old.database_url)
    with database.transaction(old.database_url) as connection:
        migrations.migrate(connection, 1)
    assert sorted(migrations.STEPS) == list(range(2, tables.SCHEMA_VERSION + 1))
    assert state.champion(old, "m") is not None


def test_a_step_that_fails_leaves_the_old_schema_whole(old: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {2: (*migrations.STEPS[2], "SELECT 1 / 0")}
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "STEPS", broken)
        with pytest.raises(DBAPIError, match="division by zero"):
            database.ensure_schema(old.database_url)
    with database.create(old.database_url).begin() as connection:
        assert connection.execute(text("SELECT version FROM noria_schema")).scalar_one() == 1
        assert connection.execute(text("SELECT to_regclass('assessment')")).scalar_one() is None
    assert state.champion(old, "m") is not None

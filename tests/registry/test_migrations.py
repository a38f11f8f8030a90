"""A database that older code has made and filled goes on with this code, and is what a new one would be."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from include.registry import database, migrations, stages, state, tables
from include.settings import Settings
from include.stack.postgres import Postgres
from tests.conftest import copied_database

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
    """Columns in their order, indexes, constraints, triggers and functions, in an order of their own."""
    queries = {
        "columns": "SELECT table_name, ordinal_position, column_name, data_type, is_nullable, column_default, "
        "is_identity FROM information_schema.columns WHERE table_schema = 'public'",
        "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE connamespace = 'public'::regnamespace AND contype <> 'n'",
        "triggers": "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
        "functions": "SELECT proname, btrim(prosrc) FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    }
    with database.create(url).begin() as connection:
        return {name: sorted(map(tuple, connection.execute(text(query)))) for name, query in queries.items()}


def run_sql(url: str, script: str) -> None:
    connection = database.create(url).raw_connection()
    connection.cursor().execute(script)
    connection.commit()
    connection.close()


def revisions_in(url: str) -> tuple[int | None, str | None]:
    """The schema's number as releases from before alembic see it, and alembic's."""
    with database.create(url).begin() as connection:
        number = connection.execute(text("SELECT version FROM noria_schema")).scalar_one_or_none()
        return number, migrations.revision_in(connection)


class Forgetful(set[str]):
    """Each call believes that it is its process's first."""

    def __contains__(self, item: object) -> bool:
        return False


@pytest.fixture(params=[1, 2, 3])
def before_alembic(request: pytest.FixtureRequest, database_url: str, settings: Settings) -> Settings:
    """Settings of a database of each schema from before alembic, with some history."""
    folder = Path(__file__).parent
    scripts = [(folder / f"schema_{number}.sql").read_text() for number in range(1, request.param + 1)]
    run_sql(database_url, "".join([scripts[0], HISTORY, *scripts[1:]]))
    return replace(settings, database_url=database_url)


def test_an_old_database_keeps_its_history_and_takes_stages(before_alembic: Settings) -> None:
    old = before_alembic
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


def test_an_old_database_becomes_what_a_new_one_is(before_alembic: Settings, stored_settings: Settings) -> None:
    database.ensure_schema(before_alembic.database_url)
    assert structure(before_alembic.database_url) == structure(stored_settings.database_url)
    assert revisions_in(before_alembic.database_url) == revisions_in(stored_settings.database_url)
    assert revisions_in(stored_settings.database_url) == (tables.SCHEMA_VERSION, migrations.HEAD)


def test_alembic_finds_no_difference_between_tables_and_revisions(stored_settings: Settings) -> None:
    options = {"version_table": migrations.VERSION_TABLE, "compare_type": True, "compare_server_default": True}
    with database.create(stored_settings.database_url).begin() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, tables.metadata) == []
        connection.execute(text("ALTER TABLE outbox DROP COLUMN error"))
        assert [difference[0] for difference in compare_metadata(context, tables.metadata)] == ["add_column"]


def test_revisions_make_what_the_tables_describe(stored_settings: Settings, database_url: str) -> None:
    """Beyond what alembic compares: checks, conditions of indexes, the columns' order."""
    with database.create(database_url).begin() as connection:
        tables.metadata.create_all(connection)
    described, made = structure(database_url), structure(stored_settings.database_url)
    for kind in ("columns", "indexes", "constraints"):
        ours = [entry for entry in made[kind] if migrations.VERSION_TABLE not in str(entry)]
        assert ours == described[kind]
        assert len(made[kind]) > len(ours)


def test_revisions_are_one_line_up_to_the_number_of_the_code() -> None:
    script = ScriptDirectory.from_config(migrations.configuration())
    numbers = [revision.revision for revision in script.walk_revisions()][::-1]
    assert numbers == [f"{number:04d}" for number in range(1, tables.SCHEMA_VERSION + 1)]


def test_tables_of_mlflow_and_airflow_beside_ours_stay_as_they_are(database_url: str) -> None:
    run_sql(
        database_url,
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY); CREATE TABLE model_versions (name text);"
        "INSERT INTO alembic_version VALUES ('theirs')",
    )
    database.ensure_schema(database_url)
    with database.create(database_url).begin() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == ["theirs"]
        assert connection.execute(text("SELECT count(*) FROM model_versions")).scalar_one() == 0


@pytest.mark.parametrize("sql", [None, "schema_1.sql"])
def test_racing_processes_migrate_once(
    sql: str | None, database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if sql is not None:
        run_sql(database_url, (Path(__file__).parent / sql).read_text())
    monkeypatch.setattr(database, "_ready", Forgetful())
    caplog.set_level("INFO", logger="alembic.runtime.migration")
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(database.ensure_schema, [database_url] * 12))
    assert revisions_in(database_url) == (tables.SCHEMA_VERSION, migrations.HEAD)
    assert len([record for record in caplog.records if "Running upgrade" in record.message]) == (
        tables.SCHEMA_VERSION - (sql is not None)
    )


def test_two_databases_can_be_brought_along_at_once(postgres: Postgres) -> None:
    with copied_database(postgres) as first, copied_database(postgres) as second, ThreadPoolExecutor(2) as pool:
        list(pool.map(database.ensure_schema, [first, second]))
        assert structure(first) == structure(second)


def test_a_current_schema_costs_no_import_of_alembic(stored_settings: Settings) -> None:
    program = (
        "import sys; from include.registry import database; database.ensure_schema(sys.argv[1]);"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('alembic', 'mako')))"
    )
    command = [sys.executable, "-c", program, stored_settings.database_url]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize(
    "newer", [f"UPDATE {migrations.VERSION_TABLE} SET version_num = '0099'", "UPDATE noria_schema SET version = 99"]
)
def test_a_newer_schema_is_refused_and_left_alone(
    newer: str, stored_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "noria_schema " in newer:  # as a release from before alembic would have left it
        run_sql(stored_settings.database_url, f"DROP TABLE {migrations.VERSION_TABLE}")
    run_sql(stored_settings.database_url, newer)
    monkeypatch.setattr(database, "_ready", set())
    before = structure(stored_settings.database_url)
    with pytest.raises(database.DatabaseUnusable, match=r"has schema 99, this code knows \d+\. Update the code"):
        database.ensure_schema(stored_settings.database_url)
    assert structure(stored_settings.database_url) == before


def test_a_revision_that_fails_leaves_the_old_schema_whole(
    before_alembic: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = before_alembic.database_url
    before = structure(url)

    def break_at_the_end(connection: Connection, found: str | None) -> None:
        bring_along(connection, found)
        connection.execute(text("SELECT 1 / 0"))

    bring_along = migrations.upgrade
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "upgrade", break_at_the_end)
        with pytest.raises(DBAPIError, match="division by zero"):
            database.ensure_schema(url)
    assert structure(url) == before
    assert state.champion(before_alembic, "m") is not None

"""Fixtures shared by all rooms: settings in a temporary folder, a PostgreSQL of the test session's own."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg2
import psycopg2.extensions
import pytest
from hypothesis import settings as hypothesis_settings

from include.registry.database import ensure_schema
from include.settings import Settings
from include.stack.postgres import Postgres
from tests.object_storage import ObjectStorage, running_storage
from tests.scheduling import pytest_handlecrashitem as pytest_handlecrashitem
from tests.scheduling import pytest_xdist_make_scheduler as pytest_xdist_make_scheduler


def pytest_runtest_setup() -> None:
    """MLflow leaves a mock of Databricks' utilities among the modules, over which hypothesis trips."""
    sys.modules.pop("dbutils", None)


hypothesis_settings.register_profile("long", max_examples=5000, deadline=None)


def _turn(text: str) -> tuple[int, int]:
    number, of = (int(part) for part in text.split("/"))
    if not 1 <= number <= of:
        raise ValueError(text)
    return number - 1, of


def pytest_addoption(parser: pytest.Parser) -> None:
    """What CI asks for (.ci/ADR-by-turns.md)."""
    parser.addoption("--turn", type=_turn, metavar="N/M", help="of the tests marked by_turns only the Nth of M parts")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the other parts, of those tests that -m has left.

    Nothing is left out of ``--last-failed``: what failed was of this part, and parts of so few tests would be others.
    """
    turn = config.getoption("--turn")
    if turn is None or config.getoption("--last-failed", default=False):
        return
    number, of = turn
    parts = {item: _part(item) for item in items if item.get_closest_marker("by_turns")}
    others = set(parts.values()) - set(sorted(set(parts.values()))[number::of])
    config.hook.pytest_deselected(items=[item for item in items if parts.get(item) in others])
    items[:] = [item for item in items if parts.get(item) not in others]


def _part(item: pytest.Item) -> str:
    """Its file, whose tests may build on each other; a test that is marked by itself is a part of its own."""
    alone = any(mark.name == "by_turns" for mark in item.own_markers)
    return item.nodeid if alone else item.nodeid.partition("::")[0]


_collected: set[str] = set()
_reported: set[str] = set()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(ids: list[str]) -> None:
    """Remember what the workers are to run; one that replaces another tells it again."""
    _collected.update(ids)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember what was run."""
    _reported.add(report.nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """What crashed workers left behind was not passed: the next run with ``--last-failed`` runs it."""
    memory = session.config.pluginmanager.get_plugin("lfplugin")
    if memory is not None:
        memory.lastfailed.update(dict.fromkeys(_collected - _reported, True))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings whose home and store are a fresh temporary folder; definitions and suites are the project's."""
    return Settings.from_environment({"NORIA_HOME": str(tmp_path / "home")})


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL cluster for the test session, stopped and removed at its end."""
    server = Postgres.for_instance(tmp_path_factory.mktemp("postgres"), f"test-{uuid.uuid4().hex[:12]}")
    server.start()
    with maintenance(server) as cursor:
        # Each DROP DATABASE makes a checkpoint: half a second if that waits for the disk. No test outlives the machine.
        cursor.execute("ALTER SYSTEM SET fsync = off")
        cursor.execute("SELECT pg_reload_conf()")
    yield server
    server.stop()
    server.delete()


@contextmanager
def maintenance(server: Postgres) -> Iterator[psycopg2.extensions.cursor]:
    """A cursor outside transactions, as which databases are made and dropped."""
    with closing(psycopg2.connect(host=str(server.socket), user="postgres", dbname="postgres")) as connection:
        connection.autocommit = True
        yield connection.cursor()


@contextmanager
def copied_database(server: Postgres, template: str = "template1") -> Iterator[str]:
    """URL of a copy of a database, which is dropped afterwards. Copying files is the cheapest way for small ones."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with maintenance(server) as cursor:
        cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
    yield server.url(name)
    with maintenance(server) as cursor:  # anew: the test may have restarted the server
        cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def database_url(postgres: Postgres) -> Iterator[str]:
    """URL of an empty database that is dropped after the test."""
    with copied_database(postgres) as url:
        yield url


@pytest.fixture(scope="session")
def schema_template(postgres: Postgres) -> str:
    """Name of a database with Noria's tables, of which others are copies: a copy costs less than making the tables."""
    postgres.create_database("schema_template")
    ensure_schema(postgres.url("schema_template"))
    return "schema_template"


@pytest.fixture
def stored_settings(settings: Settings, postgres: Postgres, schema_template: str) -> Iterator[Settings]:
    """Like ``settings``, with a database of its own that holds Noria's tables."""
    with copied_database(postgres, schema_template) as url:
        yield replace(settings, database_url=url)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStorage]:
    """A real S3 API server for the test session."""
    with running_storage(tmp_path_factory.mktemp("s3")) as storage:
        yield storage


@pytest.fixture
def s3_bucket(s3: ObjectStorage) -> str:
    """A new empty bucket."""
    return s3.make_bucket(f"test-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The object store's client gives up after some seconds, not half a minute."""
    for name, value in {"_CONNECT_SECONDS": 1, "_REQUEST_SECONDS": 5, "_RETRIES": 1, "_RETRY_SECONDS": 3}.items():
        monkeypatch.setattr(f"include.lake.bucket.{name}", value)

"""Drafts from tables and views of real databases: the same as from a file, bounded, and without the address."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from include.drafting import table_sample
from include.drafting.__main__ import main, make_draft, write_draft
from include.drafting.origin import AddressRefused, Database, NothingThere, find_origin
from include.drafting.sample import MOST_ROWS, SampleUnusable
from include.drafting.table_sample import TableUnknown, open_table
from include.lake.sql_extract import SqlReader
from include.lake.sql_faults import SourceBroken
from include.settings import PROJECT, Settings, connection_variable
from include.spec.loader import load_definition
from tests.drafting.factories import empty_project, parcels
from tests.lake.sql_world import connected, run_sql

WORD = "s3cret-w0rd"


@pytest.fixture
def project(settings: Settings, tmp_path: Path) -> Settings:
    return empty_project(settings, tmp_path / "project")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of either kind with the table ``parcels``; in PostgreSQL the address has a password."""
    if request.param == "sqlite":
        address = f"sqlite:///{tmp_path / 'shop.db'}"
    else:
        own = make_url(str(request.getfixturevalue("database_url")))
        address = own.set(password=WORD).render_as_string(hide_password=False)
    fill(address, parcels())
    return address


def fill(url: str, frame: pd.DataFrame, name: str = "parcels") -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        frame.to_sql(name, connection, index=False, chunksize=2_000)
    engine.dispose()


def database(url: str, table: str | None = "parcels") -> Database:
    return Database(connection="shop", url=url, table=table)


def test_a_table_gives_the_draft_that_a_file_gives_and_it_can_be_read(project: Settings, url: str) -> None:
    draft = make_draft(project, "late_parcels", database(url))
    assert (draft.time.name, draft.entity, draft.cut.size) == ("sent_at", ["parcel"], "day")
    assert (draft.label.expression, draft.label.task) == ("late", "binary_classification")
    assert {leak.column for leak in draft.leaks} == {"arrived_at", "refund", "complaint"}
    assert {feature.name: feature.type for feature in draft.features} == {
        "hour": "numeric", "weekday": "numeric", "month": "numeric",
        "service": "category", "weight": "numeric", "insured": "boolean",
    }  # fmt: skip
    files = write_draft(project, draft)
    source = load_definition(files[0]).source
    assert (source.type, source.connection, source.table, source.partition) == ("sql", "shop", "parcels", "day")
    assert not [path for path in files if WORD in path.read_text() or str(make_url(url).database) in path.read_text()]
    reader = SqlReader(connected(project, url), load_definition(files[0]))
    assert reader.time_form().clock == ("text" if url.startswith("sqlite") else "local")


def test_a_large_table_is_drawn_from_the_same_each_time_and_its_partitions_are_estimated(
    project: Settings, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_sample, "MOST_ROWS", 1000)
    run_sql(url, "CREATE VIEW same AS SELECT * FROM parcels")
    for table in ("parcels", "same"):
        samples = [open_table(project, database(url, table), "UTC") for _ in range(2)]
        first, second = (sample.ask("SELECT parcel FROM sample") for sample in samples)
        assert first == second
        assert 800 <= samples[0].rows < 1000
        assert samples[0].rows_there == 4000
        spread = samples[0].ask("SELECT count(DISTINCT sent_at::DATE), avg(parcel) FROM sample")[0]
        assert spread[0] == 40
        assert 1800 < spread[1] < 2200
    draft = make_draft(project, "late_parcels", database(url))
    least, most = draft.cut.rows
    assert 40 < least < 100 < most < 220  # the table has about a hundred rows a day


def test_the_sample_is_bounded_in_bytes_as_well(project: Settings, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_sample, "MOST_BYTES", 50_000)
    with pytest.raises(SampleUnusable, match=r"its rows are so large .*Make a view of the columns that matter"):
        make_draft(project, "late_parcels", database(url))
    assert MOST_ROWS <= 100_000


def test_postgresql_counts_no_huge_table_and_draws_its_blocks(
    project: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_sample, "MOST_ROWS", 2_000)
    monkeypatch.setattr(table_sample, "HUGE", 5_000)
    run_sql(
        database_url,
        "CREATE SCHEMA sales",
        "CREATE TABLE sales.events AS SELECT n AS id, timestamp '2025-01-01' + n * interval '1 minute' AS at, "
        "n % 2 AS ok FROM generate_series(1, 20000) n",
        "ANALYZE sales.events",
    )
    sample = open_table(project, database(database_url, "sales.events"), "UTC")
    assert sample.rows_there == 20_000
    assert 500 <= sample.rows <= 2_000


def test_the_primary_key_names_a_row_even_where_less_would_tell_the_sample_apart(project: Settings, url: str) -> None:
    run_sql(
        url,
        "CREATE TABLE lines (basket integer, line integer, at timestamp, paid boolean, PRIMARY KEY (basket, line))",
    )
    columns = {"basket": range(4000), "line": 1, "at": parcels()["sent_at"], "paid": parcels()["late"]}
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        pd.DataFrame(columns).to_sql("lines", connection, index=False, if_exists="append")
    draft = make_draft(project, "paid", database(url, "lines"))
    assert draft.entity == ["basket", "line"]
    assert draft.label.expression == "paid"


def test_types_are_those_of_the_database_and_what_has_none_is_left_out(project: Settings, database_url: str) -> None:
    run_sql(
        database_url,
        "CREATE TABLE odd AS SELECT n AS id, timestamptz '2025-03-01 00:30+01' + n * interval '1 hour' AS at, "
        "lpad(n::text, 5, '0') AS code, (n % 7)::numeric(10, 2) AS price, json_build_object('n', n) AS document, "
        "'\\x00'::bytea AS picture, ARRAY[n] AS list, time '10:00' AS clock, n % 3 = 0 AS late "
        "FROM generate_series(1, 800) n",
    )
    draft = make_draft(project, "odd", database(database_url, "odd"), zone="Europe/Berlin")
    types = {name: column.type for name, column in draft.sample.columns.items()}
    assert types == {"id": "integer", "at": "timestamp", "code": "string", "price": "number", "late": "boolean"}
    assert f"{draft.time.low}" == "2025-03-01 01:30:00"  # on the clock of the zone


def test_a_table_without_times_is_refused_with_the_cure(project: Settings, url: str) -> None:
    fill(url, parcels().drop(columns=["sent_at", "arrived_at"]), "timeless")
    with pytest.raises(SampleUnusable, match=r"no column with times.*export the rows to a file"):
        make_draft(project, "late_parcels", database(url, "timeless"))


@pytest.mark.parametrize("table", [None, "parcles"])
def test_a_table_that_is_not_named_or_not_there_is_told_from_those_that_are(
    project: Settings, url: str, table: str | None
) -> None:
    run_sql(url, "CREATE VIEW heavy AS SELECT * FROM parcels WHERE weight > 9")
    with pytest.raises(TableUnknown) as caught:
        make_draft(project, "late_parcels", database(url, table))
    assert caught.value.there == ("heavy", "parcels")
    assert "its tables and views: heavy, parcels." in str(caught.value)
    assert table is None or "Did you mean parcels? Write TABLE=parcels" in str(caught.value)


def test_a_draft_only_reads(project: Settings, url: str) -> None:
    run_sql(url, "CREATE TABLE notes (text varchar(9))")
    statement = sa.text("INSERT INTO notes VALUES ('no')")
    with pytest.raises(SourceBroken, match=r"read-?only"), table_sample.open_session("shop", url) as session:
        session.execute(statement)


def test_the_command_tells_no_password_and_how_to_add_the_connection(
    project: Settings, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _environment(monkeypatch, project, FROM=url)
    assert main(["--name", "late_parcels", "--table", "parcels"]) == 0
    said = capsys.readouterr().out
    assert WORD not in said
    name = load_definition(project.models / "late_parcels.yaml").source.connection or ""
    [export] = [line.split(maxsplit=1)[1] for line in said.splitlines() if "export" in line]
    variable, address = shlex.split(export)[0].split("=", 1)
    assert variable == connection_variable(name)
    own = make_url(url)
    assert make_url(address) == (own.set(password="PASSWORD") if own.password else own)
    assert f"connections add {name} --conn-type " in said


def test_a_wrong_login_is_said_without_the_address(
    project: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = make_url(database_url).set(username="nobody", password=WORD)
    _environment(monkeypatch, project, FROM=url.render_as_string(hide_password=False))
    assert main(["--name", "late_parcels", "--table", "parcels"]) == 10
    said = capsys.readouterr()
    assert 'role "nobody" does not exist' in said.err
    assert WORD not in said.err + said.out
    assert not list(project.models.iterdir())


def _environment(monkeypatch: pytest.MonkeyPatch, project: Settings, **given: str) -> None:
    for name, value in (("MODELS", project.models), ("EXPECTATIONS", project.expectations), ("HOME", project.home)):
        monkeypatch.setenv(f"NORIA_{name}", str(value))
    for name, value in given.items():
        monkeypatch.setenv(f"NORIA_DRAFT_{name}", value)


def test_the_id_of_a_connection_stands_for_its_address(project: Settings, url: str) -> None:
    known = find_origin(connected(project, url), "shop", "parcels", on_command_line=True)
    assert known == Database(connection="shop", url=url, table="parcels", is_known=True)
    with pytest.raises(NothingThere, match="no file 'shop', and no address of a database in NORIA_CONNECTION_SHOP"):
        find_origin(project, "shop", None, on_command_line=True)


@pytest.mark.parametrize("address", [f"postgresql://ana:{WORD}@db/shop", f"mysql://db/shop?ssl_key={WORD}"])
def test_a_password_among_the_arguments_is_refused_and_not_repeated(project: Settings, address: str) -> None:
    with pytest.raises(AddressRefused, match="can read a command's arguments") as caught:
        find_origin(project, address, None, on_command_line=True)
    assert WORD not in str(caught.value)
    found = find_origin(project, address, None, on_command_line=False)
    assert isinstance(found, Database)
    assert found.connection == "shop"
    assert not [command for command in found.to_add() if WORD in command]
    assert WORD not in repr(found)


def test_a_broken_address_is_refused_and_not_repeated(project: Settings) -> None:
    with pytest.raises(AddressRefused, match="is no SQLAlchemy URL") as caught:
        find_origin(project, f"://ana:{WORD}@db", None, on_command_line=False)
    assert WORD not in str(caught.value)


def test_make_keeps_the_address_from_the_arguments_of_what_it_starts() -> None:
    variables = {"FROM": f"postgresql://ana:{WORD}$x@db/shop", "NAME": "late_parcels", "TABLE": "sales.orders"}
    asked = ["make", "--dry-run", "new-model"]
    shown = subprocess.run(asked, cwd=PROJECT, env=os.environ | variables, capture_output=True, text=True, check=True)
    [command] = [line for line in shown.stdout.splitlines() if "include.drafting" in line]
    assert shlex.split(command.split("include.drafting")[1]) == [
        "--name", "late_parcels", "--table", "sales.orders",
    ]  # fmt: skip
    assert WORD not in shown.stdout + shown.stderr
    passed = subprocess.run(
        ["make", "--silent", "--old-file", ".venv/installed", "new-model", f"BIN={Path(sys.executable).parent}"],
        cwd=PROJECT,
        env=os.environ | variables | {"FROM": f"://ana:{WORD}$x@db"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "The address in FROM is no SQLAlchemy URL" in passed.stderr
    assert WORD not in passed.stderr + passed.stdout


def test_what_is_printed_for_airflow_reaches_it_through_both_shells_as_it_is_meant() -> None:
    address = f"postgresql://an%20a:{WORD}@db:5433/it's?host=/folder$x&sslpassword={WORD}"
    airflow, _ = Database(connection="shop", url=address).to_add()
    shown = subprocess.run(
        ["sh", "-c", f"{airflow} --dry-run"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    [command] = [line for line in shown.stdout.splitlines() if "exec airflow" in line]
    assert shlex.split(command.split("exec airflow ")[1]) == [
        "connections", "add", "shop", "--conn-type", "postgres", "--conn-host", "db", "--conn-port", "5433",
        "--conn-schema", "it's", "--conn-login", "an a", "--conn-password", "PASSWORD",
        "--conn-extra", '{"host": "/folder$x", "sslpassword": "PASSWORD"}',
    ]  # fmt: skip

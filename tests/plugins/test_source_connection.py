"""The way of a source's connection: from Airflow to the one step that reads it, and into no log."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from airflow.sdk import Connection

from include.settings import Settings
from include.spec.definition import Definition
from plugins.operators import environment
from plugins.operators.environment import child_environment, source_variables, sqlalchemy_url
from plugins.operators.step import StepOperator
from plugins.sensors.partitions import _absent, source_address
from plugins.sensors.triggers import SourceTrigger, absent_partitions
from tests.lake.delta_world import delta_definition
from tests.lake.join_world import joined_definition, land_all
from tests.lake.sql_world import DAYS, make_orders, sql_definition

WAREHOUSE = {
    "conn_type": "postgres", "host": "db.example", "port": 5433, "schema": "sales", "login": "clerk",
    "password": "word/of a:secret", "extra": {"sslmode": "require"},
}  # fmt: skip


@pytest.fixture
def masked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What Airflow was told to mask."""
    words: list[str] = []
    monkeypatch.setattr(environment, "mask_secret", words.append)
    return words


def test_a_connection_becomes_the_variable_of_its_name_and_is_masked(
    monkeypatch: pytest.MonkeyPatch, masked: list[str]
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps(WAREHOUSE))
    variables = source_variables(sql_definition())
    url = variables["NORIA_CONNECTION_SHOP"]
    assert list(variables) == ["NORIA_CONNECTION_SHOP"]
    assert url == "postgresql+psycopg2://clerk:word%2Fof a%3Asecret@db.example:5433/sales?sslmode=require"
    assert set(masked) == {url, "word/of a:secret"}


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"conn_type": "sqlite", "host": "/data/shop.db"}, "sqlite:////data/shop.db"),
        ({"conn_type": "mysql", "host": "h", "login": "u", "schema": "d"}, "mysql+pymysql://u@h/d"),
        (
            {
                "conn_type": "generic",
                "host": "h",
                "schema": "d",
                "extra": '{"drivername": "mssql+pyodbc", "driver": "ODBC 18"}',
            },
            "mssql+pyodbc://h/d?driver=ODBC+18",
        ),
        (
            {"conn_type": "postgres", "schema": "d", "extra": '{"host": "/run/pg"}'},
            "postgresql+psycopg2:///d?host=%2Frun%2Fpg",
        ),
    ],
)
def test_any_type_of_connection_gives_a_sqlalchemy_url(fields: dict[str, str], url: str) -> None:
    assert sqlalchemy_url(Connection(conn_id="shop", **fields)) == url


def test_the_environment_counts_if_airflow_has_no_such_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORIA_CONNECTION_SHOP", "sqlite:///shop.db")
    assert source_variables(sql_definition()) == {"NORIA_CONNECTION_SHOP": "sqlite:///shop.db"}


def test_a_step_inherits_no_connection_that_it_does_not_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORIA_CONNECTION_SHOP", "sqlite:///shop.db")
    assert "NORIA_CONNECTION_SHOP" not in child_environment()


@pytest.mark.parametrize(("step", "gets_it"), [("ingest", True), ("replay", True), ("gate", False), ("train", False)])
def test_only_steps_that_read_the_source_get_its_connection(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, masked: list[str], step: str, gets_it: bool
) -> None:
    write(tmp_path, sql_definition())
    monkeypatch.setenv("NORIA_MODELS", str(tmp_path))
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps(WAREHOUSE))
    operator = StepOperator(task_id=step, model="orders", step=step, as_of="2013-12-31T00:00:00+00:00")
    assert ("NORIA_CONNECTION_SHOP" in operator._secrets()) is gets_it
    assert bool(masked) is gets_it


def test_the_trigger_looks_by_a_process_of_its_own_that_gets_the_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database = tmp_path / "shop.db"
    make_orders(f"sqlite:///{database}")
    models = tmp_path / "models"
    models.mkdir()
    write(models, sql_definition())
    monkeypatch.setenv("NORIA_MODELS", str(models))
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps({"conn_type": "sqlite", "host": str(database)}))
    assert absent_partitions("orders", [*DAYS, "2024-01-09"]) == ["2024-01-09"]
    trigger = SourceTrigger("orders", DAYS[0], "2030-01-01T00:00:00+00:00")
    assert trigger._look() == (True, {"arrived": True})
    assert str(database) not in json.dumps(trigger.serialize())


def write(folder: Path, definition: Definition) -> None:
    """A definition as a file: JSON is YAML."""
    document = definition.model_dump(mode="json", exclude_defaults=True)
    (folder / f"{definition.model}.yaml").write_text(json.dumps(document))


def test_people_see_the_connection_and_never_the_address(settings: Settings) -> None:
    assert source_address(settings, sql_definition(), DAYS[0]) == "orders of the connection shop"


def test_people_see_the_delta_table_and_the_files_that_are_joined(settings: Settings) -> None:
    store = settings.store
    assert source_address(settings, delta_definition(), DAYS[0]) == f"the Delta table {store}/warehouse/orders"
    assert source_address(settings, joined_definition(), DAYS[0]) == (
        f"{store}/landing/orders/{DAYS[0]}.parquet (or {store}/landing/shops.csv, "
        f"{store}/landing/weather/{DAYS[0]}.csv, which is joined with it)"
    )


def test_a_partition_whose_joined_file_is_not_there_has_not_arrived(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Settings
) -> None:
    land_all(settings, DAYS[:2])
    (settings.store / "landing" / "weather" / f"{DAYS[0]}.csv").unlink()
    write(tmp_path, joined_definition())
    monkeypatch.setenv("NORIA_MODELS", str(tmp_path))
    monkeypatch.setenv("NORIA_STORE", str(settings.store))
    assert _absent(replace(settings, models=tmp_path), joined_definition(), DAYS) == [DAYS[0], DAYS[2]]

"""A source that is away, slow or broken costs its own figures only."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest

from include.exporter.checks import read_checks
from include.exporter.machine import read_disks, read_mlflow
from include.exporter.reading import gauge, reading, rows
from include.exporter.sources import Source, Sources
from include.registry import database
from tests.exporter.conftest import parse, samples

NOBODY = "postgresql+psycopg2://ana:word@127.0.0.1:1/noria"


def fine() -> Iterator[Metric]:
    yield gauge("noria_fine", "It works.", (), {(): 3})


def broken() -> Iterator[Metric]:
    yield gauge("noria_half", "It does not come.", (), {(): 1})
    raise KeyError("column")


def test_one_that_breaks_is_down_and_the_others_are_told() -> None:
    found = samples(Source("fine", fine), Source("broken", broken))
    assert found["noria_source_up", "fine"] == 1
    assert found["noria_source_up", "broken"] == 0
    assert found["noria_fine",] == 3
    assert ("noria_half",) not in found, "half of the figures would look like all of them"


def test_one_that_hangs_is_down_and_is_not_asked_again_until_it_has_come_back() -> None:
    gate, asked = threading.Event(), []

    def hang() -> Iterator[Metric]:
        asked.append(1)
        gate.wait(60)
        return fine()

    registry = CollectorRegistry()
    registry.register(Sources([Source("slow", hang), Source("disk", partial(read_disks, {}))], seconds=0.2))
    for _ in range(2):
        page = parse(generate_latest(registry).decode())
        assert page["noria_source_up", "slow"] == 0
        assert page["noria_source_up", "disk"] == 1
    assert len(asked) == 1
    gate.set()
    while not parse(generate_latest(registry).decode())["noria_source_up", "slow"]:
        pass
    assert parse(generate_latest(registry).decode())["noria_fine",] == 3


def test_what_is_wrong_is_logged_when_it_begins_and_when_it_ends_but_never_a_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "noria.exporter")
    address = [NOBODY]
    registry = CollectorRegistry()
    registry.register(Sources([Source("checks", lambda: read_checks(address[0]) if address else [])]))
    for _ in range(3):
        assert parse(generate_latest(registry).decode())["noria_source_up", "checks"] == 0
    address.clear()
    generate_latest(registry)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "does not answer" in caplog.text
    assert "word" not in caplog.text


def test_mlflow_that_is_away_is_down() -> None:
    assert samples(Source("mlflow", partial(read_mlflow, "http://127.0.0.1:1")))["noria_source_up", "mlflow"] == 0


def test_a_place_that_is_not_there_yet_is_left_out(tmp_path: Path) -> None:
    found = samples(Source("disk", partial(read_disks, {"store": tmp_path, "home": tmp_path / "not yet"})))
    assert found["noria_disk_bytes", "store"] >= found["noria_disk_free_bytes", "store"] > 0
    assert ("noria_disk_bytes", "home") not in found


@pytest.mark.database
def test_reading_can_change_nothing_and_makes_no_tables(database_url: str) -> None:
    with pytest.raises(Exception, match="read-only"), reading(database_url) as connection:
        rows(connection, "CREATE TABLE mine (one integer)")
    assert samples(Source("checks", partial(read_checks, database_url)))["noria_source_up", "checks"] == 0
    with pytest.raises(database.DatabaseAway, match="statement timeout"), reading(database_url) as connection:
        rows(connection, "SELECT pg_sleep(30)")

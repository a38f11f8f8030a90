"""A SQL source: rows by window, from SQLite by the general way and from PostgreSQL by COPY, with clear refusals."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from include.errors import Refused, TryAgain
from include.lake.paths import from_store
from include.lake.sources import absent_partitions
from include.lake.sql_faults import SourceAway, SourceBroken, secrets_in
from include.lake.sql_source import RowsWithoutPartition
from include.lake.sql_statement import TimesAsText
from include.lake.staging import StagedPartition
from include.lake.table import LakeTable
from include.settings import NoConnection, Settings
from tests.lake.factories import PASSED, make_definition, manifest_of
from tests.lake.factories import land as land_file
from tests.lake.factories import stage_raw as stage_files
from tests.lake.sql_world import DAYS, connected, make_orders, order_rows, run_sql, sql_definition, stage


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shop.db'}"
    return str(request.getfixturevalue("database_url"))


def rows_of(settings: Settings, partition: StagedPartition) -> list[dict[str, object]]:
    assert partition.path is not None, partition.problem
    return list(pq.read_table(from_store(settings, partition.path)).to_pylist())


def publish(settings: Settings, staged: dict[str, StagedPartition]) -> None:
    LakeTable(settings, "orders", "raw").publish(manifest_of(staged), attempt="try-1", gate=PASSED)


def test_each_partition_holds_exactly_its_own_rows(settings: Settings, url: str) -> None:
    make_orders(url)
    settings = connected(settings, url)
    staged = stage(settings, sql_definition())
    assert [staged[day].rows for day in DAYS] == [4, 4, 4]
    found = rows_of(settings, staged["2024-01-02"])
    assert [{k: v for k, v in row.items() if k != "_row"} for row in found] == order_rows("2024-01-02")


def test_both_kinds_of_database_and_files_give_the_same_digest(
    settings: Settings, tmp_path: Path, database_url: str
) -> None:
    lite = f"sqlite:///{tmp_path / 'shop.db'}"
    digests = set()
    for address in (lite, database_url):
        make_orders(address)
        digests.add(stage(connected(settings, address), sql_definition(), DAYS[:1])[DAYS[0]].digest)
    rows = order_rows(DAYS[0])
    land_file(settings, DAYS[0], {name: [row[name] for row in rows] for name in rows[0]})
    digests.add(stage_files(settings, make_definition(), DAYS[:1])[DAYS[0]].digest)
    assert len(digests) == 1


def test_a_query_may_join_and_name_its_columns_and_hold_colons_and_percents(settings: Settings, url: str) -> None:
    make_orders(url)
    run_sql(url, "CREATE TABLE shops (number integer, region varchar(9))", "INSERT INTO shops VALUES (1, 'a:b%c')")
    query = (
        "SELECT o.at, s.region AS shop, o.number, o.price, o.express, o.days "
        "FROM orders o JOIN shops s ON s.number = o.number WHERE s.region LIKE 'a:%c'"
    )
    settings = connected(settings, url)
    staged = stage(settings, sql_definition(table=None, query=query))
    assert [row["shop"] for row in rows_of(settings, staged[DAYS[2]])] == ["a:b%c"]


def test_the_filter_is_applied(settings: Settings, url: str) -> None:
    make_orders(url)
    staged = stage(connected(settings, url), sql_definition(filter="number >= 2 OR number = 0"))
    assert [staged[day].rows for day in DAYS] == [3, 3, 3]


@pytest.mark.parametrize("chunk", [None, "5h", "36h"])
def test_chunks_change_nothing_in_the_rows(settings: Settings, url: str, chunk: str | None) -> None:
    make_orders(url)
    settings = connected(settings, url)
    whole = {key: one.digest for key, one in stage(settings, sql_definition()).items()}
    cut = {key: one.digest for key, one in stage(settings, sql_definition(chunk=chunk), attempt="2").items()}
    assert cut == whole


def test_a_partition_without_a_row_is_missing(settings: Settings, url: str) -> None:
    make_orders(url)
    staged = stage(connected(settings, url), sql_definition(), [*DAYS, "2024-01-09"])
    assert staged["2024-01-09"].status == "missing"
    assert "orders of the connection shop has no row of it" in str(staged["2024-01-09"].problem)
    assert staged[DAYS[0]].status == "staged"


def test_equal_rows_are_unchanged_and_changed_rows_are_not(stored_settings: Settings, url: str) -> None:
    make_orders(url)
    settings = connected(stored_settings, url)
    publish(settings, stage(settings, sql_definition()))
    run_sql(url, "UPDATE orders SET price = 7 WHERE at >= '2024-01-02' AND at < '2024-01-03'")
    again = stage(settings, sql_definition(), attempt="try-2")
    assert [again[day].status for day in DAYS] == ["unchanged", "staged", "unchanged"]
    assert stage(settings, sql_definition(), attempt="try-3", force=True)[DAYS[0]].status == "staged"


def test_a_partition_is_not_there_before_its_rows_are_taken_to_be_complete(settings: Settings, url: str) -> None:
    now = datetime.now(UTC).replace(tzinfo=None)
    yesterday = f"{now - timedelta(days=1):%Y-%m-%d}"
    make_orders(url)
    run_sql(url, rows=order_rows(yesterday))
    settings = connected(settings, url)
    soon, late = sql_definition(), sql_definition(arrives_after="3d")
    assert absent_partitions(settings, soon, [DAYS[0], yesterday, "2024-02-01"]) == ["2024-02-01"]
    assert absent_partitions(settings, late, [DAYS[0], yesterday]) == [yesterday]
    assert stage(settings, late, [yesterday])[yesterday].status == "missing"
    assert "arrives_after" in str(stage(settings, late, [yesterday])[yesterday].problem)
    assert stage(settings, soon, [yesterday])[yesterday].status == "staged"


def test_wrongly_typed_values_refuse_their_partition_with_examples(settings: Settings, url: str) -> None:
    make_orders(url, "at timestamp, shop varchar(20), number integer, price varchar(20), express boolean, days float")
    run_sql(url, "UPDATE orders SET price = 'dear' WHERE at >= '2024-01-02' AND at < '2024-01-03' AND number = 2")
    staged = stage(connected(settings, url), sql_definition())
    assert [staged[day].status for day in DAYS] == ["staged", "refused", "staged"]
    problem = str(staged[DAYS[1]].problem)
    assert "column price is no number in 1 row(s)" in problem
    assert "'dear'" in problem
    assert "Repair the data in the database and ingest the partition again" in problem


BROKEN = {
    "no such table": ({"table": "orderz"}, "orderz"),
    "no such column": (
        {"columns": {"at": "timestamp", "shop": "string", "number": "integer", "colour": "string"}},
        "colour",
    ),
    "broken query": ({"table": None, "query": "SELECT * FROM orders WHERE"}, "syntax error|near"),
    "broken filter": ({"filter": "nothing_like_it > 3"}, "nothing_like_it"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_source_is_one_clear_refusal(settings: Settings, url: str, case: str) -> None:
    make_orders(url)
    change, words = BROKEN[case]
    with pytest.raises(SourceBroken, match=words) as caught:
        stage(connected(settings, url), sql_definition(**change))
    assert "the connection shop refuses" in str(caught.value)
    assert "Correct source.table, query, filter or columns" in str(caught.value)
    assert caught.value.exit_code == Refused.exit_code
    assert caught.value.__cause__ is None


def test_a_source_only_reads(settings: Settings, database_url: str) -> None:
    make_orders(database_url)
    run_sql(
        database_url,
        "CREATE FUNCTION spoil() RETURNS integer LANGUAGE sql AS 'DELETE FROM orders; SELECT 1'",
    )
    with pytest.raises(SourceBroken, match="read-only"):
        stage(connected(settings, database_url), sql_definition(filter="spoil() = 1"))


def test_a_database_that_is_away_is_tried_again_and_says_no_secret(settings: Settings) -> None:
    url = "postgresql://clerk:word%2Fof%20a-secret@127.0.0.1:9/shop?sslpassword=another-secret"
    with pytest.raises(SourceAway, match="Connection refused") as caught:
        stage(connected(settings, url), sql_definition())
    assert caught.value.exit_code == TryAgain.exit_code
    for secret in (*secrets_in(url), "word/of a-secret", "another-secret"):
        assert secret not in str(caught.value)
        assert secret not in repr(settings)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("not an address with s3cret", "no SQLAlchemy URL"),
        ("nodb+nodriver://u:s3cret@h/d", "there is no driver for it"),
        ("mysql+pymysql://u:s3cret@h/d", "there is no driver for it"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_being_shown(
    settings: Settings, url: str, words: str
) -> None:
    with pytest.raises(SourceBroken, match=words) as caught:
        stage(connected(settings, url), sql_definition())
    assert "s3cret" not in str(caught.value)


def test_a_wrong_login_is_refused(settings: Settings, database_url: str) -> None:
    wrong = database_url.replace("postgres@", "nobody:s3cret@")
    with pytest.raises(SourceBroken, match="nobody") as caught:
        stage(connected(settings, wrong), sql_definition())
    assert "Correct login, password" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_an_unknown_connection_says_which_variable_to_set(settings: Settings) -> None:
    with pytest.raises(NoConnection, match="NORIA_CONNECTION_SHOP"):
        stage(settings, sql_definition())


def test_connections_come_from_the_environment_and_are_never_printed() -> None:
    made = Settings.from_environment({"NORIA_CONNECTION_SHOP": "sqlite:///s3cret.db"})
    assert made.connection("shop") == "sqlite:///s3cret.db"
    assert "s3cret" not in repr(made)


# --- times -------------------------------------------------------------------------------------------------------

WITH_ZONE = "at timestamptz, shop varchar(20), number integer, price float, express boolean, days float"


def test_instants_are_cut_in_the_source_s_zone(settings: Settings, database_url: str) -> None:
    run_sql(database_url, f"CREATE TABLE orders ({WITH_ZONE})")
    row = order_rows("2024-01-01", 1)[0]
    moments = ["2024-01-01T04:59:59+00:00", "2024-01-01T05:00:00+00:00", "2024-01-02T04:59:59+00:00"]
    run_sql(
        database_url,
        rows=[row | {"at": datetime.fromisoformat(moment), "number": n} for n, moment in enumerate(moments)],
    )
    settings = connected(settings, database_url)
    staged = stage(settings, sql_definition(time_zone="America/New_York"), ["2024-01-01"])
    found = [(row["number"], row["at"]) for row in rows_of(settings, staged["2024-01-01"])]
    assert found == [(1, datetime(2024, 1, 1)), (2, datetime(2024, 1, 1, 23, 59, 59))]  # noqa: DTZ001


HOURS = ["2024-11-03T00", "2024-11-03T01", "2024-11-03T01+1", "2024-11-03T02"]


def test_the_hour_that_a_clock_shows_twice_is_two_partitions_of_instants(settings: Settings, database_url: str) -> None:
    run_sql(database_url, f"CREATE TABLE orders ({WITH_ZONE})")
    row = order_rows("2024-01-01", 1)[0]
    start = datetime(2024, 11, 3, 4, 30, tzinfo=UTC)
    run_sql(database_url, rows=[row | {"at": start + timedelta(hours=n), "number": n} for n in range(4)])
    settings = connected(settings, database_url)
    for chunk in (None, "17m"):
        definition = sql_definition(time_zone="America/New_York", partition="hour", chunk=chunk)
        staged = stage(settings, definition, HOURS, attempt=str(chunk))
        assert [[row["number"] for row in rows_of(settings, staged[key])] for key in HOURS] == [[0], [1], [2], [3]]


def test_without_a_zone_the_hour_that_comes_twice_is_one_partition(settings: Settings, url: str) -> None:
    make_orders(url)
    row = order_rows("2024-01-01", 1)[0]
    run_sql(url, rows=[row | {"at": datetime(2024, 11, 3, hour, 30), "number": hour} for hour in (0, 1, 1, 2)])  # noqa: DTZ001
    settings = connected(settings, url)
    staged = stage(settings, sql_definition(time_zone="America/New_York", partition="hour"), HOURS)
    assert [staged[key].rows for key in HOURS] == [1, 2, 0, 1]
    assert "has no time zone" in str(staged[HOURS[2]].problem)


@pytest.mark.parametrize("text", ["2024-01-02", "2024-01-02T13:00", "2024-01-02 13:00:00.25"])
def test_times_as_iso_text_are_compared_in_their_own_form(settings: Settings, tmp_path: Path, text: str) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    others = [text.replace("-02", day, 1) for day in ("-01", "-03")]
    run_sql(url, "CREATE TABLE orders (at text, shop text, number integer)")
    run_sql(url, rows=[{"at": one, "shop": "North", "number": n} for n, one in enumerate([text, *others])])
    columns = {"at": "timestamp", "shop": "string", "number": "integer"}
    staged = stage(connected(settings, url), sql_definition(columns=columns))
    assert [staged[day].rows for day in DAYS] == [1, 1, 1]


@pytest.mark.parametrize("text", ["2024-01-02T13:00:00+02:00", "2.1.2024 13:00"])
def test_times_as_text_that_cannot_be_compared_are_refused(settings: Settings, tmp_path: Path, text: str) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    run_sql(url, "CREATE TABLE orders (at text)", rows=[{"at": text}])
    with pytest.raises(TimesAsText, match="makes a timestamp of it"):
        stage(connected(settings, url), sql_definition(columns={"at": "timestamp"}))


def test_rows_that_belong_to_no_partition_are_never_dropped_in_silence(settings: Settings, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    make_orders(url)
    run_sql(url, "INSERT INTO orders (at, number) VALUES ('2024-01-02 never', 1)")
    with pytest.raises(RowsWithoutPartition, match=r"1 row\(s\) whose at cannot be read"):
        stage(connected(settings, url), sql_definition())


# --- cuts --------------------------------------------------------------------------------------------------------


def test_a_read_that_was_cut_goes_on_with_what_is_missing(
    settings: Settings, url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_orders(url)
    settings = connected(settings, url)
    whole = {key: one.digest for key, one in stage(settings, sql_definition(), attempt="whole").items()}
    definition = sql_definition(parallel=1)
    from include.lake.sql_extract import SqlReader

    read, calls = SqlReader._read, []

    def lost_at_the_third(reader: SqlReader, engine: object, form: object, window: object, folder: Path) -> object:
        calls.append(window)
        if len(calls) == 3:
            raise SourceAway("shop", "the line is dead")
        return read(reader, engine, form, window, folder)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(SqlReader, "_read", lost_at_the_third)
        with pytest.raises(SourceAway):
            stage(settings, definition)
    caplog.set_level(logging.INFO, "include.lake.sql_extract")
    caplog.clear()
    staged = stage(settings, definition, attempt="try-2")
    assert "1 windows to read, 2 are there" in caplog.text
    assert caplog.text.count(": read ") == 1
    assert {key: one.digest for key, one in staged.items()} == whole


def test_another_request_or_force_takes_nothing_from_a_read_that_was_cut(
    settings: Settings, url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_orders(url)
    settings = connected(settings, url)
    with monkeypatch.context() as patch:
        patch.setattr("include.lake.sql_source.SqlSource._judge", lambda *_: 1 / 0)
        for definition in (sql_definition(), sql_definition(filter="number > 0")):
            with pytest.raises(ZeroDivisionError):
                stage(settings, definition)
    caplog.set_level(logging.INFO, "include.lake.sql_extract")
    caplog.clear()
    assert stage(settings, sql_definition(filter="number > 1"))[DAYS[0]].rows == 2
    assert "3 windows to read, 0 are there" in caplog.text
    caplog.clear()
    assert stage(settings, sql_definition(), force=True)[DAYS[0]].rows == 4
    assert "3 windows to read, 0 are there" in caplog.text
    caplog.clear()
    assert stage(settings, sql_definition(filter="number > 0"))[DAYS[0]].rows == 3
    assert "0 windows to read, 3 are there" in caplog.text


def test_windows_are_read_at_the_same_time(settings: Settings, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from include.lake.sql_extract import SqlReader

    make_orders(url)
    read, meeting = SqlReader._read, threading.Barrier(3, timeout=20)

    def meet(reader: SqlReader, engine: object, form: object, window: object, folder: Path) -> object:
        meeting.wait()
        return read(reader, engine, form, window, folder)  # type: ignore[arg-type]

    monkeypatch.setattr(SqlReader, "_read", meet)
    assert stage(connected(settings, url), sql_definition(parallel=3))[DAYS[2]].rows == 4

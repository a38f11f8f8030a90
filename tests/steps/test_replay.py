"""The replay: later rows as requests in their order, their labels as feedback, at the given pace."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from include.errors import NothingToDo, Refused, TryAgain
from include.lake.paths import staging_folder
from include.serving.replaying import sender
from include.settings import Settings
from include.stack.postgres import Postgres
from include.steps import replay
from include.steps.protocol import Document, StepCall
from tests.serving.stand_in import Reply, good, stand_in
from tests.training.factories import make_definition, make_rows
from tests.training.lake import ingest, land, with_suites

pytestmark = pytest.mark.database
DAY = "2013-01-03"


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return make_rows(600, days=6)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, rows: pd.DataFrame, postgres: Postgres) -> Iterator[Settings]:
    """Six landed days of about 100 rows, of which the first four are in the raw table."""
    folder = tmp_path_factory.mktemp("replay")
    postgres.create_database("replay")
    settings = Settings.from_environment({"NORIA_HOME": str(folder / "home")})
    settings = with_suites(replace(settings, database_url=postgres.url("replay")), folder)
    ingest(settings, make_definition(), land(settings, rows)[:4])
    yield settings
    postgres.drop_database("replay")


def call(settings: Settings, as_of: str = f"{DAY}T00:00:00-05:00", **inputs: Any) -> StepCall:
    return StepCall(
        settings=settings,
        definition=make_definition(),
        as_of=datetime.fromisoformat(as_of),
        attempt=uuid.uuid4().hex,
        inputs=inputs,
    )


def of_day(rows: pd.DataFrame, day: str) -> pd.DataFrame:
    return rows[rows["left_at"].dt.strftime("%Y-%m-%d") == day]


def replayed(settings: Settings, url: str, **inputs: Any) -> Document:
    return replay.run(call(replace(settings, server_url=url), **inputs))


def test_first_later_day_is_sent_row_by_row_with_entity_columns_and_labels(lake: Settings, rows: pd.DataFrame) -> None:
    wanted = of_day(rows, DAY)
    with stand_in() as server:
        found = replayed(lake, server.url, rate=None, connections=1)
    assert [request["rows"][0]["number"] for request in server.requests] == wanted["number"].tolist()
    assert set(server.requests[0]["rows"][0]) == {"left_at", "number", "carrier", "distance", "seats", "cargo"}
    assert server.requests[0]["rows"][0]["left_at"] == wanted["left_at"].iloc[0].isoformat()
    assert any(request["rows"][0]["distance"] is None for request in server.requests)
    assert len(set(server.ids)) == len(wanted)
    assert server.ids[1].startswith(f"replay-{DAY}-1-")
    known = wanted["delay"].notna().to_numpy()
    assert {label["request_id"]: label["label"] for label in server.labels} == {
        server.ids[n]: float(delay > 15) for n, delay in enumerate(wanted["delay"]) if known[n]
    }
    assert (found["sent"], found["answered"], found["failed"]) == (len(wanted), len(wanted), 0)
    assert found["by_version"] == [{"version": 3, "role": "champion", "answered": len(wanted)}]
    assert found["labels"]["accepted"] == int(known.sum())
    assert found["latency_ms"]["p50"] <= found["latency_ms"]["p99"] <= found["latency_ms"]["max"]


def test_days_that_are_not_ingested_come_from_the_source_and_are_not_published(
    lake: Settings, rows: pd.DataFrame
) -> None:
    with stand_in() as server:
        one = call(replace(lake, server_url=server.url), first="2013-01-04", last="2013-01-07", rate=None)
        found = replay.run(one)
    days = [of_day(rows, f"2013-01-0{day}") for day in (4, 5, 6)]
    assert found["sent"] == sum(len(day) for day in days)
    assert (found["from_raw_table"], found["from_source_files"], list(found["missing"])) == (1, 2, ["2013-01-07"])
    assert found["partitions"] == ["2013-01-04", "2013-01-06"]
    assert not staging_folder(lake, "late", "raw", f"replay-{one.attempt}").exists()


def test_rows_can_share_requests_and_begin_anew(lake: Settings, rows: pd.DataFrame) -> None:
    count = len(of_day(rows, DAY))
    with stand_in() as server:
        replayed(lake, server.url, rate=None, rows=count + 10, rows_per_request=7, loop=True, connections=1)
    sizes = [len(request["rows"]) for request in server.requests]
    assert sum(sizes) == count + 10
    assert set(sizes) <= {7, count % 7, 3}
    assert len(set(server.ids)) == len(server.ids)
    assert server.ids[-1].endswith(".1")
    assert {label["row"] for label in server.labels} == set(range(7))


def test_rate_is_kept(lake: Settings) -> None:
    with stand_in() as server:
        found = replayed(lake, server.url, rate=100, rows=50)
    assert found["seconds"] >= 0.48
    assert found["sent"] == 50


def test_time_limit_ends_the_sending(lake: Settings) -> None:
    with stand_in() as server:
        found = replayed(lake, server.url, rate=20, seconds=0.5)
    assert 1 <= found["sent"] <= 11


def test_labels_come_after_their_delay_and_all_of_them(lake: Settings) -> None:
    with stand_in() as server:
        found = replayed(lake, server.url, rate=None, rows=20, label_delay_s=0.5)
    assert found["labels"]["accepted"] == len(server.labels) > 0
    assert found["seconds_in_all"] >= 0.5


def test_without_labels_none_is_sent(lake: Settings) -> None:
    with stand_in() as server:
        replayed(lake, server.url, rate=None, rows=5, labels=False)
    assert server.labels == []


def test_refusals_and_failures_are_counted_by_their_reason_and_do_not_end_it(lake: Settings) -> None:
    def reply(number: int, document: dict[str, Any]) -> Reply | None:
        if number % 4 == 1:
            return 422, {"error": "expected a number", "field": "distance"}
        if number % 4 == 2:
            return 500, {"error": "the model failed"}
        return None if number % 4 == 3 else good(number, document)

    with stand_in(reply) as server:
        found = replayed(lake, server.url, rate=None, rows=40, connections=1)
    assert (found["sent"], found["answered"], found["refused"], found["failed"]) == (40, 10, 10, 20)
    assert found["refusals"] == [{"status": 422, "problem": "distance: expected a number", "count": 10}]
    assert {"problem": "HTTP 500: the model failed", "count": 10} in found["failures"]
    assert len({label["request_id"] for label in server.labels}) <= 10


def test_token_of_the_settings_is_sent(lake: Settings) -> None:
    with stand_in() as server:
        replayed(replace(lake, server_token="secret"), server.url, rate=None, rows=3)
    assert server.tokens == {"Bearer secret"}


def test_server_that_is_away_is_tried_again_later(lake: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    pace = sender.Pace
    monkeypatch.setattr(sender, "Pace", lambda **options: pace(**options, away_seconds=0.3))
    with pytest.raises(TryAgain, match=r"127\.0\.0\.1:9 has not answered") as away:
        replayed(lake, "http://127.0.0.1:9", rows=3)
    assert "make up" in str(away.value)


def test_a_label_that_cannot_be_computed_is_refused_and_replayed_without_labels(lake: Settings) -> None:
    definition = make_definition(label={"expression": "CAST(carrier AS INTEGER) > 1", "known_after": "1d"})
    with stand_in() as server:
        settings = replace(lake, server_url=server.url)
        with pytest.raises(
            Refused, match=f'{DAY}.*Correct label.expression in the definition, or replay with "labels"'
        ):
            replay.run(replace(call(settings, rate=None), definition=definition))
        assert replay.run(replace(call(settings, rate=None, labels=False), definition=definition))["sent"] > 0


def test_nothing_is_sent_of_what_the_model_may_have_learned_from(lake: Settings) -> None:
    with pytest.raises(Refused, match="begins before as_of"):
        replay.run(call(lake, first="2013-01-02"))


def test_end_of_the_data_is_nothing_to_do(lake: Settings) -> None:
    with pytest.raises(NothingToDo, match="none of 2013-01-08 is in the raw table"):
        replay.run(call(lake, first="2013-01-08"))
    ended = make_definition(source={"ends": "2013-01-06"})
    one = replace(call(lake, as_of="2013-01-07T00:00:00-05:00"), definition=ended)
    with pytest.raises(NothingToDo, match="the data ends with 2013-01-06"):
        replay.run(one)


@pytest.mark.parametrize(
    ("inputs", "word"),
    [
        ({"day": 1}, "there is no such input"),
        ({"days": 0}, "whole number from 1"),
        ({"rate": "fast"}, "a number from"),
        ({"rows": 1.5}, "whole number"),
        ({"labels": 1}, "true or false"),
        ({"first": 20130104}, "partition's key"),
    ],
)
def test_wrong_options_are_refused_by_name(lake: Settings, inputs: Document, word: str) -> None:
    with pytest.raises(Refused, match=word):
        replay.run(call(lake, **inputs))


def test_late_answers_never_open_more_connections_than_allowed(lake: Settings, tmp_path: Path) -> None:
    with stand_in() as server:
        found = replayed(lake, server.url, rate=100_000, connections=3, rows=60)
    assert found["answered"] == 60
    assert found["behind_s"] > 0


def test_endless_replay_ends_with_its_labels_when_it_is_told_to(lake: Settings) -> None:
    with stand_in() as server:
        ending = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM))
        ending.start()
        found = replayed(lake, server.url, rate=200, loop=True, label_delay_s=60)
    assert 0 < found["sent"] == found["answered"] < 400
    assert found["labels"]["accepted"] == len(server.labels) > 0
    assert found["seconds_in_all"] < 30


def test_labels_keep_the_order_of_their_requests(lake: Settings) -> None:
    with stand_in() as server:
        replayed(lake, server.url, rate=None, rows=60, connections=1, label_delay_s=0.2)
    places = [server.ids.index(label["request_id"]) for label in server.labels]
    assert all(one < other for one, other in pairwise(places))

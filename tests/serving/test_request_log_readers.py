"""Readers of the log's tables: scans, past requests, labels and their counts, and how long all of it is kept."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from include.gates.columns import stage_columns
from include.lake.connections import open_duckdb
from include.serving.protocols.calls import Call
from include.serving.request_log.compaction import Compactor
from include.serving.request_log.feedback import FeedbackCounts, feedback_counts, scan_labels
from include.serving.request_log.find import find_request
from include.serving.request_log.retention import keep_house
from include.serving.request_log.tables import FEEDBACK, INFERENCE, scan_feedback, scan_inference
from include.serving.request_log.writer import Label
from include.serving.routing import entity_key
from include.settings import Settings
from include.spec.loader import find_definition
from tests.serving.log_world import COLUMNS, NOW_US, ROW, answer, logged, open_log, shape, without_suites

DAY_US = 86_400_000_000


@pytest.fixture
def here(settings: Settings) -> Settings:
    return without_suites(settings)


def test_without_a_request_the_tables_are_empty_and_nothing_is_found(here: Settings) -> None:
    assert logged(here) == logged(here, table="feedback") == []
    assert find_request(here, "m", "nobody") == []
    assert feedback_counts(here, "m") == FeedbackCounts(applied=0, repeated=0, changed=0, unknown=0, rows=0)


def test_a_scan_since_an_instant_and_of_some_columns(here: Settings) -> None:
    log = open_log(here)
    for days in (0, 1, 3):
        answer(log, f"r{days}", at_us=NOW_US - days * DAY_US)
        log.feedback(model="m", request_id="f", received_us=NOW_US - days * DAY_US, labels=[Label(label=days)])
    Compactor(here).run()
    since = datetime.fromtimestamp(NOW_US / 1e6, UTC) - timedelta(days=1, seconds=1)
    with open_duckdb(here) as connection:
        scan_inference(connection, here, "m", "requests", since=since, columns=["request_id"])
        scan_feedback(connection, here, "m", "labels", since=since)
        assert connection.execute("SELECT * FROM requests ORDER BY ALL").fetchall() == [("r0",), ("r1",)]
        assert connection.execute("SELECT label FROM labels ORDER BY ALL").fetchall() == [(0.0,), (1.0,)]


def test_suites_may_name_the_columns_that_the_tables_have() -> None:
    settings = Settings.from_environment({})
    definition = find_definition(settings, "flight_delay")
    assert [name for name in stage_columns(definition, "inference") if "input_" not in name] == INFERENCE.names
    assert list(stage_columns(definition, "feedback")) == FEEDBACK.names
    assert "input_carrier" in stage_columns(definition, "inference")


def test_a_past_request_is_found_before_and_after_it_is_compacted(here: Settings) -> None:
    log = open_log(here)
    personal = shape(personal=frozenset({"carrier"}))
    log.failed(shape=shape(2), request_id="a", role="canary", revision=3, at_us=NOW_US, asked=False, protocol="rows",
               call=Call(1, rows=[ROW]), latency_us=5, error="it fails")  # fmt: skip
    answer(log, "a", ROW, {**ROW, "seats": 150}, of=personal)
    answer(log, "aa")
    log.feedback(model="m", request_id="a", received_us=NOW_US, labels=[Label(label=1, request_id="a")])
    fresh = find_request(here, "m", "a")
    Compactor(here).run()
    assert find_request(here, "m", "a") == fresh
    assert [(row.row, row.version, row.answered) for row in fresh] == [(0, 1, True), (1, 1, True), (0, 2, False)]
    assert set(fresh[0].inputs) >= set(COLUMNS)
    assert (fresh[0].inputs["at"], fresh[1].inputs["seats"]) == (ROW["at"], 150)
    assert len(fresh[0].inputs["carrier"]) == 32
    assert (fresh[2].inputs["carrier"], fresh[2].error) == ("UA", "it fails")
    assert find_request(here, "n", "a") == []


@pytest.mark.parametrize("days", [1, 5, 60])
def test_an_old_request_is_found_too(here: Settings, days: int) -> None:
    answer(open_log(here), "old", at_us=NOW_US - days * DAY_US)
    Compactor(here).run()
    assert [row.prediction for row in find_request(here, "m", "old")] == [0.25]


def test_an_input_whose_type_changed_is_found_under_its_own_name(here: Settings) -> None:
    log = open_log(here)
    answer(log, "a")
    Compactor(here).run()
    answer(log, "b", {**ROW, "seats": "many"}, of=shape(2, columns={**COLUMNS, "seats": "string"}))
    Compactor(here).run()
    assert find_request(here, "m", "b")[0].inputs["seats"] == "many"
    assert find_request(here, "m", "a")[0].inputs["seats"] == 149


def test_labels_late_repeated_changed_and_unknown_are_counted_and_the_newest_wins(here: Settings) -> None:
    log = open_log(here)
    of = shape()
    united, delta = (entity_key(of.entity, {"carrier": carrier}) for carrier in ("UA", "DL"))

    def say(at: int, *labels: Label) -> None:
        log.feedback(model="m", request_id=f"f{at}", received_us=NOW_US + at, labels=labels)

    say(1, Label(label=1, request_id="early"), Label(label=1, request_id="never"))
    Compactor(here).run()
    assert feedback_counts(here, "m") == FeedbackCounts(applied=0, repeated=0, changed=0, unknown=2, rows=0)
    answer(log, "early")
    answer(log, "two", ROW, {**ROW, "carrier": "AA"})
    say(2, Label(label=1, request_id="two", row=1), Label(label=1, request_id="two", row=7))
    say(3, Label(label=0, request_id="two", row=1), Label(label=0, request_id="two", row=1))
    say(4, Label(label=1, entity=united), Label(label=1, entity=delta))
    say(5, Label(label=0, request_id="early"))
    Compactor(here).run()
    found = feedback_counts(here, "m")
    assert found == FeedbackCounts(applied=3, repeated=1, changed=2, unknown=3, rows=3)
    with open_duckdb(here) as connection:
        scan_labels(connection, here, "m", "labels")
        labels = connection.execute('SELECT request_id, "row", label FROM labels ORDER BY ALL').fetchall()
    # A label of the row goes before one of its entity.
    assert labels == [("early", 0, 0.0), ("two", 0, 1.0), ("two", 1, 0.0)]


def test_a_label_for_a_shadow_score_or_a_failure_alone_is_unknown(here: Settings) -> None:
    log = open_log(here)
    log.failed(shape=shape(), request_id="a", role="champion", revision=3, at_us=NOW_US, asked=False, protocol="rows",
               call=Call(1, rows=[ROW]), latency_us=5, error="it fails")  # fmt: skip
    log.feedback(model="m", request_id="f", received_us=NOW_US, labels=[Label(label=1, request_id="a")])
    Compactor(here).run()
    assert feedback_counts(here, "m").unknown == 1


def test_days_past_the_definitions_retention_leave_the_tables(here: Settings) -> None:
    flights = shape(model="flight_delay")
    other = shape(model="removed_model")
    log = open_log(here)
    for days in (0, 89, 92):
        for of in (flights, other):
            answer(log, f"r{days}", of=of, at_us=NOW_US - days * DAY_US)
        old = [Label(label=1, request_id="x")]
        log.feedback(model="flight_delay", request_id="f", received_us=NOW_US - days * DAY_US, labels=old)
    Compactor(here).run()
    assert keep_house(here) == {"flight_delay": 2, "removed_model": 1}
    assert logged(here, "request_id", model="flight_delay") == ["r0", "r89"]
    assert len(logged(here, model="flight_delay", table="feedback")) == 2
    assert keep_house(here) == {"flight_delay": 0, "removed_model": 0}
    Compactor(here).run()  # the segment is still open: what was dropped does not come back
    assert logged(here, "request_id", model="flight_delay") == ["r0", "r89"]


def test_a_definition_that_is_broken_keeps_its_rows(here: Settings) -> None:
    broken = replace(here, models=here.home / "models")
    broken.models.mkdir(parents=True)
    (broken.models / "m.yaml").write_text("model: [")
    answer(open_log(here), "old", at_us=NOW_US - 400 * DAY_US)
    Compactor(here).run()
    assert keep_house(broken) == {}
    assert logged(here, "request_id") == ["old"]


def test_readers_are_not_disturbed_by_compaction_joining_and_sweeping(here: Settings) -> None:
    log = open_log(here)
    compactor = Compactor(here)
    answer(log, "r")
    compactor.run()
    stop, counts, errors = threading.Event(), [0], []

    def read() -> None:
        while not stop.is_set():
            try:
                counts.append(len(logged(here, "request_id")))
            except Exception as error:  # noqa: BLE001 - whatever a reader meets fails the test
                errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(8):
        answer(log, f"r{number}")
        compactor.run()
        compactor.done.commits["m", "inference"] = 1000
        compactor.join_small_files()
        compactor.keep_house()
    stop.set()
    reader.join()
    assert errors == []
    assert counts == sorted(counts)

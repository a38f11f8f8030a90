"""Every logged record is in its table exactly once, whatever is killed, torn, refused or broken on the way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from include.lake.paths import quarantine_folder, table_folder
from include.registry.results import find_checks
from include.serving.protocols.calls import Call
from include.serving.request_log.commits import OpenedTable, repair
from include.serving.request_log.compaction import Compactor, compactor_lock
from include.serving.request_log.gate import record_refusals
from include.serving.request_log.segments import DAMAGED, log_folder
from include.serving.request_log.writer import Label
from include.settings import PROJECT, Settings
from tests.serving.log_world import (
    NOW_US,
    ROW,
    answer,
    logged,
    open_log,
    segment_files,
    shape,
    without_suites,
    write_suite,
)

PREDICTION = {
    "type": "expect_column_values_to_be_between",
    "kwargs": {"column": "prediction", "min_value": 0, "max_value": 1},
}


@pytest.fixture
def here(settings: Settings) -> Settings:
    return without_suites(settings)


def failed(log: Any, request_id: str, version: int = 2) -> None:
    log.failed(shape=shape(version), request_id=request_id, role="canary", revision=3, at_us=NOW_US, asked=False,
               protocol="rows", call=Call(1, rows=[ROW]), latency_us=5, error="ValueError: it\nfails")  # fmt: skip


def test_an_open_segment_is_read_on_from_where_the_table_is(here: Settings) -> None:
    log = open_log(here)
    for number in range(3):
        answer(log, f"a{number}")
        Compactor(here).run()  # each time a process that knows nothing
    same = Compactor(here)
    for number in range(3):
        answer(log, f"b{number}", of=shape(2))
        assert same.run()
    assert logged(here, "request_id") == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert len(segment_files(here)) == 1
    assert same.lag_seconds() == 0
    log.close()
    assert same.run()
    assert segment_files(here) == []


def test_one_compactor_works_at_a_time(here: Settings) -> None:
    answer(open_log(here), "a")
    with compactor_lock(here) as held:
        assert held
        assert not Compactor(here).run()
    assert Compactor(here).run()


def test_a_stale_compactor_cannot_commit_what_another_has_committed(here: Settings) -> None:
    log = open_log(here)
    answer(log, "a")
    Compactor(here).run()
    stale = OpenedTable(here, "m", "inference")
    answer(log, "b")
    Compactor(here).run()
    rows = pq.read_table(next(table_folder(here, "m", "inference").rglob("*.parquet")), partitioning=None)
    with pytest.raises(Exception, match="The records stay in the log's segments"):
        stale.append(rows.append_column("day", [["2026-01-01"]]), {Path(segment_files(here)[0]).stem: 10**6}, {})
    assert logged(here, "request_id") == ["a", "b"]


def test_torn_and_damaged_lines_are_counted_and_hold_nothing_up(here: Settings) -> None:
    log = open_log(here)
    answer(log, "a")
    [path] = segment_files(here)
    with path.open("ab") as file:
        file.write(b"\0" * 50 + b'{"kind": "answer"\n' + b'{"kind":"answer","model":"m","version":1,"id":"odd"}\n')
    answer(log, "b")
    log.close()
    [path] = segment_files(here)
    with path.open("ab") as file:
        file.write(b'{"kind":"answer","mod')
    compactor = Compactor(here)
    compactor.run()
    assert logged(here, "request_id") == ["a", "b"]
    assert compactor.done.damaged == 3
    assert segment_files(here) == []
    assert [kept.name for kept in (log_folder(here.home) / DAMAGED).iterdir()] == [path.name]


ODD = {"kind": "answer", "model": "m", "version": 1, "id": "odd", "at": NOW_US, "role": "champion", "deployment": None,
       "revision": 3, "count": 1, "asked": False, "protocol": "rows", "predictions": [0.5], "latency": 1}  # fmt: skip


@pytest.mark.parametrize(
    "damage",
    [
        {"latency": "x"},
        {"at": 10**30},
        {"count": 10**15},
        {"role": [1]},
        {"version": []},
        {"kind": []},
        {"id": {"a": 1}},
    ],
    ids=str,
)
def test_a_record_with_values_of_another_kind_holds_no_other_up(here: Settings, damage: dict[str, Any]) -> None:
    log = open_log(here)
    answer(log, "a")
    [path] = segment_files(here)
    with path.open("ab") as file:
        file.write(json.dumps({**ODD, "rows": [list(ROW.values())], **damage}).encode() + b"\n")
    answer(log, "b")
    log.close()
    compactor = Compactor(here)
    compactor.run()
    assert logged(here, "request_id") == ["a", "b"]
    assert (compactor.done.damaged, compactor.done.problems) == (1, {})


def test_a_damaged_shape_or_label_holds_nothing_up(here: Settings) -> None:
    log = open_log(here)
    answer(log, "a")
    log.feedback(model="m", request_id="l", received_us=NOW_US, labels=[Label(label=1.0, request_id="a", row=0)])
    [path] = segment_files(here)
    label = {"kind": "feedback", "model": "m", "at": NOW_US, "labels": [["a", "first", None, 1.0, None]]}
    shape_of = {
        "kind": "shape",
        "model": "m",
        "version": 1,
        "columns": 7,
        "entity": {},
        "personal": [],
        "time_zone": "UTC",
    }
    with path.open("ab") as file:
        file.write(b"".join(json.dumps(one).encode() + b"\n" for one in (label, shape_of)))
    answer(log, "b")
    log.close()
    compactor = Compactor(here)
    compactor.run()
    assert logged(here, "request_id") == ["a", "b"]
    assert logged(here, "label", table="feedback") == [1.0]
    assert (compactor.done.damaged, compactor.done.problems) == (2, {})


def test_a_new_version_may_have_other_inputs_and_other_types(here: Settings) -> None:
    log = open_log(here)
    answer(log, "a", of=shape(1))
    Compactor(here).run()
    other = {"carrier": "string", "seats": "string", "gate": "integer", "temp": "integer"}
    answer(log, "b", {"carrier": "AA", "seats": "many", "gate": 7, "temp": 3}, of=shape(2, columns=other))
    Compactor(here).run()
    first, second = logged(here)
    assert (first["input_seats"], first["input_temp"], first["input_gate"]) == (149, 39.5, None)
    assert (second["input_seats"], second["input_seats_string"], second["input_gate"]) == (None, "many", 7)
    assert (second["input_temp"], second["input_temp_integer"]) == (None, 3)


def test_timestamps_are_brought_to_the_sources_clock(here: Settings) -> None:
    log = open_log(here)
    local = shape(time_zone="America/New_York")
    for number, text in enumerate(("2013-10-01T05:00:00", "2013-10-01 09:00:00Z", "no time")):
        answer(log, f"r{number}", {**ROW, "at": text}, of=local)
    Compactor(here).run()
    same, converted, none = logged(here, "input_at")
    assert (same, none) == (converted, None)


@pytest.mark.parametrize("more", [[], ["2013-10-01T05:00:00.1234567"]], ids=["plain", "one too fine for Arrow"])
def test_every_writing_of_a_local_time_is_read_as_python_reads_it(here: Settings, more: list[str]) -> None:
    texts = ["2013-10-01", "2013-10-01 05", "2013-10-01T05:07", "2013-10-01T05:07:09.5", "1901-02-03T04:05:06.123456"]
    texts += ["9999-12-31 23:59:59", *more]
    log = open_log(here)
    answer(log, "r", *({**ROW, "at": text} for text in texts), of=shape(time_zone="America/New_York"))
    Compactor(here).run()
    assert logged(here, "input_at") == [datetime.fromisoformat(text) for text in texts]


def test_failures_and_shadow_scores_stand_beside_the_answer(here: Settings) -> None:
    log = open_log(here)
    failed(log, "a")
    answer(log, "a", ROW, ROW)
    scores = [[0, 0.5, 11, 12, None], [1, None, None, None, "bad"]]
    log.shadow({"id": "a", "model": "m", "version": 3, "role": "shadow", "revision": 4, "at": NOW_US,
                "deployment": "run-1", "count": 2, "scores": scores})  # fmt: skip
    Compactor(here).run()
    columns = 'version, "row", role, answered, prediction, latency_us, champion_latency_us, error, rows_in_request'
    assert [tuple(row.values()) for row in logged(here, columns)] == [
        (1, 0, "champion", True, 0.25, 120, None, None, 2),
        (2, 0, "canary", False, None, 5, None, "ValueError: it fails", 1),
        (3, 0, "shadow", False, 0.5, 11, 12, None, 2),
        (1, 1, "champion", True, 0.25, 120, None, None, 2),
        (3, 1, "shadow", False, None, None, None, "bad", 2),
    ]


@pytest.mark.database
def test_a_refused_batch_is_kept_apart_once_and_the_other_version_and_failures_pass(
    stored_settings: Settings,
) -> None:
    here = without_suites(stored_settings)
    write_suite(here, "inference", [PREDICTION])
    log = open_log(here)
    answer(log, "good")
    answer(log, "bad", of=shape(2), predictions=[17.0])
    failed(log, "failed")
    compactor = Compactor(here)
    compactor.run()
    Compactor(here).run()  # does not see it again
    assert logged(here, "request_id") == ["failed", "good"]
    assert compactor.done.quarantined == 1
    [folder] = [path for path in (here.store / "quarantine" / "m").iterdir() if not path.name.startswith(".")]
    assert pq.read_table(folder / "rows.parquet").column("request_id").to_pylist() == ["bad"]
    assert "between 0 and 1" in (folder / "gate.json").read_text()
    away = replace(here, database_url="postgresql://127.0.0.1:9/away")
    with pytest.raises(Exception, match="does not answer"):
        record_refusals(away)
    assert (record_refusals(here), record_refusals(here)) == (1, 0)
    [check] = find_checks(here, "m")
    assert (check.kind, check.stage, check.verdict) == ("gate", "inference", "refused")
    assert check.details["quarantine"] == folder.name


def test_a_batch_that_was_refused_before_a_crash_is_refused_once(
    here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_suite(here, "inference", [PREDICTION])
    log = open_log(here)
    answer(log, "bad", predictions=[17.0])

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(OpenedTable, "append", crash)
        with pytest.raises(KeyboardInterrupt):
            Compactor(here).run()
    answer(log, "worse", predictions=[18.0])
    Compactor(here).run()
    [folder] = (here.store / "quarantine" / "m").iterdir()
    assert pq.read_table(folder / "rows.parquet").column("request_id").to_pylist() == ["bad", "worse"]
    assert quarantine_folder(here, "m", folder.name) == folder
    assert logged(here, "request_id") == []


def test_a_suite_that_is_wrong_holds_its_model_up_and_loses_nothing(here: Settings) -> None:
    write_suite(here, "inference", [{"type": "expect_nothing", "kwargs": {}}])
    log = open_log(here)
    answer(log, "waits")
    answer(log, "goes on", of=shape(model="n"))
    log.close()
    compactor = Compactor(here)
    compactor.run()
    assert "there is no expectation of the type 'expect_nothing'" in compactor.done.problems["m"]
    assert logged(here, "request_id", model="n") == ["goes on"]
    assert len(segment_files(here)) == 1
    assert compactor.lag_seconds() > 0
    write_suite(here, "inference", [PREDICTION])
    Compactor(here).run()
    assert logged(here, "request_id") == ["waits"]
    assert segment_files(here) == []


def test_an_expectation_on_an_input_that_a_version_lacks_does_not_refuse_it(here: Settings) -> None:
    not_null = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "input_gate"}}
    write_suite(here, "inference", [PREDICTION, not_null])
    answer(open_log(here), "a")
    Compactor(here).run()
    assert logged(here, "request_id") == ["a"]


def test_a_feedback_suite_judges_labels(here: Settings) -> None:
    within = {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "label", "value_set": [0, 1]}}
    write_suite(here, "feedback", [within])
    log = open_log(here)
    log.feedback(model="m", request_id="f", received_us=NOW_US, labels=[Label(label=1, request_id="a")])
    compactor = Compactor(here)
    for number in range(9):
        wrong = [Label(label=1, request_id="b"), Label(label=17, request_id="c")]
        right = [Label(label=0, request_id=f"r{number}")]
        log.feedback(model="m", request_id="g", received_us=NOW_US, labels=wrong if number == 5 else right)
    compactor.run()
    compactor.run()
    # Of one batch only the request with the wrong label is held back, all of it.
    assert sorted(logged(here, "label", table="feedback")) == [0.0] * 8 + [1.0]
    assert compactor.done.quarantined == 2


def test_a_disk_that_is_full_keeps_the_segments_until_there_is_room(
    here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(here)
    answer(log, "a")
    log.close()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as no_room:
        no_room.setattr("include.serving.request_log.commits.write_deltalake", full)
        compactor = Compactor(here)
        compactor.run()
    assert "No space left" in compactor.done.problems["m"]
    assert len(segment_files(here)) == 1
    Compactor(here).run()
    assert (logged(here, "request_id"), segment_files(here)) == (["a"], [])


@pytest.mark.parametrize("broken", ["commit", "empty commit", "rows", "missing rows"])
def test_a_commit_that_a_power_loss_broke_is_taken_back_and_made_again(here: Settings, broken: str) -> None:
    log = open_log(here)
    answer(log, "a")
    Compactor(here).run()
    kept = set(table_folder(here, "m", "inference").rglob("*.parquet"))
    answer(log, "b")
    Compactor(here).run()
    folder = table_folder(here, "m", "inference")
    [new] = set(folder.rglob("*.parquet")) - kept
    commit = max((folder / "_delta_log").glob("*.json"))
    if broken == "commit":
        commit.write_bytes(commit.read_bytes()[:-40])
    elif broken == "empty commit":
        commit.write_bytes(b"")
    elif broken == "rows":
        new.write_bytes(b"\0" * new.stat().st_size)
    else:
        new.unlink()
    Compactor(here).run()
    assert logged(here, "request_id") == ["a", "b"]
    assert repair(folder) is None


def test_a_damaged_checkpoint_does_not_close_the_table(here: Settings) -> None:
    log = open_log(here)
    answer(log, "a")
    compactor = Compactor(here)
    compactor.run()
    compactor.keep_house()
    log_of_table = table_folder(here, "m", "inference") / "_delta_log"
    [checkpoint] = log_of_table.glob("*.checkpoint.parquet")
    checkpoint.write_bytes(b"\0" * 100)
    answer(log, "b")
    Compactor(here).run()
    assert logged(here, "request_id") == ["a", "b"]


def test_small_files_are_joined_without_losing_a_row_or_a_position(here: Settings) -> None:
    log = open_log(here)
    compactor = Compactor(here)
    for number in range(41):
        answer(log, f"r{number:02}")
        compactor.run()
    assert len(_live_files(here)) == 41
    compactor.join_small_files()
    assert len(_live_files(here)) == 1
    Compactor(here).run()
    assert logged(here, "request_id") == [f"r{number:02}" for number in range(41)]


def _live_files(settings: Settings) -> list[str]:
    from include.serving.request_log.tables import dataset

    return list(dataset(settings, "m", "inference").files)


def test_by_hand_it_says_what_it_did(here: Settings) -> None:
    answer(open_log(here), "a")
    environment = {**os.environ, "NORIA_HOME": str(here.home), "NORIA_EXPECTATIONS": str(here.expectations)}
    command = [sys.executable, "-m", "include.serving.request_log", "compact"]
    run = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)
    assert '"inference": 1' in run.stdout
    assert logged(here, "request_id") == ["a"]
    shutil.rmtree(log_folder(here.home))
    subprocess.run(command, cwd=PROJECT, env=environment, check=True, capture_output=True)

"""What may be lost or come twice when processes, disks and months get in between: nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from include.lake.paths import table_folder
from include.serving.request_log import commits, find, retention, segments
from include.serving.request_log.compaction import Compactor
from include.serving.request_log.find import find_request
from include.serving.request_log.gate import SOURCE
from include.serving.request_log.retention import keep_house
from include.serving.request_log.writer import Label
from include.settings import Settings
from tests.serving.log_world import (
    COLUMNS,
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


@pytest.fixture
def here(settings: Settings) -> Settings:
    return without_suites(settings)


def test_a_segment_stays_until_its_commit_is_on_the_disk_whoever_made_the_commit(
    here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(here)
    answer(log, "a")
    compactor = Compactor(here)
    compactor.run()
    answer(log, "b")
    log.close()

    def broken(_: Path) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as disk:
        disk.setattr(commits, "to_disk", broken)
        compactor.run()
        assert logged(here, "request_id") == ["a", "b"]
        Compactor(here).run()  # its predecessor was killed before the commit was on the disk
        assert len(segment_files(here)) == 1
    synced: list[Path] = []
    monkeypatch.setattr(commits, "to_disk", synced.append)
    Compactor(here).run()
    assert [path.suffix for path in synced if path.is_file()] == [".parquet", ".json"]
    assert (logged(here, "request_id"), segment_files(here)) == (["a", "b"], [])


def test_a_broken_commit_is_taken_back_together_with_the_checkpoint_that_was_made_of_it(here: Settings) -> None:
    log, compactor = open_log(here), Compactor(here)
    folder = table_folder(here, "m", "inference")
    number = 0
    while not list(folder.glob("_delta_log/*.checkpoint.parquet")):
        before = set(folder.glob("day=*/*.parquet"))
        answer(log, f"r{number:03}")
        compactor.run()
        number += 1
    [new] = set(folder.glob("day=*/*.parquet")) - before
    new.write_bytes(b"")
    Compactor(here).run()
    assert logged(here, "request_id") == [f"r{n:03}" for n in range(number)]


def test_log_entries_leave_only_when_the_checkpoint_for_them_is_on_the_disk(
    here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(open_log(here), "a")
    Compactor(here).run()
    entries = table_folder(here, "m", "inference") / "_delta_log"
    for path in entries.glob("*.json"):
        os.utime(path, (time.time() - 10 * 86_400,) * 2)

    def broken(_: Path) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as disk:
        disk.setattr(retention, "settle", broken)
        keep_house(here)
        assert len(list(entries.glob("*.json"))) == 2
    keep_house(here)
    assert len(list(entries.glob("*.json"))) == 1
    assert logged(here, "request_id") == ["a"]


def test_a_segment_that_outlives_its_position_in_the_table_is_not_read_twice(
    here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(here)
    month_ago = time.time() - 31 * 86_400
    answer(log, "a", at_us=int(month_ago * 1e6))
    [path] = segment_files(here)
    old_name = time.strftime("%Y%m%dT%H%M%S000000", time.gmtime(month_ago))
    path.rename(path.with_name(f"{old_name}-1-abc.open"))
    with monkeypatch.context() as then:
        then.setattr(commits.time, "time", lambda: month_ago)
        Compactor(here).run()
    assert logged(here, "request_id") == ["a"]
    answer(log, "b")
    Compactor(here).run()
    assert logged(here, "request_id") == ["a", "b"]


def test_two_versions_of_one_batch_may_have_other_types(here: Settings) -> None:
    log = open_log(here)
    answer(log, "a")
    answer(log, "b", {**ROW, "seats": "many"}, of=shape(2, columns={**COLUMNS, "seats": "string"}))
    compactor = Compactor(here)
    compactor.run()
    assert compactor.done.problems == {}
    assert [find_request(here, "m", name)[0].inputs["seats"] for name in "ab"] == [149, "many"]


def test_a_prediction_that_is_no_number_does_not_hold_the_log_up(here: Settings) -> None:
    log = open_log(here)
    answer(log, "a")
    answer(log, "text", predictions=["late"])
    answer(log, "list", predictions=[[0.25, 0.75]])
    answer(log, "nan", predictions=[float("nan")])
    compactor = Compactor(here)
    compactor.run()
    assert logged(here, "request_id") == ["a", "nan"]
    assert (compactor.done.damaged, compactor.done.problems) == (2, {})


def test_however_many_labels_are_wrong_the_right_ones_of_the_batch_pass(here: Settings) -> None:
    within = {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "label", "value_set": [0, 1]}}
    write_suite(here, "feedback", [within])
    log = open_log(here)
    for number in range(400):
        label = Label(label=17 if number % 40 == 7 else 1, request_id=f"r{number}")
        log.feedback(model="m", request_id="f", received_us=NOW_US, labels=[label])
    compactor = Compactor(here)
    compactor.run()
    assert compactor.done.quarantined == 10
    assert logged(here, "label", table="feedback") == [1.0] * 390


def test_what_the_gate_refused_is_kept_no_longer_than_the_rest(here: Settings) -> None:
    write_suite(here, "inference", [{"type": "expect_column_values_to_be_null", "kwargs": {"column": "prediction"}}])
    answer(open_log(here), "refused")
    Compactor(here).run()
    [document] = (here.store / "quarantine" / "m").glob("*/gate.json")
    partition = document.parent.parent / "2013-10-01" / "gate.json"
    partition.parent.mkdir()
    partition.write_text(document.read_text().replace(SOURCE, "source"))
    for days, kept in ((89, True), (91, False)):
        for path in (document, partition):
            os.utime(path, (time.time() - days * 86_400,) * 2)
        keep_house(here)
        assert document.parent.exists() is kept
    assert partition.exists()


def test_a_segment_that_is_closed_at_this_moment_is_brought_to_the_disk_all_the_same(
    here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(here)
    answer(log, "a")
    [found] = segments.list_segments(segments.log_folder(here.home))
    log.close()
    synced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda handle: synced.append(os.fstat(handle).st_size))
    segments.sync(found)
    assert synced == [segment_files(here)[0].stat().st_size]


def test_a_request_that_is_compacted_while_it_is_looked_for_is_found(
    here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(here)
    answer(log, "a")
    log.close()
    real = find._in_segments

    def too_late(*asked: str | Settings) -> list[find.LoggedRow]:
        Compactor(here).run()
        return real(*asked)  # type: ignore[arg-type]

    monkeypatch.setattr(find, "_in_segments", too_late)
    assert [row.prediction for row in find_request(here, "m", "a")] == [0.25]


def test_what_a_model_says_of_a_person_as_it_fails_is_not_written(here: Settings) -> None:
    from include.serving.protocols.calls import Call

    log = open_log(here)
    for of in (shape(), shape(2, personal=frozenset({"carrier"}))):
        log.failed(shape=of, request_id="f", role="canary", revision=1, at_us=NOW_US, asked=False, protocol="rows",
                   call=Call(1, rows=[ROW]), latency_us=3, error="KeyError: 'Ada'\n\udce4")  # fmt: skip
    Compactor(here).run()
    first, second = logged(here, "error")
    assert first == "KeyError: 'Ada' ?"
    assert "Ada" not in second
    assert "personal" in second

"""A request is in the log before it is answered, in one write, without personal values; a full disk costs no answer."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import signal
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from include.hashing import KEY_FILE, Hashing, HashingKeyUnusable
from include.serving.protocols.calls import Call
from include.serving.request_log import records, segments
from include.serving.request_log.compaction import Compactor
from include.serving.request_log.writer import Label, RequestLog
from include.serving.routing import entity_key
from include.settings import Settings
from tests.serving.log_world import COLUMNS, ROW, answer, logged, open_log, segment_files, shape, without_suites

# Forks of a process that has only imported: pytest's own has threads, whose locks a fork would find held for ever.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__])


@pytest.fixture
def here(settings: Settings) -> Settings:
    return without_suites(settings)


def exit_code(work: Callable[[Settings], None], settings: Settings) -> int | None:
    """How a process of its own ended that did this."""
    process = _processes.Process(target=work, args=(settings,))
    process.start()
    process.join(60)
    return process.exitcode


def lines(settings: Settings) -> list[dict[str, object]]:
    return [orjson.loads(line) for path in segment_files(settings) for line in path.read_bytes().splitlines()]


def test_a_request_is_one_write_and_describes_its_version_once(here: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    log = open_log(here)
    writes = []
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: writes.append(data) or real(handle, data))
    assert answer(log, "a")
    assert answer(log, "b")
    assert answer(log, "c", of=shape(2))
    assert len(writes) == 3
    assert [line["kind"] for line in lines(here)] == ["shape", "answer", "answer", "shape", "answer"]
    assert log.bytes_written == sum(map(len, writes))


def test_rows_and_columns_of_a_request_become_the_same_rows(here: Settings) -> None:
    log = open_log(here)
    columns = {name: [value, None] for name, value in ROW.items()} | {"temp": np.array([39.5, np.nan])}
    answer(log, "rows", ROW, dict.fromkeys(ROW))
    answer(log, "columns", call=Call(2, columns=columns), predictions=np.array([0.25, 0.25]))
    Compactor(here).run()
    chosen = ", ".join(['"row"', "entity", *(f"input_{name}" for name in COLUMNS)])
    by_columns, by_rows = (logged(here, chosen)[start : start + 2] for start in (0, 2))
    assert by_columns == by_rows
    assert by_rows[0]["input_seats"] == 149
    assert by_rows[0]["entity"] is not None


def test_personal_values_and_their_entities_are_nowhere_on_disk(here: Settings) -> None:
    personal = shape(entity={"passenger": "string", "seats": "integer"}, personal=frozenset({"passenger", "carrier"}))
    log = open_log(here)
    row = {**ROW, "passenger": "Ada-Lovelace", "carrier": "secret-carrier", "seats": 87654321}
    answer(log, "r", row, row, of=personal)
    answer(log, "c", of=personal, call=Call(1, columns={name: [value] for name, value in row.items()}))
    failing = {"shape": personal, "request_id": "f", "role": "canary", "revision": 1, "at_us": 1, "asked": False}
    log.failed(**failing, protocol="rows", call=Call(1, rows=[row]), latency_us=3, error="it failed")
    key = entity_key(personal.entity, row)
    log.feedback(model="m", request_id="g", received_us=1, labels=[Label(label=1, entity=key)])
    Compactor(here).run()
    files = [path.read_bytes() for path in here.home.rglob("*") if path.is_file()]
    assert not [True for content in files for secret in (b"Ada-Lovelace", b"secret-carrier") if secret in content]
    found = logged(here, "DISTINCT entity")
    assert found == logged(here, "entity", table="feedback")
    assert logged(here, "DISTINCT input_carrier") == [Hashing.of(here).text("secret-carrier")]


def test_an_entity_that_is_no_input_is_hashed_too_and_needs_not_be_given(here: Settings) -> None:
    wide = shape(entity={"carrier": "string", "flight": "integer"})
    log = open_log(here)
    answer(log, "a", {**ROW, "flight": 1545}, of=wide)
    answer(log, "b", ROW, of=wide)
    Compactor(here).run()
    with_flight, without = logged(here, "entity")
    assert with_flight == Hashing.of(here).text('["UA",1545]')
    assert without != with_flight
    assert not [name for name in logged(here)[0] if "flight" in name]


def _key(settings: Settings, _: int) -> str:
    return Hashing.of(settings).text("x")


def test_workers_that_start_together_share_one_secret_key(here: Settings) -> None:
    with _processes.Pool(8) as pool:
        hashes = pool.starmap(_key, [(here, number) for number in range(64)], chunksize=1)
    assert len(set(hashes)) == 1
    key = here.home / "serving" / KEY_FILE
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert [path.name for path in key.parent.iterdir()] == [KEY_FILE]


def test_a_damaged_key_is_said_and_not_replaced(here: Settings) -> None:
    key = here.home / "serving" / KEY_FILE
    key.parent.mkdir(parents=True)
    key.write_bytes(b"short")
    with pytest.raises(HashingKeyUnusable, match="it has 5 bytes, not 32"):
        Hashing.of(here)


def test_a_shared_key_is_used_in_every_home_and_never_made(here: Settings, tmp_path: Path) -> None:
    homes = [replace(here, home=tmp_path / name, hashing_key=tmp_path / "shared.key") for name in "ab"]
    with pytest.raises(HashingKeyUnusable, match=r"shared\.key"):
        Hashing.of(homes[0])
    (tmp_path / "shared.key").write_bytes(b"k" * 32)
    assert [Hashing.of(home).text("x") for home in homes] == [Hashing(b"k" * 32).text("x")] * 2
    assert not any(home.home.exists() for home in homes)


def test_the_same_value_has_the_same_hash_in_every_writing() -> None:
    hashing = Hashing(b"k" * 32)
    assert hashing.value(5) == hashing.value(5.0) != hashing.value("6")
    assert hashing.value(None) is hashing.value(float("nan")) is None
    assert Hashing(b"j" * 32).value(5) != hashing.value(5)
    assert hashing.value(9.2e19) == hashing.value(92 * 10**18)  # numbers of more than 64 bits have a hash too
    assert hashing.value(1e308) not in {None, hashing.value(-1e308)}


def test_segments_are_closed_by_size_and_by_age_and_an_empty_one_leaves_nothing(here: Settings) -> None:
    log = open_log(here, rotate_bytes=1000)
    for number in range(12):
        answer(log, f"r{number}")
    assert [path.suffix for path in segment_files(here)][-1] == ".open"
    assert len(segment_files(here)) > 2
    log.close()
    assert {path.suffix for path in segment_files(here)} == {".closed"}
    old = open_log(here, rotate_seconds=0)
    before = len(segment_files(here))
    answer(old, "a")
    answer(old, "b")
    assert len(segment_files(here)) == before + 2
    Compactor(here).run()
    assert sorted(set(logged(here, "request_id"))) == sorted({*(f"r{n}" for n in range(12)), "a", "b"})


def test_a_disk_that_fills_up_costs_the_record_and_not_the_segment(
    here: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = open_log(here)
    assert answer(log, "before")
    real = os.write
    with monkeypatch.context() as full:
        room = 100

        def take_some(handle: int, data: bytes) -> int:
            nonlocal room
            if not room:
                raise OSError(errno.ENOSPC, "No space left on device")
            written = real(handle, data[:room])
            room -= written
            return written

        full.setattr(os, "write", take_some)
        assert not answer(log, "lost")
        assert not answer(log, "lost too")
        assert log.errors == 2
        assert "No space left" in str(log.last_error)
    assert answer(log, "after")
    assert log.last_error is None
    assert len(segment_files(here)) == 1
    Compactor(here).run()
    assert logged(here, "request_id") == ["after", "before"]


def _write_beyond_limit(settings: Settings) -> None:
    log = open_log(settings)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    given = [answer(log, f"r{number}") for number in range(100)]
    # A file that takes no more is given up for another one.
    code = 0 if log.errors and log.last_error is None and given.count(False) == log.errors else 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    (settings.home / "kept").write_text(f"{given.count(True)} {log.errors} {log.last_error}")
    os._exit(code)


def test_a_file_that_takes_no_more_is_given_up_for_another_one(here: Settings) -> None:
    assert exit_code(_write_beyond_limit, here) == 0
    Compactor(here).run()
    kept = int((here.home / "kept").read_text().split()[0])
    assert len(set(logged(here, "request_id"))) == kept > 90


def test_no_folder_no_record_but_an_answer(here: Settings) -> None:
    blocked = here.home / "blocked"
    blocked.parent.mkdir(parents=True, exist_ok=True)
    blocked.write_text("a file where the folder should be")
    log = RequestLog(blocked / "log", hashing=Hashing(b"k" * 32))
    assert not answer(log, "a")
    assert log.errors == 1


def test_values_that_are_no_json_do_not_stop_a_record(here: Settings) -> None:
    log = open_log(here)
    assert answer(log, "a", {**ROW, "seats": 2**70, "temp": np.float32(1.5)})
    Compactor(here).run()
    assert logged(here, "input_temp") == [1.5]
    assert logged(here, "input_seats") == [None]


def _write_and_be_killed(settings: Settings) -> None:
    answer(open_log(settings), "a")
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_writer_that_was_killed_leaves_an_orphan_that_is_adopted(here: Settings) -> None:
    assert exit_code(_write_and_be_killed, here) == -signal.SIGKILL
    [found] = segments.list_segments(segments.log_folder(here.home))
    assert not found.closed
    assert segments.adopt(found).closed
    living = open_log(here)
    answer(living, "b")
    open_one = segments.list_segments(segments.log_folder(here.home))[-1]
    assert segments.adopt(open_one) == open_one


def test_a_record_is_recognized_or_not_at_all() -> None:
    assert records.read(b'{"kind": "answer", "model": "m"}\n') == {"kind": "answer", "model": "m"}
    for damaged in (b"", b"\0\0\0", b'{"kind": "answ', b"[1]", b'{"kind": "answer"}'):
        assert records.read(damaged) is None


def test_the_shape_comes_from_the_packaged_description_old_or_new() -> None:
    old = records.Shape.of("m", 1, {"columns": {"x": "number"}})
    assert (old.entity, old.personal, old.names) == ({}, frozenset(), ("x",))
    serving = {"entity": {"x": "number", "who": "string"}, "personal": ["who"]}
    new = records.Shape.of("m", 2, {"columns": {"x": "number"}, "serving": serving, "time_zone": "America/New_York"})
    assert (new.names, new.tells_entity, new.time_zone) == (("x",), False, "America/New_York")
    assert replace(new, personal=frozenset()).names == ("x", "who")
    assert records.Shape.read(orjson.loads(new.line)) == new

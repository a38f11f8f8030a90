"""Offers never wait and are counted when they are dropped; scores are evidence, whatever a challenger does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from include.serving import shadow
from include.serving.board import Board
from include.serving.protocols.calls import Call
from include.serving.request_log import segments
from include.serving.shadow import MOST_ROWS, ShadowSender
from include.serving.shadow_inbox import MOST_WAITING, Inbox
from include.serving.shadow_scorer import PAIRED_EVERY, Scorer
from include.serving.stopwatch import Stopwatch
from include.settings import Settings
from tests.serving.live import until
from tests.serving.log_world import open_log
from tests.serving.shadow_world import CHALLENGER, CHAMPION, SHAPE, serving


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("shadow.socket")


@pytest.fixture
def listener(address: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as made:
        made.bind(str(address))
        made.listen(16)
        yield made


def offer(sender: ShadowSender, *rows: dict[str, Any], answered: int = CHAMPION, **changes: Any) -> bool:
    given = list(rows) or [{"x": 1.0}]
    values = {"shape": SHAPE, "request_id": "r", "at_us": 5, "call": Call(len(given), rows=given)}
    return sender.offer(**values | changes, answered_version=answered)


def body(*rows: dict[str, Any], answered: int = CHAMPION, **changes: Any) -> bytes:
    return json.dumps({"id": "r", "at": 5, "answered": answered, "count": len(rows), "rows": rows} | changes).encode()


def shadow_records(settings: Settings) -> list[dict[str, Any]]:
    found = segments.list_segments(segments.log_folder(settings.home))
    return [json.loads(data) for segment in found for _, data in segments.read_lines(segment)]


# ---- the worker's side ----------------------------------------------------------------------------------------------


def test_with_nobody_listening_an_offer_is_dropped_and_soon_not_even_tried(address: Path) -> None:
    sender = ShadowSender(address)
    assert [offer(sender) for _ in range(5)] == [False] * 5
    assert sender.counted() == {"m": (0, 5)}
    assert sender.counted() == {}, "each is counted once"


def test_a_busy_models_rows_are_offered_at_a_bounded_rate_and_another_model_has_its_own(
    address: Path, listener: socket.socket
) -> None:
    sender = ShadowSender(address)
    taken = [offer(sender, *[{"x": 1.0}] * 100) for _ in range(60)]  # of a hundred rows twenty are scored
    saved_up = int(shadow.RATE) // shadow.MOST_ROWS
    assert taken[:saved_up] == [True] * saved_up
    assert taken.count(True) < 2 * saved_up
    assert sender.counted() == {"m": (taken.count(True), taken.count(False))}
    assert offer(sender, shape=replace(SHAPE, model="other"))
    time.sleep(0.6)
    assert [offer(sender) for _ in range(50)] == [True] * 50


def test_a_full_queue_drops_and_counts_and_never_waits(
    address: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow, "RATE", 1e9)
    sender = ShadowSender(address)
    rows = [{"x": float(number), "who": "somebody with a long name"} for number in range(100)]
    began = time.monotonic()
    taken = [offer(sender, *rows) for _ in range(20_000)]
    assert taken[0]
    assert not all(taken)
    assert sender.counted() == {"m": (taken.count(True), taken.count(False))}
    assert time.monotonic() - began < 30
    inbox = Inbox(listener)
    inbox.start()
    until(lambda: offer(sender, *rows))
    inbox.stop()


def test_the_listener_may_go_and_come_again(address: Path, listener: socket.socket) -> None:
    sender = ShadowSender(address)
    assert offer(sender)
    listener.close()
    until(lambda: not offer(sender))
    address.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as again:
        again.bind(str(address))
        again.listen(16)
        until(lambda: offer(sender))
        connection, _ = again.accept()
        assert connection.recv(10_000).startswith(b"m\0{")


def test_of_a_large_request_evenly_spread_rows_are_offered(address: Path, listener: socket.socket) -> None:
    sender = ShadowSender(address)
    many = 1001
    offer(sender, call=Call(many, columns={"x": np.arange(many) * 1.0, "who": ["?"] * many}))
    offer(sender, *[{"x": float(number)} for number in range(many)])
    connection, _ = listener.accept()
    for message in (connection.recv(1 << 20), connection.recv(1 << 20)):
        document = json.loads(message.partition(b"\0")[2])
        values = document["columns"]["x"] if "columns" in document else [row["x"] for row in document["rows"]]
        assert len(values) <= MOST_ROWS
        assert values == [float(number * document["step"]) for number in range(len(values))]


# ---- the queue ------------------------------------------------------------------------------------------------------


def test_what_waits_is_bounded_for_each_model_and_drops_are_counted(listener: socket.socket) -> None:
    inbox = Inbox(listener)
    for number in range(MOST_WAITING + 7):
        inbox.put(f"slow\0{number}".encode())
    assert inbox.put(b"other\0{}")
    assert inbox.dropped == {"slow": 7}
    assert inbox.depths() == {"slow": MOST_WAITING, "other": 1}


def test_a_slow_model_does_not_hold_the_others_up(listener: socket.socket) -> None:
    inbox = Inbox(listener)
    for number in range(10):
        inbox.put(f"slow\0{number}".encode())
        inbox.put(f"fast\0{number}".encode())
    order = []
    while (taken := inbox.take(0)) is not None:
        order.append(taken[0])
        inbox.spend(taken[0], 10.0 if taken[0] == "slow" else 0.001)
    assert order.index("fast") <= 1
    assert order[:12].count("fast") == 10
    assert inbox.take(0.01) is None


def test_a_worker_that_dies_takes_only_its_connection(address: Path, listener: socket.socket) -> None:
    inbox = Inbox(listener)
    inbox.start()
    first, second = ShadowSender(address), ShadowSender(address)
    offer(first)
    first.close()
    offer(second)
    assert [inbox.take(5) is not None for _ in range(2)] == [True, True]
    inbox.stop()


# ---- scoring --------------------------------------------------------------------------------------------------------


def test_the_version_that_did_not_answer_scores_each_row(settings: Settings) -> None:
    log = open_log(settings)
    scorer = Scorer(log, Board())
    served = serving(lambda row: row["x"] / 2)
    scorer.score(served, "m", body({"x": 1.0}, {"x": 4.0, "unknown": 1}))
    scorer.score(served, "m", body({"x": 3.0}, answered=CHALLENGER))
    scorer.score(served, "m", body({"x": 3.0}, answered=77))
    scorer.score(None, "m", body({"x": 3.0}))
    by_challenger, by_champion = shadow_records(settings)
    assert [score[:2] for score in by_challenger["scores"]] == [[0, 0.5], [1, 2.0]]
    assert (by_challenger["version"], by_challenger["role"], by_challenger["deployment"]) == (2, "shadow", "run-1")
    assert (by_champion["version"], by_champion["role"]) == (1, "champion")
    assert [score[:2] for score in by_champion["scores"]] == [[0, 3.0]]
    assert (scorer.scored, scorer.skipped) == ({"m": 3}, {"m": 2})


def test_columns_and_sampled_rows_keep_their_numbers(settings: Settings) -> None:
    scorer = Scorer(open_log(settings), Board())
    document = {"id": "r", "at": 5, "answered": CHAMPION, "count": 9, "step": 3, "columns": {"x": [0, 3, 6]}}
    scorer.score(serving(lambda row: row["x"]), "m", json.dumps(document).encode())
    [record] = shadow_records(settings)
    assert [score[:2] for score in record["scores"]] == [[0, 0.0], [3, 3.0], [6, 6.0]]
    assert record["count"] == 9


def test_of_a_hundred_rows_twenty_are_scored_under_their_own_numbers(
    settings: Settings, address: Path, listener: socket.socket
) -> None:
    offer(ShadowSender(address), *[{"x": float(number)} for number in range(100)])
    connection, _ = listener.accept()
    scorer = Scorer(open_log(settings), Board())
    scorer.score(serving(lambda row: row["x"]), "m", connection.recv(1 << 20).partition(b"\0")[2])
    [record] = shadow_records(settings)
    assert [score[:2] for score in record["scores"]] == [[number, float(number)] for number in range(0, 100, 5)]
    assert record["count"] == 100


def test_every_fourth_row_is_scored_by_the_champion_too_first_and_second_in_turn(settings: Settings) -> None:
    order: list[str] = []
    served = serving(lambda _: order.append("challenger") or 0.5, lambda _: order.append("champion") or 0.4)
    rows = [{"x": 1.0}] * 4 * PAIRED_EVERY
    Scorer(open_log(settings), Board()).score(served, "m", body(*rows))
    [record] = shadow_records(settings)
    assert [number for number, *_, champion_us, _ in record["scores"] if champion_us is not None] == [3, 7, 11, 15]
    assert all(latency is not None for _, _, latency, _, _ in record["scores"])
    pairs = "".join("c" if who == "champion" else "." for who in order)
    assert pairs.count("..c") + pairs.count("c.") >= 4
    assert "c.." in pairs
    assert ".c" in pairs


def says_nothing_good(row: dict[str, Any]) -> Any:
    if row["x"] == 1:
        raise ValueError("no\nones")
    return {2: float("nan"), 3: float("inf"), 5: "half", 6: None}.get(row["x"], 0.5)


def test_what_goes_wrong_in_a_challenger_is_written_down_and_the_next_row_is_scored(settings: Settings) -> None:
    scorer = Scorer(open_log(settings), Board())
    scorer.score(serving(says_nothing_good), "m", body(*[{"x": number} for number in range(7)]))
    [record] = shadow_records(settings)
    assert [(score[1], score[4]) for score in record["scores"]] == [
        (0.5, None),
        (None, "ValueError: no ones"),
        (None, "its prediction is nan"),
        (None, "its prediction is inf"),
        (0.5, None),
        (None, "ValueError: could not convert string to float: 'half'"),
        (None, "TypeError: float() argument must be a string or a real number, not 'NoneType'"),
    ]


def test_what_a_challenger_says_of_a_person_as_it_fails_is_not_written(settings: Settings) -> None:
    served = serving(says_nothing_good)
    served.challenger.loaded.shape = replace(SHAPE, personal=frozenset({"who"}))
    Scorer(open_log(settings), Board()).score(served, "m", body({"x": 1, "who": "Ada"}))
    [record] = shadow_records(settings)
    assert "no ones" not in record["scores"][0][4]


class PastOfEverybody:
    """Gives the rate of the past that a version wants."""

    def gives(self, _: Any) -> frozenset[str]:
        return frozenset({"rate"})

    def fill(self, call: Call, _: Any) -> tuple[Call, list[Any]]:
        return Call(call.count, [{"rate": 0.25, **row} for row in call.rows or []]), []


def test_a_version_that_reads_the_past_scores_rows_without_it_only_if_it_can_be_looked_up(settings: Settings) -> None:
    served = serving(lambda row: row["rate"])
    served.challenger.loaded.history = (SimpleNamespace(columns={"rate": "number"}),)
    alone = Scorer(open_log(settings), Board())
    alone.score(served, "m", body({"x": 1.0}))
    assert (alone.scored, alone.skipped) == ({}, {"m": 1})  # no evidence against it
    past: Any = PastOfEverybody()
    Scorer(open_log(settings), Board(), past=past).score(served, "m", body({"x": 1.0}))
    [record] = shadow_records(settings)
    assert [score[:2] for score in record["scores"]] == [[0, 0.25]]


def test_a_condemned_version_is_not_called_and_has_failures(settings: Settings) -> None:
    served = serving(lambda _: os._exit(1))
    Scorer(open_log(settings), Board(), ["m:2"]).score(served, "m", body({"x": 1.0}))
    [record] = shadow_records(settings)
    assert record["scores"][0][1] is None
    assert "not scored any more" in record["scores"][0][4]


def test_the_board_says_what_is_being_scored_and_since_when(settings: Settings) -> None:
    board, seen = Board(), []
    served = serving(lambda _: seen.append(board.look()) or 0.5)
    Scorer(open_log(settings), board).score(served, "m", body({"x": 1.0}))
    alive, since, task = seen[0]
    assert alive == since > 0
    assert task is not None
    assert (task["model"], task["scoring"], task["row"], task["id"]) == ("m", CHALLENGER, 0, "r")
    board.rest()
    assert board.look()[1:] == (0.0, None)


def test_counts_on_the_board_are_whole_while_they_change() -> None:
    board, stop, broken = Board(), threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            counts = board.counts()
            if counts and len(counts["n"]) != counts["size"]:
                broken.append(counts)

    reader = threading.Thread(target=read)
    reader.start()
    for size in range(300):
        board.publish({"n": "x" * size, "size": size})
    stop.set()
    reader.join()
    assert broken == []


def test_latency_is_of_the_work_and_not_of_the_wait_for_a_processor() -> None:
    watch = Stopwatch()
    watch.start()
    time.sleep(0.05)
    assert watch.microseconds() >= 40_000
    allowed, one_processor = os.sched_getaffinity(0), {min(os.sched_getaffinity(0))}
    spin = [
        sys.executable,
        "-c",
        f"import os; os.sched_setaffinity(0, {one_processor}); print(flush=True)\nwhile True: pass",
    ]
    busy = [subprocess.Popen(spin, stdout=subprocess.PIPE) for _ in range(3)]
    try:
        for process in busy:
            assert process.stdout is not None
            process.stdout.readline()
        os.sched_setaffinity(0, one_processor)
        began = time.perf_counter()
        watch.start()
        _spin(0.3)
        watched, took = watch.microseconds() / 1e6, time.perf_counter() - began
    finally:
        os.sched_setaffinity(0, allowed)
        for process in busy:
            process.kill()
            process.communicate()
    assert watched < 0.8 * took


def _spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass

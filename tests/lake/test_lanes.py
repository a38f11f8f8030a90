"""Lanes: order within one, the first error, what is given up, how much may wait."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from include.lake.lanes import Lanes


def test_work_of_a_lane_keeps_its_order_and_gives_results() -> None:
    done: dict[int, list[int]] = {0: [], 1: []}
    with Lanes() as lanes:
        for number in range(200):
            lanes.run(number % 2, partial(done[number % 2].append, number))
        last = lanes.run(0, lambda: "result")
    assert (done[0], done[1]) == (list(range(0, 200, 2)), list(range(1, 200, 2)))
    assert last.result() == "result"


def test_the_first_error_is_raised_and_stops_what_would_follow() -> None:
    accepted: list[int] = []

    def give() -> None:
        with Lanes() as lanes:
            lanes.run(0, _fail)
            for number in range(1000):
                lanes.run(1, lambda: None)
                accepted.append(number)

    with pytest.raises(OSError, match="disk is full"):
        give()
    assert len(accepted) < 1000


def test_an_error_of_the_last_piece_is_raised_at_the_end() -> None:
    with pytest.raises(OSError, match="disk is full"), Lanes() as lanes:
        lanes.run(0, _fail)


def test_when_the_caller_fails_what_has_not_begun_is_given_up() -> None:
    begun, may_end, done = threading.Event(), threading.Event(), []

    def give() -> None:
        with Lanes() as lanes:
            lanes.run(0, lambda: (begun.set(), may_end.wait(10)))
            lanes.run(0, partial(done.append, "second"))
            begun.wait(10)
            threading.Timer(0.05, may_end.set).start()
            raise ValueError("no more rows")

    with pytest.raises(ValueError, match="no more rows"):
        give()
    assert done == []


def test_the_caller_waits_while_too_much_is_waiting() -> None:
    may_end, given = threading.Event(), []

    def give() -> None:
        with Lanes() as lanes:
            for number in range(50):
                lanes.run(0, may_end.wait)
                given.append(number)

    caller = threading.Thread(target=give)
    caller.start()
    caller.join(0.2)
    waiting = len(given)
    may_end.set()
    caller.join(10)
    assert waiting < 10
    assert len(given) == 50


def _fail() -> None:
    raise OSError("the disk is full")

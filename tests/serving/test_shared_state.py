"""Processes of one server: one asks the database, the others know what it knows, and nobody depends on anybody."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from include.registry import database, stages, state
from include.serving import shared_state
from include.serving.shared_state import SharedReader, SharedState
from include.settings import Settings
from tests.connections import connections
from tests.serving.live import until

pytestmark = pytest.mark.database
WHO = {"actor": "ana", "reason": "because"}
Have = Callable[..., int]


@pytest.fixture
def settings(stored_settings: Settings, have_version: Have) -> Settings:
    """Two models in production; of ``m`` there is a second version."""
    for model in ("m", "other"):
        have_version(1, model=model)
        state.switch_champion(stored_settings, model, 1, **WHO)
    have_version(2)
    return stored_settings


@pytest.fixture
def shared() -> SharedState:
    return SharedState()


@pytest.fixture
def leader(settings: Settings, shared: SharedState) -> Iterator[SharedReader]:
    """It has asked."""
    made = SharedReader(settings, shared)
    made.read()
    yield made
    made.close()


@pytest.fixture
def follower(settings: Settings, shared: SharedState, leader: SharedReader) -> Iterator[SharedReader]:
    """Locks are a process's, so in this one it must not want to lead."""
    made = SharedReader(settings, shared, leads=False)
    yield made
    made.close()


def enter_canary(settings: Settings) -> None:
    plan = {"stage": "canary_10", "kind": "canary", "champion": 1}
    end = datetime.now(UTC) + timedelta(hours=1)
    stages.enter_stage(settings, "m", 2, role="canary", share=0.1, plan=plan, until=end, deployment="d", **WHO)


def grow_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was left is fresh no longer."""
    monkeypatch.setattr(shared_state, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr(shared_state, "QUIET_SECONDS", 0.0)


def be_young(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_state, "FRESH_SECONDS", 3600.0)


def test_what_one_has_read_the_others_know_without_a_connection(
    settings: Settings, leader: SharedReader, follower: SharedReader
) -> None:
    enter_canary(settings)
    assert leader.read() == follower.read() == state.read_states(settings)
    until(lambda: len(connections(settings.database_url)) == 1)


def test_only_the_model_that_has_changed_becomes_another_object(
    settings: Settings, leader: SharedReader, follower: SharedReader
) -> None:
    before = follower.read()
    assert follower.read() is before
    state.switch_champion(settings, "m", 2, **WHO)
    until(lambda: leader.read()["m"].roles["champion"].version == 2)
    after = follower.read()
    assert after["m"].roles["champion"].version == 2
    assert after["other"] is before["other"]


def test_a_successor_tells_as_new_only_what_has_changed(
    settings: Settings,
    shared: SharedState,
    leader: SharedReader,
    follower: SharedReader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    successor = SharedReader(settings, shared)
    before, _ = follower.read(), successor.read()
    leader.close()
    grow_old(monkeypatch)
    state.switch_champion(settings, "m", 2, **WHO)
    successor.read()
    be_young(monkeypatch)
    after = follower.read()
    assert after["m"].roles["champion"].version == 2
    assert after["other"] is before["other"]


def test_while_nobody_asks_each_asks_and_lets_go_when_somebody_does_again(
    settings: Settings, leader: SharedReader, follower: SharedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower.read()
    grow_old(monkeypatch)
    state.switch_champion(settings, "m", 2, **WHO)
    assert follower.read()["m"].roles["champion"].version == 2
    until(lambda: len(connections(settings.database_url)) == 2)
    be_young(monkeypatch)
    until(lambda: leader.read()["m"].roles["champion"].version == 2)
    assert follower.read()["m"].roles["champion"].version == 2
    until(lambda: len(connections(settings.database_url)) == 1)


def test_what_is_older_than_ones_own_look_is_not_believed(
    settings: Settings, shared: SharedState, follower: SharedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = time.monotonic()
    grow_old(monkeypatch)
    state.switch_champion(settings, "m", 2, **WHO)
    follower.read()
    be_young(monkeypatch)
    shared.beat(old)  # a leader that began to ask then was held up, and answers now
    assert follower.read()["m"].roles["champion"].version == 2


@pytest.mark.parametrize("place", [1 << 12, 1 << 26])
def test_an_index_or_a_document_that_is_half_written_is_not_believed(
    settings: Settings, shared: SharedState, follower: SharedReader, place: int
) -> None:
    os.pwrite(shared._handle, b"x", place)
    assert follower.read() == state.read_states(settings)
    until(lambda: len(connections(settings.database_url)) == 2)


def test_without_database_what_was_left_is_known_until_it_is_old(
    settings: Settings, shared: SharedState, leader: SharedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = Settings(**{**vars(settings), "database_url": "postgresql://127.0.0.1:9/nowhere"})
    follower = SharedReader(nowhere, shared, leads=False)
    assert follower.read() == leader.read()
    grow_old(monkeypatch)
    with pytest.raises(database.DatabaseAway):
        follower.read()
    be_young(monkeypatch)
    leader.read()
    assert follower.read() == leader.read()


@contextmanager
def other_leader(settings: Settings, shared: SharedState) -> Iterator[int]:
    """A forked process that leads and asks again and again."""
    pid = os.fork()
    if pid == 0:
        try:
            reader = SharedReader(settings, shared)
            while True:
                reader.read()
                time.sleep(0.02)
        finally:
            os._exit(1)
    try:
        until(lambda: shared.head().number > 0)
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_one_that_is_killed_is_followed_by_another(
    settings: Settings, shared: SharedState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_state, "QUIET_SECONDS", 0.3)
    heir = SharedReader(settings, shared)
    with other_leader(settings, shared):
        assert heir.read() == state.read_states(settings)
        until(lambda: len(connections(settings.database_url)) == 1)
    until(lambda: shared.head().at < time.monotonic() - 0.3)
    state.switch_champion(settings, "m", 2, **WHO)
    assert heir.read()["m"].roles["champion"].version == 2
    assert shared.head().at > time.monotonic() - 0.3
    heir.close()


def test_one_that_is_stuck_holds_nobody_up(
    settings: Settings, shared: SharedState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_state, "FRESH_SECONDS", 0.3)
    reader = SharedReader(settings, shared)
    with other_leader(settings, shared) as pid:
        os.kill(pid, signal.SIGSTOP)
        until(lambda: shared.head().at < time.monotonic() - 0.3)
        state.switch_champion(settings, "m", 2, **WHO)
        assert reader.read()["m"].roles["champion"].version == 2
        until(lambda: len(connections(settings.database_url)) == 2)
        os.kill(pid, signal.SIGCONT)

        def lets_go() -> bool:
            assert reader.read()["m"].roles["champion"].version == 2
            return len(connections(settings.database_url)) == 1

        until(lets_go)


def test_one_that_ends_gives_its_place_away(settings: Settings, shared: SharedState) -> None:
    with other_leader(settings, shared):
        assert not shared.lead()
    leader = SharedReader(settings, shared)
    leader.read()
    leader.close()
    until(lambda: len(connections(settings.database_url)) == 0)
    with other_leader(settings, shared):
        pass

"""Whoever asks for the deployment state every half second sees each change, and pays for what has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, event, text

from include.registry import database, retirement, stages, state
from include.registry.state_reader import StateReader
from include.settings import Settings
from include.stack.postgres import Postgres
from tests.serving.live import until
from tests.signing import tamper

pytestmark = pytest.mark.database
WHO = {"actor": "ana", "reason": "because"}
Have = Callable[..., int]


@pytest.fixture
def reader(stored_settings: Settings, have_version: Have) -> Iterator[StateReader]:
    """Of a model with two versions that nobody has deployed yet; it asks at each look, and never reads all again."""
    for version in (1, 2):
        have_version(version)
    made = StateReader(stored_settings, reread_seconds=3600, silent_seconds=0)
    yield made
    made.close()


@pytest.fixture
def listener(stored_settings: Settings, reader: StateReader) -> Iterator[StateReader]:
    """One that believes a database that says nothing, once it has told a change."""
    made = StateReader(stored_settings, reread_seconds=3600, silent_seconds=3600)
    made.read()
    yield made
    made.close()


def hears(reader: StateReader, version: int) -> None:
    """As a server looks: what is told takes its milliseconds, and a lost connection is found out by asking over it."""

    def has_it() -> bool:
        with suppress(database.DatabaseAway, KeyError):
            return reader.read()["m"].roles["champion"].version == version
        return False

    until(has_it)


def falls_silent(reader: StateReader) -> None:
    """Until the last notice of what it has seen is there; then it asks for nothing."""
    until(lambda: statements(reader) == [])


def statements(reader: StateReader) -> list[str]:
    """What a look asks of the database."""
    asked: list[str] = []

    def note(_: Connection, __: object, statement: str, *___: object) -> None:
        asked.append(statement)

    event.listen(reader._engine, "before_cursor_execute", note)
    reader.read()
    event.remove(reader._engine, "before_cursor_execute", note)
    return asked


def _end_other_connections(settings: Settings) -> None:
    with database.create(settings.database_url).begin() as connection:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        connection.execute(text(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {others}"))


def test_each_change_of_the_state_is_seen_at_the_next_look(stored_settings: Settings, reader: StateReader) -> None:
    plan = {"stage": "canary_10", "kind": "canary", "champion": 1}
    until = datetime.now(UTC) + timedelta(hours=1)
    changes: list[Callable[[], object]] = [
        lambda: state.switch_champion(stored_settings, "m", 1, **WHO),
        lambda: stages.enter_stage(
            stored_settings, "m", 2, role="canary", share=0.1, plan=plan, until=until, deployment="d", **WHO
        ),
        lambda: stages.withdraw(stored_settings, "m", 2, bar=False, **WHO),
        lambda: state.switch_champion(stored_settings, "m", 2, **WHO),
        lambda: state.roll_back(stored_settings, "m", **WHO),
        lambda: retirement.begin(stored_settings, "m", **WHO),
        lambda: retirement.retire(stored_settings, "m", **WHO),
        lambda: retirement.restore(stored_settings, "m", **WHO),
    ]
    assert reader.read() == {}
    for change in changes:
        before = reader.read()
        change()
        assert reader.read() == state.read_states(stored_settings) != before


def test_another_models_first_deployment_is_seen_too(
    stored_settings: Settings, reader: StateReader, have_version: Have
) -> None:
    have_version(1, model="other")
    for model in ("m", "other"):
        state.switch_champion(stored_settings, model, 1, **WHO)
        assert model in reader.read()


def test_a_look_at_what_nobody_has_changed_asks_for_one_row_and_gives_the_same_object(
    stored_settings: Settings, reader: StateReader
) -> None:
    state.switch_champion(stored_settings, "m", 1, **WHO)
    first = reader.read()
    [asked] = statements(reader)
    assert "sum(deployment.revision)" in asked
    assert reader.read() is first


def test_a_database_that_tells_changes_is_not_asked_while_it_says_nothing(
    stored_settings: Settings, listener: StateReader
) -> None:
    state.switch_champion(stored_settings, "m", 1, **WHO)
    assert listener.read()["m"].revision == 1, "until it has told one it is asked"
    for version in (2, 1, 2):
        state.switch_champion(stored_settings, "m", version, force=True, **WHO)
        hears(listener, version)
    falls_silent(listener)
    with database.transaction(stored_settings.database_url) as connection:
        connection.execute(text("UPDATE deployment SET revision = revision + 1"))
    until(lambda: bool(statements(listener)))  # by whomever the table is changed


def test_a_change_that_was_not_told_is_seen_after_a_while_and_then_the_database_is_asked_again(
    stored_settings: Settings, listener: StateReader
) -> None:
    state.switch_champion(stored_settings, "m", 1, **WHO)
    hears(listener, 1)
    falls_silent(listener)
    with database.transaction(stored_settings.database_url) as connection:
        connection.execute(text("DROP FUNCTION noria_tell_state() CASCADE"))
    state.switch_champion(stored_settings, "m", 2, **WHO)
    assert listener.read()["m"].revision == 1, "it was believed"
    listener._silent_seconds = 0
    assert listener.read()["m"].revision == 2
    listener._silent_seconds = 3600
    assert statements(listener), "it is no more"
    state.switch_champion(stored_settings, "m", 1, force=True, **WHO)
    assert listener.read()["m"].revision == 3


def test_of_a_deployment_and_another_models_changed_version_told_at_once_both_are_seen(
    stored_settings: Settings, listener: StateReader, have_version: Have
) -> None:
    have_version(1, model="other")
    for model in ("other", "m"):
        state.switch_champion(stored_settings, model, 1, **WHO)
    hears(listener, 1)
    falls_silent(listener)
    tamper(stored_settings, "decision = '{\"threshold\": 0.1}'", "other", 1)
    state.switch_champion(stored_settings, "m", 2, **WHO)
    hears(listener, 2)
    until(lambda: listener.read()["other"].roles["champion"].threshold == 0.1)


def test_a_lost_connection_is_replaced_and_the_new_one_has_to_prove_that_it_is_told(
    stored_settings: Settings, listener: StateReader
) -> None:
    state.switch_champion(stored_settings, "m", 1, **WHO)
    hears(listener, 1)
    falls_silent(listener)
    _end_other_connections(stored_settings)
    state.switch_champion(stored_settings, "m", 2, **WHO)
    hears(listener, 2)
    assert statements(listener)
    state.switch_champion(stored_settings, "m", 1, force=True, **WHO)
    hears(listener, 1)
    falls_silent(listener)


def test_of_many_models_only_the_changed_one_is_read(
    stored_settings: Settings, reader: StateReader, have_version: Have
) -> None:
    have_version(1, model="other")
    for model in ("m", "other"):
        state.switch_champion(stored_settings, model, 1, **WHO)
    before = reader.read()
    state.switch_champion(stored_settings, "m", 2, **WHO)
    after = reader.read()
    assert after["m"].roles["champion"].version == 2
    assert after["other"] is before["other"]


def test_a_database_that_was_set_back_is_believed(stored_settings: Settings, reader: StateReader) -> None:
    state.switch_champion(stored_settings, "m", 1, **WHO)
    assert "m" in reader.read()
    with database.transaction(stored_settings.database_url) as connection:
        connection.execute(text("DELETE FROM deployment_state"))
        connection.execute(text("DELETE FROM deployment"))
    assert reader.read() == {}


def test_a_version_that_is_changed_beside_the_ledger_is_seen_after_a_while(
    stored_settings: Settings, reader: StateReader
) -> None:
    state.switch_champion(stored_settings, "m", 1, **WHO)
    often = StateReader(stored_settings, reread_seconds=0, silent_seconds=0)
    first, unaware = often.read(), reader.read()
    with database.transaction(stored_settings.database_url) as connection:
        connection.execute(text("ALTER TABLE model_version DISABLE TRIGGER model_version_told"))
    tamper(stored_settings, "decision = '{\"threshold\": 0.1}'", "m", 1)
    assert often.read()["m"].roles["champion"].threshold == 0.1 != first["m"].roles["champion"].threshold
    assert reader.read() is unaware
    assert often.read() is often.read(), "what was looked at again and is the same stays the same object"
    often.close()


def test_a_version_that_is_changed_beside_the_ledger_is_told(stored_settings: Settings, listener: StateReader) -> None:
    state.switch_champion(stored_settings, "m", 1, **WHO)
    hears(listener, 1)
    tamper(stored_settings, "decision = '{\"threshold\": 0.1}'", "m", 1)
    until(lambda: listener.read()["m"].roles["champion"].threshold == 0.1)


def test_a_database_that_is_away_is_said_and_found_again(stored_settings: Settings, postgres: Postgres) -> None:
    reader = StateReader(stored_settings)
    reader.read()
    gone = StateReader(Settings(**{**vars(stored_settings), "database_url": postgres.url("nowhere")}))
    with pytest.raises(database.DatabaseAway):
        gone.read()
    assert reader.read() == {}
    reader.close()
    gone.close()


def test_a_connection_that_is_lost_right_after_an_answer_is_replaced(
    stored_settings: Settings, reader: StateReader
) -> None:
    """Giving it back asked the database once more, failed, and kept the pool's only place for ever."""
    times = iter(range(1))

    def lose(*_: object) -> None:
        for _ in times:
            _end_other_connections(stored_settings)

    reader.read()
    event.listen(reader._engine, "after_cursor_execute", lose)
    reader.read()
    state.switch_champion(stored_settings, "m", 1, **WHO)
    hears(reader, 1)

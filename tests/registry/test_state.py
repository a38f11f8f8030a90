"""Changes of production: the rules, the ledger, and what two racing deployments leave."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from include.registry import database, refusals, retirement, state, versions
from include.registry.tables import deployment_ledger, outbox
from include.settings import Settings

pytestmark = pytest.mark.database
WHO = {"actor": "ana", "reason": "because"}
Have = Callable[..., int]


def roles(settings: Settings, model: str = "m") -> dict[str, int]:
    states = state.read_states(settings)
    return {role: held.version for role, held in states[model].roles.items()} if model in states else {}


def test_first_champion_has_no_previous(stored_settings: Settings, have_version: Have) -> None:
    have_version(1)
    assert state.champion(stored_settings, "m") is None
    done = state.switch_champion(stored_settings, "m", 1, evidence={"roc_auc": 0.7}, **WHO)
    assert (done.version, done.previous, done.changed, done.revision) == (1, None, True, 1)
    deployed = state.champion(stored_settings, "m")
    assert deployed is not None
    assert (deployed.version, deployed.run_id, deployed.model_uri) == (1, "run1", "models:/m-1")
    (entry,) = state.history(stored_settings, "m")
    assert (entry.action, entry.from_version, entry.to_version, entry.actor) == ("promote", None, 1, "ana")
    assert entry.evidence == {"roc_auc": 0.7}
    assert entry.id == done.ledger_id


def test_newer_version_keeps_the_old_one_as_previous(stored_settings: Settings, have_version: Have) -> None:
    for version in (1, 2, 3):
        have_version(version)
        state.switch_champion(stored_settings, "m", version, **WHO)
    assert roles(stored_settings) == {"champion": 3, "previous": 2}
    assert [entry.revision for entry in state.history(stored_settings, "m")] == [1, 2, 3]


def test_switch_to_the_champion_changes_and_writes_nothing(stored_settings: Settings, have_version: Have) -> None:
    have_version(1)
    first = state.switch_champion(stored_settings, "m", 1, **WHO)
    again = state.switch_champion(stored_settings, "m", 1, **WHO)
    assert again.changed is False
    assert again.ledger_id == first.ledger_id
    assert len(state.history(stored_settings, "m")) == 1


def test_older_as_of_never_replaces_a_newer_champion_unless_forced(
    stored_settings: Settings, have_version: Have
) -> None:
    have_version(1, as_of=datetime(2013, 11, 1, tzinfo=UTC))
    have_version(2, as_of=datetime(2013, 10, 1, tzinfo=UTC))
    state.switch_champion(stored_settings, "m", 1, **WHO)
    with pytest.raises(refusals.OlderThanChampion, match="older than the champion"):
        state.switch_champion(stored_settings, "m", 2, **WHO)
    assert roles(stored_settings) == {"champion": 1}
    state.switch_champion(stored_settings, "m", 2, force=True, **WHO)
    assert roles(stored_settings) == {"champion": 2, "previous": 1}
    assert state.history(stored_settings, "m")[-1].evidence == {"forced": True}


def test_unknown_version_is_refused(stored_settings: Settings, have_version: Have) -> None:
    with pytest.raises(versions.VersionUnknown, match="no registered version 9"):
        state.switch_champion(stored_settings, "m", 9, **WHO)
    assert state.read_states(stored_settings) == {}


def test_another_champion_than_expected_is_refused(stored_settings: Settings, have_version: Have) -> None:
    for version in (1, 2, 3):
        have_version(version)
    state.switch_champion(stored_settings, "m", 2, expected_champion=None, **WHO)
    with pytest.raises(refusals.StateChanged, match="decided against version 1"):
        state.switch_champion(stored_settings, "m", 3, expected_champion=1, **WHO)
    assert state.switch_champion(stored_settings, "m", 3, expected_champion=2, **WHO).changed


def test_rollback_brings_previous_back_and_bars(stored_settings: Settings, have_version: Have) -> None:
    for version in (1, 2):
        have_version(version)
        state.switch_champion(stored_settings, "m", version, **WHO)
    done = state.roll_back(stored_settings, "m", actor="bob", reason="late flights all wrong", evidence={"row": 3})
    assert (done.version, done.replaced, done.changed) == (1, 2, True)
    assert roles(stored_settings) == {"champion": 1}
    assert versions.get_version(stored_settings, "m", 2).status == "barred"
    entry = state.history(stored_settings, "m")[-1]
    assert (entry.action, entry.from_version, entry.to_version) == ("rollback", 2, 1)
    assert entry.evidence == {"row": 3, "barred": 2}
    for force in (False, True):
        with pytest.raises(refusals.VersionBarred, match="lift-bar m 2"):
            state.switch_champion(stored_settings, "m", 2, force=force, **WHO)
    assert versions.lift_bar(stored_settings, "m", 2, **WHO) is True
    assert versions.lift_bar(stored_settings, "m", 2, **WHO) is False
    assert state.switch_champion(stored_settings, "m", 2, **WHO).changed


def test_rollback_of_the_same_version_twice_changes_once(stored_settings: Settings, have_version: Have) -> None:
    for version in (1, 2):
        have_version(version)
        state.switch_champion(stored_settings, "m", version, **WHO)
    assert state.roll_back(stored_settings, "m", version=2, **WHO).changed is True
    assert state.roll_back(stored_settings, "m", version=2, **WHO).changed is False
    assert roles(stored_settings) == {"champion": 1}


def test_rollback_request_is_carried_out_once(stored_settings: Settings, have_version: Have) -> None:
    for version in (1, 2):
        have_version(version)
        state.switch_champion(stored_settings, "m", version, **WHO)
    assert state.roll_back(stored_settings, "m", request="run-1", **WHO).changed is True
    assert state.roll_back(stored_settings, "m", request="run-1", **WHO).changed is False
    assert roles(stored_settings) == {"champion": 1}


def test_rollback_of_the_only_version_leaves_no_champion_only_if_it_is_named(
    stored_settings: Settings, have_version: Have
) -> None:
    have_version(1)
    state.switch_champion(stored_settings, "m", 1, **WHO)
    with pytest.raises(refusals.NothingToRollBackTo, match="--to"):
        state.roll_back(stored_settings, "m", **WHO)
    assert state.roll_back(stored_settings, "m", version=1, **WHO).version is None
    assert roles(stored_settings) == {}
    assert state.champion(stored_settings, "m") is None


def test_rollback_to_a_named_version_even_if_older(stored_settings: Settings, have_version: Have) -> None:
    for version in (1, 2, 3):
        have_version(version)
        state.switch_champion(stored_settings, "m", version, **WHO)
    assert state.roll_back(stored_settings, "m", 1, bar=False, **WHO).version == 1
    assert versions.get_version(stored_settings, "m", 3).status == "registered"
    assert roles(stored_settings) == {"champion": 1, "previous": 2}
    assert state.roll_back(stored_settings, "m", 1, **WHO).changed is False


def test_rollback_to_a_barred_version_is_refused(stored_settings: Settings, have_version: Have) -> None:
    for version in (1, 2):
        have_version(version)
        state.switch_champion(stored_settings, "m", version, **WHO)
    versions.bar(stored_settings, "m", 1, **WHO)
    with pytest.raises(refusals.VersionBarred):
        state.roll_back(stored_settings, "m", 1, **WHO)
    assert roles(stored_settings) == {"champion": 2}


def test_rollback_of_a_version_that_another_has_replaced_only_bars_it(
    stored_settings: Settings, have_version: Have
) -> None:
    for version in (1, 2):
        have_version(version)
        state.switch_champion(stored_settings, "m", version, **WHO)
    done = state.roll_back(stored_settings, "m", version=1, **WHO)
    assert (done.version, done.changed) == (2, False)
    assert roles(stored_settings) == {"champion": 2}
    assert versions.get_version(stored_settings, "m", 1).status == "barred"


def test_champion_cannot_be_barred_where_it_stands(stored_settings: Settings, have_version: Have) -> None:
    have_version(1)
    state.switch_champion(stored_settings, "m", 1, **WHO)
    with pytest.raises(versions.VersionInProduction, match="rollback m"):
        versions.bar(stored_settings, "m", 1, **WHO)


def test_retired_model_comes_back_only_by_force(stored_settings: Settings, have_version: Have) -> None:
    for version in (1, 2):
        have_version(version)
    state.switch_champion(stored_settings, "m", 1, **WHO)
    assert retirement.retire(stored_settings, "m", **WHO).changed is True
    assert retirement.retire(stored_settings, "m", **WHO).changed is False
    assert state.read_states(stored_settings)["m"].retired_at is not None
    assert versions.get_version(stored_settings, "m", 1).status == "retired"
    versions.bar(stored_settings, "m", 1, **WHO)
    assert state.read_states(stored_settings)["m"].retired_at is not None
    with pytest.raises(refusals.ModelRetired, match="force"):
        state.switch_champion(stored_settings, "m", 2, **WHO)
    state.switch_champion(stored_settings, "m", 2, force=True, **WHO)
    assert state.read_states(stored_settings)["m"].retired_at is None


def test_champion_at_reads_the_ledger(stored_settings: Settings, have_version: Have) -> None:
    for version in (1, 2):
        have_version(version)
        state.switch_champion(stored_settings, "m", version, **WHO)
    state.roll_back(stored_settings, "m", **WHO)
    first, second, third = (entry.at for entry in state.history(stored_settings, "m"))
    assert first < second < third
    tick = timedelta(microseconds=1)
    at = [state.state_at(stored_settings, "m", moment).champion for moment in (first - tick, first, second, third)]
    assert at == [None, 1, 2, 1]
    with pytest.raises(ValueError, match="time zone"):
        state.state_at(stored_settings, "m", datetime(2013, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE deployment_ledger SET actor = 'nobody'",
        "DELETE FROM deployment_ledger",
        "TRUNCATE deployment_ledger",
    ],
)
def test_ledger_refuses_every_change_but_new_rows(
    stored_settings: Settings, have_version: Have, statement: str
) -> None:
    have_version(1)
    state.switch_champion(stored_settings, "m", 1, **WHO)
    with (
        pytest.raises(ProgrammingError, match="append-only"),
        database.transaction(stored_settings.database_url) as connection,
    ):
        connection.execute(text(statement))
    assert len(state.history(stored_settings, "m")) == 1


def test_state_ledger_and_outbox_change_together_or_not_at_all(stored_settings: Settings, have_version: Have) -> None:
    have_version(1)
    with database.transaction(stored_settings.database_url) as connection:
        connection.execute(text("ALTER TABLE outbox ADD CONSTRAINT nothing_more CHECK (false)"))  # what is written last
    with pytest.raises(IntegrityError, match="nothing_more"):
        state.switch_champion(stored_settings, "m", 1, **WHO)
    with database.transaction(stored_settings.database_url) as connection:
        assert connection.execute(select(deployment_ledger)).all() == []
        assert connection.execute(select(outbox)).all() == []
    assert state.champion(stored_settings, "m") is None


def test_racing_deployments_happen_one_after_the_other(stored_settings: Settings, have_version: Have) -> None:
    many = range(1, 13)
    for version in many:
        have_version(version, as_of=datetime(2013, 10, 1, tzinfo=UTC))
    barrier = threading.Barrier(len(many), timeout=30)

    def deploy(version: int) -> state.Switch:
        barrier.wait()
        return state.switch_champion(stored_settings, "m", version, **WHO)

    with ThreadPoolExecutor(len(many)) as pool:
        done = sorted(pool.map(deploy, many), key=lambda switch: switch.revision)
    entries = state.history(stored_settings, "m")
    assert [entry.revision for entry in entries] == list(many)
    assert [entry.from_version for entry in entries] == [None, *[entry.to_version for entry in entries[:-1]]]
    assert roles(stored_settings) == {"champion": done[-1].version, "previous": done[-2].version}


def test_of_racing_deployments_against_one_expected_champion_one_wins(
    stored_settings: Settings, have_version: Have
) -> None:
    for version in (1, 2, 3, 4):
        have_version(version, as_of=datetime(2013, 10, 1, tzinfo=UTC))
    state.switch_champion(stored_settings, "m", 1, **WHO)

    def deploy(version: int) -> bool:
        try:
            return state.switch_champion(stored_settings, "m", version, expected_champion=1, **WHO).changed
        except refusals.StateChanged:
            return False

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(deploy, (2, 3, 4))) == [False, False, True]

"""A challenger's way through its stages: the rules, what is written, and deployments that race."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from include.errors import Refused
from include.registry import database, refusals, retirement, stages, state, versions
from include.registry.stages import StageChange, enter_stage, promote_challenger, withdraw
from include.settings import Settings

pytestmark = pytest.mark.database
WHO = {"actor": "ana", "reason": "because"}
Have = Callable[..., int]


def later(minutes: float = 60) -> datetime:
    return datetime.now(UTC) + timedelta(minutes=minutes)


def enter(settings: Settings, version: int, role: str = "candidate", share: float = 0.0, **changes: Any) -> StageChange:
    name = f"{role}_{share * 100:g}" if share else role
    arguments: dict[str, Any] = {
        "plan": {"stage": name, "kind": role, "champion": 1},
        "until": later(),
        "deployment": "run-1",
        **WHO,
        **changes,
    }
    return enter_stage(settings, "m", version, role=role, share=share, **arguments)  # type: ignore[arg-type]


def promote(settings: Settings, version: int, **changes: Any) -> state.Switch:
    return promote_challenger(settings, "m", version, **{"deployment": "run-1", **WHO, **changes})  # type: ignore[arg-type]


def roles(settings: Settings) -> dict[str, int]:
    states = state.read_states(settings)
    return {role: held.version for role, held in states["m"].roles.items()} if "m" in states else {}


@pytest.fixture
def champion(stored_settings: Settings, have_version: Have) -> Settings:
    """Version 1 is champion; 2 and 3 are registered."""
    for version in (1, 2, 3):
        have_version(version)
    state.switch_champion(stored_settings, "m", 1, **WHO)
    return stored_settings


def test_a_challenger_goes_through_its_stages_to_champion(champion: Settings) -> None:
    for role, share in (("candidate", 0.0), ("shadow", 0.0), ("canary", 0.1), ("canary", 0.5)):
        done = enter(champion, 2, role, share, evidence={"requests": 500})
        assert (done.version, done.role, done.changed, done.champion) == (2, role, True, 1)
        assert roles(champion) == {"champion": 1, role: 2}
    switch = promote(champion, 2, evidence={"approved_by": "eve"})
    assert (switch.version, switch.previous, switch.replaced, switch.changed) == (2, 1, 1, True)
    assert roles(champion) == {"champion": 2, "previous": 1}
    entries = state.history(champion, "m")
    assert [entry.action for entry in entries] == ["promote", "stage", "stage", "stage", "stage", "promote"]
    assert entries[3].state == {"champion": 1, "canary": 2}
    assert entries[3].shares == {"champion": 1.0, "canary": 0.1}
    assert entries[3].evidence == {"requests": 500, "stage": "canary_10", "deployment": "run-1"}
    assert entries[-1].evidence["approved_by"] == "eve"
    assert entries[-1].evidence["stage"] == "canary_50"


def test_servers_read_share_plan_deadline_and_deployment_of_a_challenger(champion: Settings) -> None:
    until = later()
    enter(champion, 2, "canary", 0.1, until=until)
    held = state.read_states(champion)["m"].challenger
    assert held is not None
    assert (held.version, held.role, held.share, held.deployment, held.until) == (2, "canary", 0.1, "run-1", until)
    assert (held.stage, held.plan["champion"], held.model_uri) == ("canary_10", 1, "models:/m-2")
    assert stages.challenger(champion, "m") == held
    crowned = state.champion(champion, "m")
    assert crowned is not None
    assert (crowned.share, crowned.plan, crowned.until, crowned.deployment) == (1.0, {}, None, None)


def test_the_same_stage_again_changes_nothing_and_its_time_does_not_begin_again(champion: Settings) -> None:
    first = enter(champion, 2, "canary", 0.1)
    before = stages.challenger(champion, "m")
    again = enter(champion, 2, "canary", 0.1, until=later(999))
    assert (again.changed, again.ledger_id, again.role) == (False, first.ledger_id, "canary")
    assert stages.challenger(champion, "m") == before
    assert promote(champion, 2).changed
    assert promote(champion, 2).changed is False
    assert enter(champion, 2, "canary", 0.5).role == "champion"
    assert len(state.history(champion, "m")) == 3


def test_a_second_deployment_waits_for_the_first_until_its_deadline(champion: Settings) -> None:
    enter(champion, 2, "canary", 0.1)
    with pytest.raises(refusals.DeploymentUnderWay, match=r"version 2 is in the stage canary_10 .*--version 2"):
        enter(champion, 3, deployment="run-2", until=later())
    with pytest.raises(refusals.DeploymentUnderWay):
        enter(champion, 2, "canary", 0.1, deployment="run-2")
    with database.transaction(champion.database_url) as connection:
        connection.execute(
            text("UPDATE deployment_state SET until = now() - interval '1 second' WHERE role = 'canary'")
        )
    assert enter(champion, 3, deployment="run-2").changed
    assert roles(champion) == {"champion": 1, "candidate": 3}
    replaced = state.history(champion, "m")[-1].evidence["replaced"]
    assert (replaced["version"], replaced["stage"], replaced["deployment"]) == (2, "canary_10", "run-1")
    with pytest.raises(refusals.DeploymentEnded, match="challenger now: version 3"):
        promote(champion, 2)


def test_a_withdrawn_challenger_is_barred_and_the_champion_stays(champion: Settings) -> None:
    enter(champion, 2, "canary", 0.1)
    done = withdraw(champion, "m", 2, evidence={"failed": 12}, actor="noria server", reason="12 of 200 rows failed")
    assert (done.role, done.changed, done.champion) == (None, True, 1)
    assert roles(champion) == {"champion": 1}
    assert versions.get_version(champion, "m", 2).status == "barred"
    entry = state.history(champion, "m")[-1]
    assert (entry.action, entry.from_version, entry.to_version, entry.actor) == ("rollback", 2, 1, "noria server")
    assert entry.evidence == {
        "failed": 12, "barred": 2, "stage": "canary_10", "deployment": "run-1", "role": "canary", "share": 0.1,
    }  # fmt: skip
    assert withdraw(champion, "m", 2, **WHO).changed is False
    with pytest.raises(refusals.VersionBarred):
        enter(champion, 2, "canary", 0.5, force=True)


def test_a_deployment_that_was_taken_out_does_not_go_on_but_may_begin_again(champion: Settings) -> None:
    enter(champion, 2)
    enter(champion, 2, "shadow")
    withdraw(champion, "m", 2, bar=False, actor="noria server", reason="nobody sent a request")
    with pytest.raises(refusals.DeploymentEnded, match="nobody sent a request"):
        enter(champion, 2, "canary", 0.1)
    with pytest.raises(refusals.DeploymentEnded, match="nobody sent a request"):
        promote(champion, 2)
    assert enter(champion, 2).changed
    assert enter(champion, 2, "shadow").changed


def test_only_the_named_deployment_and_stage_are_withdrawn(champion: Settings) -> None:
    enter(champion, 2, "shadow")
    assert withdraw(champion, "m", 2, deployment="run-0", **WHO).changed is False
    assert withdraw(champion, "m", 2, stage="canary_10", **WHO).changed is False
    assert withdraw(champion, "m", 3, **WHO).changed is False
    assert withdraw(champion, "m", 1, **WHO).changed is False
    assert roles(champion) == {"champion": 1, "shadow": 2}
    assert withdraw(champion, "m", 2, deployment="run-1", stage="shadow", **WHO).changed


def test_a_champion_that_changed_meanwhile_ends_the_deployment(champion: Settings) -> None:
    enter(champion, 2, "canary", 0.1)
    switch = state.switch_champion(champion, "m", 3, actor="eve", reason="urgent")
    assert (switch.version, switch.withdrawn) == (3, 2)
    assert roles(champion) == {"champion": 3, "previous": 1}
    entry = state.history(champion, "m")[-1]
    assert "version 2 leaves the stage canary_10" in entry.reason
    assert entry.evidence["withdrawn"]["deployment"] == "run-1"
    assert versions.get_version(champion, "m", 2).status == "registered"
    with pytest.raises(refusals.OlderThanChampion):
        enter(champion, 2, "canary", 0.5)
    with pytest.raises(refusals.StateChanged, match="decided against version 1"):
        enter(champion, 2, "canary", 0.5, force=True)
    with pytest.raises(refusals.StateChanged):
        enter(champion, 2, force=True, plan={}, expected_champion=1)


def test_rolling_the_champion_back_takes_its_challenger_out_and_says_so(champion: Settings) -> None:
    state.switch_champion(champion, "m", 2, **WHO)
    enter(champion, 3, "canary", 0.1, plan={"stage": "canary_10", "champion": 2})
    done = state.roll_back(champion, "m", actor="eve", reason="wrong since noon")
    assert (done.version, done.replaced, done.withdrawn) == (1, 2, 3)
    assert roles(champion) == {"champion": 1}
    entry = state.history(champion, "m")[-1]
    assert entry.reason.startswith("wrong since noon (challenger version 3 leaves the stage canary_10")
    assert entry.evidence["withdrawn"]["version"] == 3
    assert versions.get_version(champion, "m", 3).status == "registered"


def test_rolling_back_to_the_challenger_makes_it_champion(champion: Settings) -> None:
    enter(champion, 2, "canary", 0.1)
    done = state.roll_back(champion, "m", 2, actor="eve", reason="the old one is broken")
    assert (done.version, done.replaced, done.withdrawn) == (2, 1, None)
    assert roles(champion) == {"champion": 2}


def test_rollback_that_names_the_challenger_takes_only_it_out(champion: Settings) -> None:
    enter(champion, 2, "canary", 0.1)
    done = state.roll_back(champion, "m", version=2, request="r", actor="eve", reason="I do not like it")
    assert (done.version, done.withdrawn, done.changed) == (1, 2, True)
    assert roles(champion) == {"champion": 1}
    assert versions.get_version(champion, "m", 2).status == "barred"
    assert state.roll_back(champion, "m", version=2, request="r", **WHO).changed is False


def test_barring_a_challenger_takes_it_out_and_retiring_leaves_nothing(champion: Settings) -> None:
    enter(champion, 2, "canary", 0.1)
    versions.bar(champion, "m", 2, **WHO)
    assert roles(champion) == {"champion": 1}
    enter(champion, 3, "shadow", deployment="run-2")
    retirement.retire(champion, "m", **WHO)
    assert roles(champion) == {}
    with pytest.raises(refusals.ModelRetired):
        enter(champion, 3, "candidate", deployment="run-3", plan={})


def test_a_retired_model_stays_retired_when_the_version_that_was_forced_upon_it_goes_out(champion: Settings) -> None:
    retirement.retire(champion, "m", **WHO)
    plan = {"stage": "candidate", "champion": None}
    enter(champion, 2, force=True, plan=plan)
    assert state.read_states(champion)["m"].retired_at is None, "the server has to answer for it"
    enter(
        champion, 2, force=True, plan={**state.read_states(champion)["m"].roles["candidate"].plan, "stage": "approval"}
    )
    withdraw(champion, "m", 2, **WHO)
    assert state.read_states(champion)["m"].retired_at is not None
    with pytest.raises(refusals.ModelRetired):
        enter(champion, 3, deployment="run-2", plan=plan)
    enter(champion, 3, force=True, deployment="run-2", plan=plan)
    assert promote(champion, 3, force=True, deployment="run-2").version == 3
    assert state.read_states(champion)["m"].retired_at is None


def test_a_retired_model_stays_retired_when_the_version_that_was_forced_upon_it_is_barred(champion: Settings) -> None:
    retirement.retire(champion, "m", **WHO)
    enter(champion, 2, force=True, plan={"stage": "candidate", "champion": None})
    assert versions.bar(champion, "m", 2, **WHO)
    assert roles(champion) == {}
    assert state.read_states(champion)["m"].retired_at is not None


def test_what_may_not_become_challenger_is_refused(champion: Settings, have_version: Have) -> None:
    have_version(4, as_of=datetime(2013, 1, 1, tzinfo=UTC))
    have_version(5, status="barred")
    with pytest.raises(refusals.OlderThanChampion):
        enter(champion, 4)
    with pytest.raises(refusals.VersionBarred):
        enter(champion, 5)
    with pytest.raises(versions.VersionUnknown):
        enter(champion, 9)
    for role, share in (("canary", 0.0), ("shadow", 0.5), ("candidate", 0.1), ("ab", 1.5), ("canary", -0.1)):
        with pytest.raises(refusals.NoSuchShare):
            enter(champion, 2, role, share)
    assert roles(champion) == {"champion": 1}
    assert enter(champion, 4, force=True).changed
    assert state.history(champion, "m")[-1].evidence["forced"] is True


def test_a_first_version_goes_from_candidate_to_champion(stored_settings: Settings, have_version: Have) -> None:
    have_version(1)
    with pytest.raises(refusals.NothingToCompareWith):
        enter(stored_settings, 1, "canary", 0.1, plan={})
    enter(stored_settings, 1, plan={"stage": "candidate", "champion": None})
    assert roles(stored_settings) == {"candidate": 1}
    assert promote(stored_settings, 1, expected_champion=None).version == 1
    assert roles(stored_settings) == {"champion": 1}


def test_a_previous_version_that_failed_as_challenger_is_no_way_back(champion: Settings) -> None:
    state.switch_champion(champion, "m", 2, **WHO)
    enter(champion, 1, "shadow", force=True, plan={"stage": "shadow", "champion": 2})
    assert roles(champion) == {"champion": 2, "previous": 1, "shadow": 1}
    withdraw(champion, "m", 1, **WHO)
    assert roles(champion) == {"champion": 2}


def test_of_racing_deployments_one_has_the_challenger(champion: Settings, have_version: Have) -> None:
    contenders = range(10, 18)
    for version in contenders:
        have_version(version)
    barrier = threading.Barrier(len(contenders), timeout=30)

    def deploy(version: int) -> bool:
        barrier.wait()
        try:
            enter(champion, version, deployment=f"run-{version}")
            enter(champion, version, "canary", 0.1, deployment=f"run-{version}")
            return promote(champion, version, deployment=f"run-{version}").changed
        except (refusals.DeploymentUnderWay, refusals.StateChanged, refusals.OlderThanChampion):
            return False

    with ThreadPoolExecutor(len(contenders)) as pool:
        won = [version for version, has in zip(contenders, pool.map(deploy, contenders), strict=True) if has]
    assert len(won) >= 1
    entries = state.history(champion, "m")
    assert [entry.revision for entry in entries] == list(range(1, len(entries) + 1))
    challengers = [{held for role, held in entry.state.items() if role in {"candidate", "canary"}} for entry in entries]
    assert all(len(found) <= 1 for found in challengers)
    assert roles(champion)["champion"] in won


def test_a_withdrawal_that_races_a_promotion_leaves_one_of_both(champion: Settings) -> None:
    enter(champion, 2, "canary", 0.5)
    barrier = threading.Barrier(2, timeout=30)

    def out() -> bool:
        barrier.wait()
        return withdraw(champion, "m", 2, deployment="run-1", **WHO).changed

    def up() -> bool:
        barrier.wait()
        try:
            return promote(champion, 2).changed
        except Refused:
            return False

    with ThreadPoolExecutor(2) as pool:
        withdrawn, promoted = pool.submit(out), pool.submit(up)
        assert withdrawn.result() is not promoted.result()
    assert roles(champion) == ({"champion": 2, "previous": 1} if promoted.result() else {"champion": 1})


def test_the_database_itself_holds_one_challenger_for_each_model(champion: Settings) -> None:
    enter(champion, 2, "canary", 0.1)
    with (
        pytest.raises(IntegrityError, match="one_challenger"),
        database.transaction(champion.database_url) as connection,
    ):
        connection.execute(
            text("INSERT INTO deployment_state (model, role, version, share, since, revision) "
                 "VALUES ('m', 'shadow', 3, 0, now(), 9)")
        )  # fmt: skip


def test_state_at_an_instant_tells_who_answered_and_with_what_share(champion: Settings) -> None:
    enter(champion, 2, "shadow")
    enter(champion, 2, "canary", 0.25)
    promote(champion, 2)
    moments = [entry.at for entry in state.history(champion, "m")]
    found = [state.state_at(champion, "m", moment) for moment in (moments[0] - timedelta(seconds=1), *moments)]
    assert [(one.champion, one.challenger, one.role, one.share) for one in found] == [
        (None, None, None, 0.0),
        (1, None, None, 0.0),
        (1, 2, "shadow", 0.0),
        (1, 2, "canary", 0.25),
        (2, None, None, 0.0),
    ]
    assert [set(one.answering) for one in found] == [set(), {1}, {1}, {1, 2}, {2}]
    with pytest.raises(ValueError, match="time zone"):
        state.state_at(champion, "m", datetime(2013, 1, 1))  # noqa: DTZ001

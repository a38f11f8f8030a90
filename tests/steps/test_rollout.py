"""A deployment's steps over a real database: through the stages to champion, or out again, and each may be repeated."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from include.errors import NothingToDo, Refused
from include.registry import stages, state, versions
from include.registry.refusals import DeploymentUnderWay, StateChanged
from include.settings import Settings
from include.steps import ask
from include.steps.rollout import STRAIGHT, ChallengerGone
from include.steps.stage import UnknownStage
from include.steps.withdraw import NotDeployed
from tests.serving.live import free_port
from tests.serving.world import tracking_url
from tests.steps.deployments import MODEL, DeploymentRun, make_champion, put_version, standing

__all__ = ["tracking_url"]
pytestmark = pytest.mark.database


@pytest.fixture
def tracked(stored_settings: Settings, tracking_url: str) -> Settings:
    return replace(stored_settings, tracking_url=tracking_url, server_url=f"http://127.0.0.1:{free_port()}")


@pytest.fixture
def run(tracked: Settings) -> DeploymentRun:
    """Version 1 is champion, version 2 is to be deployed."""
    make_champion(tracked, 1)
    return DeploymentRun(tracked, put_version(tracked, 2))


def in_stage(run: DeploymentRun, *names: str) -> None:
    run.step("deploy")
    for name in names:
        run.step("stage", stage=name)


def test_a_version_goes_through_all_stages_and_every_step_may_be_repeated(run: DeploymentRun) -> None:
    expected = {"shadow": 0.0, "canary_10": 0.1, "canary_50": 0.5}
    assert [run.step("deploy")["changed"] for _ in range(2)] == [True, False]
    assert standing(run.settings) == (1, (2, "candidate", 0.0))
    for name, share in expected.items():
        first, again = run.step("stage", stage=name), run.step("stage", stage=name)
        assert (first["changed"], again["changed"]) == (True, False)
        assert (first["role"], first["share"]) == (name.split("_")[0], share)
        assert first["until"] == again["until"], "the time of a stage does not begin again with a retry"
        assert standing(run.settings) == (1, (2, name.split("_")[0], share))
    done, again = (run.step("promote", wait_seconds=0) for _ in range(2))
    assert (done["version"], done["previous"], done["replaced"], done["changed"]) == (2, 1, 1, True)
    assert (again["changed"], again["replaced"], done["answering"]) == (False, None, False)
    assert standing(run.settings) == (2, None)
    entries = state.history(run.settings, MODEL)
    assert [entry.action for entry in entries] == ["promote", "stage", "stage", "stage", "stage", "promote"]
    with pytest.raises(NothingToDo, match="is the champion"):
        run.step("withdraw")


def test_the_ledger_says_why_a_stage_was_left_and_who_approved(run: DeploymentRun) -> None:
    in_stage(run, "shadow")
    judgement = {"stage": "shadow", "verdict": "advance", "reason": "300 rows are enough", "evidence": {"rows": 300}}
    run.step("ask", judgement=judgement)
    run.step("stage", stage="canary_10", judgement=judgement, approved_by="Bea", note="looks fine")
    entry = state.history(run.settings, MODEL)[-1]
    assert entry.actor == "Bea"
    assert entry.reason == (
        "enters canary_10; shadow ended well: 300 rows are enough; approved by Bea (looks fine); it is better"
    )
    assert entry.evidence["judgement"]["evidence"] == {"rows": 300}
    assert entry.evidence["approval"] == {"approved_by": "Bea", "note": "looks fine"}
    run.step("promote", wait_seconds=0, approved_by="Bea", note="looks fine")
    assert state.history(run.settings, MODEL)[-1].actor == "ana", "what Bea approved was the canary"


def test_the_approver_signs_the_promotion_when_no_stage_lies_between(run: DeploymentRun) -> None:
    in_stage(run)
    run.step("ask")
    assert run.step("stage", stage="shadow", stages=STRAIGHT, approved_by="Bea")["skipped"]
    run.step("promote", wait_seconds=0, approved_by="Bea", note="hurry")
    entry = state.history(run.settings, MODEL)[-1]
    assert (entry.actor, entry.evidence["approval"]["note"]) == ("Bea", "hurry")


def test_a_models_first_version_skips_the_stages(tracked: Settings) -> None:
    run = DeploymentRun(tracked, put_version(tracked, 1))
    assert run.step("deploy")["champion"] is None
    for name in ("shadow", "canary_10", "canary_50"):
        assert run.step("stage", stage=name) == {"stage": name, "skipped": "there is no champion to compare with"}
    assert run.step("promote", wait_seconds=0)["version"] == 1
    assert standing(tracked) == (1, None)


def test_straight_to_champion_skips_the_stages(run: DeploymentRun) -> None:
    run.step("deploy")
    assert "straight to champion" in run.step("stage", stage="shadow", stages=STRAIGHT)["skipped"]
    assert standing(run.settings) == (1, (2, "candidate", 0.0))


def test_deploying_the_champion_again_changes_nothing(tracked: Settings) -> None:
    run = DeploymentRun(tracked, make_champion(tracked, 1))
    done = run.step("deploy")
    assert (done["role"], done["changed"]) == ("champion", False)
    assert "champion already" in run.step("stage", stage="shadow")["skipped"]
    with pytest.raises(NothingToDo, match="nothing to ask"):
        run.step("ask")
    assert run.step("promote", wait_seconds=0)["changed"] is False
    assert len(state.history(tracked, MODEL)) == 1


def test_an_unknown_stage_is_refused_with_the_known_ones(run: DeploymentRun) -> None:
    with pytest.raises(UnknownStage, match=r"'canary_20'.*shadow, canary_10, canary_50"):
        run.step("stage", stage="canary_20")


def test_a_second_deployment_is_refused_while_one_is_under_way(run: DeploymentRun) -> None:
    in_stage(run, "shadow")
    other = DeploymentRun(run.settings, put_version(run.settings, 3), name="bike_demand.deploy/manual__2")
    with pytest.raises(DeploymentUnderWay):
        other.step("deploy")
    with pytest.raises(NotDeployed, match="has not become a challenger"):
        other.step("withdraw", failed=["deploy"])
    assert standing(run.settings) == (1, (2, "shadow", 0.0)), "it leaves the first one's challenger alone"


def test_every_step_of_a_withdrawn_challenger_is_refused_with_the_ledgers_reason(run: DeploymentRun) -> None:
    in_stage(run, "shadow", "canary_10")
    stages.withdraw(run.settings, MODEL, 2, actor="noria server", reason="it raised on 40 of 100 rows")
    for name, inputs in (("stage", {"stage": "canary_50"}), ("promote", {}), ("ask", {})):
        with pytest.raises(ChallengerGone, match=r"it raised on 40 of 100 rows \(noria server"):
            run.step(name, **inputs)
    with pytest.raises(NotDeployed, match="it raised on 40 of 100 rows"):
        run.step("withdraw", failed=["await_canary_10"])
    assert standing(run.settings) == (1, None)


def test_a_withdrawn_deployment_does_not_begin_again_in_the_middle(run: DeploymentRun) -> None:
    in_stage(run, "shadow")
    stages.withdraw(run.settings, MODEL, 2, actor="noria server", reason="unlucky", bar=False)
    with pytest.raises(ChallengerGone):
        run.step("stage", stage="canary_10")
    assert run.step("deploy")["changed"] is True
    assert standing(run.settings) == (1, (2, "candidate", 0.0))


def test_withdraw_takes_the_challenger_out_without_a_bar_when_airflow_failed(run: DeploymentRun) -> None:
    in_stage(run, "shadow")
    for _ in range(2):
        with pytest.raises(NotDeployed, match="its deployment stopped: await_shadow failed"):
            run.step("withdraw", failed=["await_shadow"])
    assert standing(run.settings) == (1, None)
    assert versions.get_version(run.settings, MODEL, 2).status == "registered"
    assert len(state.history(run.settings, MODEL)) == 4, "once"


def test_a_rejection_bars_the_version(run: DeploymentRun) -> None:
    in_stage(run, "shadow")
    words = "Bea rejected bike_demand version 2: not before Christmas"
    with pytest.raises(NotDeployed, match="not before Christmas"):
        run.step("withdraw", failed=["approve"], rejection=words, rejected_by="Bea")
    assert versions.get_version(run.settings, MODEL, 2).status == "barred"
    entry = state.history(run.settings, MODEL)[-1]
    assert (entry.reason, entry.actor) == (words, "Bea")


def test_a_champion_whose_run_failed_afterwards_stays_and_the_run_is_red(run: DeploymentRun) -> None:
    in_stage(run)
    run.step("promote", wait_seconds=0)
    with pytest.raises(Refused, match="is the champion, but promote failed"):
        run.step("withdraw", failed=["promote"])
    assert standing(run.settings) == (2, None)


def test_a_rollback_during_a_deployment_ends_both(run: DeploymentRun) -> None:
    in_stage(run)
    run.step("promote", wait_seconds=0)
    following = DeploymentRun(run.settings, put_version(run.settings, 3), name="bike_demand.deploy/manual__2")
    in_stage(following, "shadow")
    back = following.step("rollback", version=None, reason="wrong answers", request="r1")
    assert (back["version"], back["rolled_back"]) == (1, 2)
    assert standing(run.settings) == (1, None)
    with pytest.raises(ChallengerGone, match="wrong answers"):
        following.step("stage", stage="canary_10")


def test_retiring_withdraws_the_challenger_too(run: DeploymentRun) -> None:
    in_stage(run, "shadow")
    run.step("retire", reason="nobody uses it")
    assert standing(run.settings) == (None, None)
    with pytest.raises(NotDeployed, match="nobody uses it"):
        run.step("withdraw", failed=["await_shadow"])


def test_a_deployment_does_not_replace_a_champion_that_it_did_not_begin_with(run: DeploymentRun) -> None:
    in_stage(run, "shadow")
    state.switch_champion(run.settings, MODEL, put_version(run.settings, 3), actor="bob", reason="urgent")
    with pytest.raises((StateChanged, ChallengerGone)):
        run.step("stage", stage="canary_10")
    with pytest.raises((StateChanged, ChallengerGone)):
        run.step("promote")
    with pytest.raises(NotDeployed):
        run.step("withdraw", failed=["canary_10"])
    assert standing(run.settings) == (3, None)


def test_the_question_to_a_person_holds_what_is_needed_to_decide(run: DeploymentRun) -> None:
    gates = [{"gate": "RMSE against champion", "sentence": "RMSE against champion: passed by 1.2"}]
    decided = put_version(run.settings, 4, decision={"gates": gates})
    run = DeploymentRun(run.settings, decided)
    in_stage(run, "shadow")
    judgement = {
        "stage": "shadow",
        "verdict": "advance",
        "reason": "300 rows are enough",
        "evidence": {"checks": [{"check": "errors", "value": 0.001, "bound": 0.01, "passed": True}]},
    }
    first, again = (run.step("ask", judgement=judgement, verified={"rows": 500}) for _ in range(2))
    assert first == again, "a retry asks the same question, with the same deadline"
    assert first["subject"] == "Deploy bike_demand version 4, in place of version 1?"
    for words in ("it is better", "2013-10-05", "500 holdout rows", "passed by 1.2", "300 rows", "| errors | 0.001 |"):
        assert words in first["body"]
    waits = datetime.fromisoformat(first["until"]) - datetime.now(UTC)
    assert timedelta(0) < ask.PATIENCE - waits < timedelta(minutes=5)
    held = stages.challenger(run.settings, MODEL)
    assert held is not None
    assert (held.role, held.stage) == ("shadow", "approval"), "the server goes on judging it in shadow"
    assert run.step("stage", stage="canary_10", approved_by="Bea")["role"] == "canary"


def test_a_step_by_hand_belongs_to_the_deployment_under_way(run: DeploymentRun) -> None:
    run.step("deploy", deployment=None)
    assert run.step("stage", stage="shadow", deployment=None)["role"] == "shadow"
    assert run.step("deploy", deployment=None)["deployment"] == "by hand/a1"

"""The step decide, on real trained models and a real registry."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from include.registry.results import find_checks
from include.registry.retirement import retire
from include.registry.versions import bar
from include.steps.protocol import Document
from tests.steps.judging_world import World, judged_definition, report_of

pytestmark = pytest.mark.database
Evaluate = Callable[..., Document]

ONLY_CHAMPION = judged_definition(
    evaluation={
        "metrics": ["roc_auc"],
        "gates": [{"metric": "roc_auc", "against": "champion"}],
        "bootstrap_rounds": 200,
        "threshold": 0.3,
    }
)


def decide(world: World, evaluate: Evaluate, training: Document, day: int) -> Document:
    evaluation = evaluate(training, day, ONLY_CHAMPION)
    return world.run("decide", day, {"training": training, "evaluation": evaluation}, ONLY_CHAMPION)


def test_the_first_good_model_is_promoted_by_all_gates(world: World, evaluate: Evaluate) -> None:
    training = world.train(22)
    output = world.run("decide", 22, {"training": training, "evaluation": evaluate(training, 22)})

    assert output["promote"]
    assert len(output["gates"]) == 4
    assert "no champion yet" in output["reason"]


def test_a_better_challenger_is_promoted(world: World, evaluate: Evaluate) -> None:
    world.crown(world.train(18, rounds=1), 18)
    output = decide(world, evaluate, world.train(22), 22)

    assert output["verdict"] == "promote"
    assert output["gates"][0]["by"] > 0


def test_a_champion_that_must_win_keeps_its_place(world: World, evaluate: Evaluate) -> None:
    world.crown(world.train(18), 18)
    output = decide(world, evaluate, world.train(22, rounds=1), 22)

    assert output["verdict"] == "keep"
    assert "ROC AUC better than the champion: failed by" in output["reason"]


def test_the_champion_itself_is_kept_as_already_champion(world: World, evaluate: Evaluate) -> None:
    training = world.train(22)
    world.crown(training, 22)

    assert "already champion" in decide(world, evaluate, training, 22)["reason"]


def test_an_older_model_never_replaces_a_newer_champion(world: World, evaluate: Evaluate) -> None:
    world.crown(world.train(30, rounds=1), 30)
    output = decide(world, evaluate, world.train(22), 22)

    assert not output["promote"]
    assert "An older model never replaces a newer champion" in output["reason"]


def test_a_barred_version_stays_out(world: World, evaluate: Evaluate) -> None:
    training = world.train(22)
    bar(world.settings, "late", world.register(training, 22), actor="test", reason="hurts")

    assert "is barred" in decide(world, evaluate, training, 22)["reason"]


def test_a_retired_model_stays_out(world: World, evaluate: Evaluate) -> None:
    world.crown(world.train(18), 18)
    retire(world.settings, "late", actor="test", reason="over")

    assert "retired" in decide(world, evaluate, world.train(22), 22)["reason"]


def test_a_champion_that_changed_after_the_evaluation_needs_another_one(world: World, evaluate: Evaluate) -> None:
    training = world.train(22)
    evaluation = evaluate(training, 22, ONLY_CHAMPION)
    world.crown(world.train(18), 18)
    output = world.run("decide", 22, {"training": training, "evaluation": evaluation}, ONLY_CHAMPION)

    assert "evaluate again" in output["reason"]


def test_the_page_opens_with_the_verdict_and_a_check_result_is_kept(world: World, evaluate: Evaluate) -> None:
    training = world.train(22)
    evaluation = evaluate(training, 22, ONLY_CHAMPION)
    assert "The decision has not been made yet" in report_of(world, evaluation)

    inputs = {"training": training, "evaluation": evaluation, "started_by": "drift-20131010-1"}
    world.run("decide", 22, inputs, ONLY_CHAMPION)

    assert "Promote: the challenger goes into production" in report_of(world, evaluation)
    check = find_checks(world.settings, "late", kind="decision")[0]
    assert (check.verdict, check.details["started_by"]) == ("promote", "drift-20131010-1")

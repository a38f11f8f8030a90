"""Verification through a live server process: equal answers pass, with any other the version is taken out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from include.errors import TryAgain
from include.registry import results, stages, state, versions
from include.serving import loaded
from include.settings import Settings
from include.spec.loader import find_definition
from include.steps import deploy as deploy_step
from include.steps import verify
from include.steps.protocol import StepCall
from include.steps.register import InputsIncomplete
from include.steps.rollout import ChallengerGone
from tests.serving.live import Logged, as_process, deploy, free_port, in_thread, register, serving, until
from tests.serving.world import logged_models, tracked, tracking_url

__all__ = ["logged_models", "tracked", "tracking_url"]
pytestmark = pytest.mark.database
MODEL = "bike_demand"

PERTURBED = """
from include.serving import loaded
honest = loaded.LoadedModel.predict
def perturbed(self, call):
    call.rows = [{**row, "x": None if row["x"] is None else row["x"] + 5} for row in call.rows]
    return honest(self, call)
loaded.LoadedModel.predict = perturbed
from include.serving.__main__ import main
main()
"""


def step(settings: Settings, **inputs: Any) -> StepCall:
    definition = find_definition(settings, MODEL)
    as_of = datetime(2013, 10, 1, tzinfo=UTC)
    given = {"deployment": "run-1", **inputs}
    return StepCall(settings=settings, definition=definition, as_of=as_of, attempt="a1", inputs=given)


def champion_of(settings: Settings) -> int | None:
    found = state.champion(settings, MODEL)
    return None if found is None else found.version


@pytest.fixture
def two_versions(tracked: Settings, logged_models: list[Logged]) -> tuple[int, int]:
    """The first one is champion, the second one a candidate."""
    first, second = (register(tracked, logged, model=MODEL) for logged in logged_models[:2])
    deploy(tracked, first, MODEL)
    deploy_step.run(step(tracked, version=second))
    return first, second


def test_equal_answers_pass_and_are_recorded(tracked: Settings, two_versions: tuple[int, int]) -> None:
    first, second = two_versions
    with in_thread(tracked) as client:
        live = replace(tracked, server_url=str(client.base_url))
        for version, role in ((second, "candidate"), (second, "candidate"), (first, "champion")):
            found = verify.run(step(live, version=version))
            assert (found["version"], found["rows"], found["single_rows"]) == (version, 230, 25)
            assert found["role"] == role
    checks = results.find_checks(tracked, MODEL, kind="verify")
    assert [check.verdict for check in checks] == ["passed"] * 3
    assert len(state.history(tracked, MODEL)) == 2


def test_server_with_perturbed_features_is_caught_before_anybody_is_answered(
    tracked: Settings, two_versions: tuple[int, int], tmp_path: Path
) -> None:
    first, second = two_versions
    with as_process(tracked, tmp_path / "server.log", script=PERTURBED) as (live, _):
        call = step(live, version=second, actor="ana")
        with pytest.raises(verify.VerificationFailed, match=f"Version {first} answers. Version {second} is barred"):
            verify.run(call)
        with pytest.raises(ChallengerGone, match="verification failed"):
            verify.run(call)
    assert champion_of(tracked) == first
    assert stages.challenger(tracked, MODEL) is None
    assert versions.get_version(tracked, MODEL, second).status == "barred"
    entry = state.history(tracked, MODEL)[-1]
    assert (entry.action, entry.actor, entry.from_version, entry.to_version) == ("rollback", "ana", second, first)
    shown = entry.evidence["first"][0]
    assert shown["expected"] != shown["got"]
    assert set(shown["inputs"]) == {"n", "x", "place", "dry", "seen_at"}
    assert results.find_checks(tracked, MODEL, kind="verify")[0].verdict == "refused"


def test_champion_that_answers_otherwise_is_rolled_back(
    tracked: Settings, logged_models: list[Logged], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (register(tracked, logged, model=MODEL) for logged in logged_models[:2])
    deploy(tracked, first, MODEL)
    deploy(tracked, second, MODEL)
    monkeypatch.setattr(loaded.LoadedModel, "predict", lambda _, call: [0.5] * call.count)
    with in_thread(tracked) as client, pytest.raises(verify.VerificationFailed, match=f"Version {first} answers"):
        verify.run(step(replace(tracked, server_url=str(client.base_url)), version=second))
    assert champion_of(tracked) == first


def test_server_that_is_down_is_try_again_and_rolls_nothing_back(
    tracked: Settings, two_versions: tuple[int, int]
) -> None:
    down = replace(tracked, server_url=f"http://ana:s3cret@127.0.0.1:{free_port()}")
    with pytest.raises(TryAgain, match="did not answer within") as caught:
        verify.run(step(down, version=two_versions[1], wait_seconds=0.5))
    assert "s3cret" not in str(caught.value)
    assert len(state.history(tracked, MODEL)) == 2


def test_last_try_takes_the_unproven_version_out_without_a_bar(
    tracked: Settings, two_versions: tuple[int, int]
) -> None:
    first, second = two_versions
    down = replace(tracked, server_url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(verify.VerificationFailed, match="could not be verified"):
        verify.run(step(down, version=second, wait_seconds=0.5, last_try=True))
    assert champion_of(tracked) == first
    assert stages.challenger(tracked, MODEL) is None
    assert versions.get_version(tracked, MODEL, second).status == "registered"


def test_last_try_never_takes_a_champion_out_that_cannot_be_asked(
    tracked: Settings, two_versions: tuple[int, int]
) -> None:
    first, second = two_versions
    down = replace(tracked, server_url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(TryAgain, match="did not answer within"):
        verify.run(step(down, version=first, wait_seconds=0.5, last_try=True))
    assert champion_of(tracked) == first
    assert stages.challenger(tracked, MODEL) is not None, f"the deployment of version {second} goes on"


def test_corrupt_artifact_never_answers_anybody(tracked: Settings, logged_models: list[Logged]) -> None:
    good = register(tracked, logged_models[0], model=MODEL)
    corrupt = register(tracked, logged_models[1], digest="0" * 64, model=MODEL)
    deploy(tracked, good, MODEL)
    with in_thread(tracked) as client:
        until(lambda: serving(client, good, MODEL))
        deploy_step.run(step(tracked, version=corrupt))
        with pytest.raises(verify.VerificationFailed, match="digest"):
            verify.run(step(replace(tracked, server_url=str(client.base_url)), version=corrupt))
        assert serving(client, good, MODEL)
    assert versions.get_version(tracked, MODEL, corrupt).status == "barred"
    assert champion_of(tracked) == good


def test_a_models_first_version_is_verified_before_it_is_champion(
    tracked: Settings, logged_models: list[Logged]
) -> None:
    only = register(tracked, logged_models[0], model=MODEL)
    deploy_step.run(step(tracked, version=only))
    with in_thread(tracked) as client:
        found = verify.run(step(replace(tracked, server_url=str(client.base_url)), version=only))
    assert (found["role"], champion_of(tracked)) == ("candidate", None)


def test_version_that_was_taken_out_is_refused_with_the_reason(
    tracked: Settings, two_versions: tuple[int, int]
) -> None:
    stages.withdraw(tracked, MODEL, two_versions[1], actor="bob", reason="a mistake")
    with pytest.raises(ChallengerGone, match="a mistake"):
        verify.run(step(tracked, version=two_versions[1]))


@pytest.mark.parametrize("wrong", [None, "3", True])
def test_missing_version_is_refused(tracked: Settings, wrong: object) -> None:
    with pytest.raises(InputsIncomplete):
        verify.run(step(tracked, version=wrong))


def test_mlflow_away_is_try_again(
    tracked: Settings, two_versions: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TryAgain, match="MLflow did not answer"):
        verify.run(step(replace(tracked, tracking_url="http://127.0.0.1:9"), version=two_versions[1]))

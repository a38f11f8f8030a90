"""Verification through a live server process: equal answers pass, any other is rolled back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from include.errors import NothingToDo, TryAgain
from include.registry import results, state, versions
from include.settings import Settings
from include.spec.loader import find_definition
from include.steps import verify
from include.steps.protocol import StepCall
from tests.serving.live import Logged, as_process, deploy, free_port, in_thread, register, serving, until
from tests.serving.world import logged_models, tracked, tracking_url

__all__ = ["logged_models", "tracked", "tracking_url"]
pytestmark = pytest.mark.database
MODEL = "bike_demand"

PERTURBED = """
from include.serving import loaded
honest = loaded.LoadedModel.predict
def perturbed(self, rows):
    return honest(self, [{**row, "x": None if row["x"] is None else row["x"] + 5} for row in rows])
loaded.LoadedModel.predict = perturbed
from include.serving.__main__ import main
main()
"""


def step(settings: Settings, **inputs: Any) -> StepCall:
    definition = find_definition(settings, MODEL)
    as_of = datetime(2013, 10, 1, tzinfo=UTC)
    return StepCall(settings=settings, definition=definition, as_of=as_of, attempt="a1", inputs=inputs)


@pytest.fixture
def two_versions(tracked: Settings, logged_models: list[Logged]) -> tuple[int, int]:
    """The second one is champion, the first one previous."""
    first, second = (register(tracked, logged, model=MODEL) for logged in logged_models[:2])
    deploy(tracked, first, MODEL)
    deploy(tracked, second, MODEL)
    return first, second


def test_equal_answers_pass_and_are_recorded(tracked: Settings, two_versions: tuple[int, int]) -> None:
    with in_thread(tracked) as client:
        live = replace(tracked, server_url=str(client.base_url))
        for _ in range(2):
            found = verify.run(step(live, version=two_versions[1]))
            assert (found["version"], found["rows"], found["single_rows"]) == (two_versions[1], 230, 25)
    assert [check.verdict for check in results.find_checks(tracked, MODEL, kind="verify")] == ["passed", "passed"]
    assert len(state.history(tracked, MODEL)) == 2


def test_server_with_perturbed_features_is_caught_and_rolled_back(
    tracked: Settings, two_versions: tuple[int, int], tmp_path: Path
) -> None:
    first, second = two_versions
    with as_process(tracked, tmp_path / "server.log", script=PERTURBED) as (live, _):
        call = step(live, version=second, actor="ana")
        with pytest.raises(verify.VerificationFailed, match=f"Version {first} answers again"):
            verify.run(call)
        with pytest.raises(verify.VerificationFailed, match="rolled back before"):
            verify.run(call)
    champion = state.champion(tracked, MODEL)
    assert champion is not None
    assert champion.version == first
    assert versions.get_version(tracked, MODEL, second).status == "barred"
    entry = state.history(tracked, MODEL)[-1]
    assert (entry.action, entry.actor, entry.from_version, entry.to_version) == ("rollback", "ana", second, first)
    shown = entry.evidence["first"][0]
    assert shown["expected"] != shown["got"]
    assert set(shown["inputs"]) == {"n", "x", "place", "dry", "seen_at"}
    assert results.find_checks(tracked, MODEL, kind="verify")[0].verdict == "refused"


def test_server_that_is_down_is_try_again_and_rolls_nothing_back(
    tracked: Settings, two_versions: tuple[int, int]
) -> None:
    down = replace(tracked, server_url=f"http://ana:s3cret@127.0.0.1:{free_port()}")
    with pytest.raises(TryAgain, match="did not answer within") as caught:
        verify.run(step(down, version=two_versions[1], wait_seconds=0.5))
    assert "s3cret" not in str(caught.value)
    assert len(state.history(tracked, MODEL)) == 2


def test_last_try_rolls_the_unproven_version_back_without_a_bar(
    tracked: Settings, two_versions: tuple[int, int]
) -> None:
    first, second = two_versions
    down = replace(tracked, server_url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(verify.VerificationFailed, match="could not be verified"):
        verify.run(step(down, version=second, wait_seconds=0.5, last_try=True))
    champion = state.champion(tracked, MODEL)
    assert champion is not None
    assert champion.version == first
    assert versions.get_version(tracked, MODEL, second).status == "registered"


def test_corrupt_artifact_is_rolled_back(tracked: Settings, logged_models: list[Logged]) -> None:
    good = register(tracked, logged_models[0], model=MODEL)
    corrupt = register(tracked, logged_models[1], digest="0" * 64, model=MODEL)
    deploy(tracked, good, MODEL)
    with in_thread(tracked) as client:
        until(lambda: serving(client, good, MODEL))
        deploy(tracked, corrupt, MODEL)
        with pytest.raises(verify.VerificationFailed, match="digest"):
            verify.run(step(replace(tracked, server_url=str(client.base_url)), version=corrupt))
        until(lambda: client.get(f"/models/{MODEL}").json()["status"] == "serving")
    assert versions.get_version(tracked, MODEL, corrupt).status == "barred"


def test_version_that_another_has_replaced_is_nothing_to_do(tracked: Settings, two_versions: tuple[int, int]) -> None:
    with pytest.raises(NothingToDo, match="not the champion any more"):
        verify.run(step(tracked, version=two_versions[0]))


@pytest.mark.parametrize("wrong", [None, "3", True])
def test_missing_version_is_refused(tracked: Settings, wrong: object) -> None:
    with pytest.raises(verify.InputsIncomplete):
        verify.run(step(tracked, version=wrong))


def test_mlflow_away_is_try_again(
    tracked: Settings, two_versions: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TryAgain, match="MLflow did not answer"):
        verify.run(step(replace(tracked, tracking_url="http://127.0.0.1:9"), version=two_versions[1]))

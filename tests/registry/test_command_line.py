"""The registry's command line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from include.registry import __main__ as command_line
from include.registry import stages, state
from include.settings import Settings

pytestmark = pytest.mark.database


@pytest.fixture
def run(
    stored_settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    monkeypatch.setenv("NORIA_DATABASE_URL", stored_settings.database_url)
    monkeypatch.setenv("NORIA_TRACKING_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    def call(*arguments: str) -> tuple[int, str]:
        status = command_line.main(list(arguments))
        output = capsys.readouterr()
        return status, output.out + output.err

    return call


def test_history_rollback_and_bars(
    run: Callable[..., tuple[int, str]], stored_settings: Settings, have_version: Callable[..., int]
) -> None:
    assert run("history", "m") == (0, "m was never deployed.\n")
    for version in (1, 2):
        have_version(version)
        state.switch_champion(stored_settings, "m", version, actor="ana", reason="it won")
    status, said = run("rollback", "m", "--reason", "wrong on Mondays", "--actor", "bob")
    assert status == 0
    assert "version 1 is in production instead of version 2" in said
    assert "not up to date" in said
    status, said = run("history", "m")
    assert "wrong on Mondays" in said
    assert "Now in production: champion 1." in said
    status, said = run("rollback", "m", "--reason", "again")
    assert (status, "--to" in said) == (10, True)
    assert "is free of its bar." in run("lift-bar", "m", "2", "--reason", "checked")[1]
    assert "already" in run("lift-bar", "m", "2", "--reason", "checked")[1]
    assert run("bar", "m", "1", "--reason", "no")[0] == 10
    assert run("bar", "m", "7", "--reason", "no")[0] == 10


def test_version_at_an_instant(
    run: Callable[..., tuple[int, str]], stored_settings: Settings, have_version: Callable[..., int]
) -> None:
    have_version(1)
    state.switch_champion(stored_settings, "m", 1, actor="ana", reason="first")
    assert run("at", "m", datetime.now(UTC).isoformat())[1].endswith("version 1\n")
    assert run("at", "m", "2001-01-01T00:00+00:00")[1].endswith("no champion\n")
    for wrong in ("2001-01-01", "yesterday"):
        assert run("at", "m", wrong)[0] == 10


def test_history_cuts_long_reasons_unless_it_is_asked_for_the_whole(
    run: Callable[..., tuple[int, str]], stored_settings: Settings, have_version: Callable[..., int]
) -> None:
    have_version(1)
    reason = f"it wins, {'since it does, ' * 30}at last"
    state.switch_champion(stored_settings, "m", 1, actor="ana", reason=reason)
    said = run("history", "m")[1]
    assert (reason[:160] in said, "…" in said, "at last" in said) == (True, True, False)
    assert reason in run("history", "m", "--full")[1]


def test_history_and_instants_show_the_stages_and_shares_of_a_deployment(
    run: Callable[..., tuple[int, str]], stored_settings: Settings, have_version: Callable[..., int]
) -> None:
    for version in (1, 2):
        have_version(version)
    state.switch_champion(stored_settings, "m", 1, actor="ana", reason="first")
    for role, share in (("shadow", 0.0), ("canary", 0.125)):
        stages.enter_stage(
            stored_settings, "m", 2, role=role, share=share,  # type: ignore[arg-type]
            deployment="run-1", actor="airflow", reason=f"on to {role}",
            plan={"stage": role if not share else "canary_12_5", "champion": 1}, until=None,
        )  # fmt: skip
    first, shadow, canary = (entry.at for entry in state.history(stored_settings, "m"))
    said = run("history", "m")[1]
    assert "canary_12_5: 12.5 %" in said
    assert "on to shadow" in said
    assert said.endswith("Now in production: canary 2 (12.5 %), champion 1.\n")
    assert run("at", "m", first.isoformat())[1].endswith("version 1\n")
    assert run("at", "m", shadow.isoformat())[1].endswith("version 1; version 2 was shadow and answered nobody\n")
    assert run("at", "m", (canary + timedelta(seconds=1)).isoformat())[1].endswith(
        "version 1, and version 2 for 12.5 % of the entities (canary)\n"
    )
    said = run("rollback", "m", "--version", "2", "--reason", "late")[1]
    assert "the challenger, version 2, is out; version 1 stays in production" in said
    assert "canary_12_5" in run("history", "m")[1].splitlines()[-2]


def test_rollback_says_that_the_challenger_leaves_too(
    run: Callable[..., tuple[int, str]], stored_settings: Settings, have_version: Callable[..., int]
) -> None:
    for version in (1, 2, 3):
        have_version(version)
    for version in (1, 2):
        state.switch_champion(stored_settings, "m", version, actor="ana", reason="first")
    stages.enter_stage(
        stored_settings, "m", 3, role="canary", share=0.1, plan={"stage": "canary_10"}, until=None,
        deployment="run-1", actor="airflow", reason="next",
    )  # fmt: skip
    status, said = run("rollback", "m", "--to", "1", "--reason", "wrong")
    assert status == 0
    assert "version 1 is in production instead of version 2; the challenger, version 3, is out too" in said


def test_rollback_of_a_version_without_a_role_says_that_it_is_barred(
    run: Callable[..., tuple[int, str]], stored_settings: Settings, have_version: Callable[..., int]
) -> None:
    for version in (1, 2):
        have_version(version)
        state.switch_champion(stored_settings, "m", version, actor="ana", reason="first")
    said = run("rollback", "m", "--version", "1", "--reason", "wrong units")[1]
    assert "version 1 held no role and is barred; version 2 stays" in said
    assert "nothing to do" in run("rollback", "m", "--version", "1", "--reason", "again")[1]


def test_rollback_without_a_way_back_names_the_challenger_that_can_be_taken_out(
    run: Callable[..., tuple[int, str]], stored_settings: Settings, have_version: Callable[..., int]
) -> None:
    for version in (1, 2):
        have_version(version)
    state.switch_champion(stored_settings, "m", 1, actor="ana", reason="first")
    stages.enter_stage(
        stored_settings, "m", 2, role="canary", share=0.1, plan={"stage": "canary_10"}, until=None,
        deployment="run-1", actor="airflow", reason="next",
    )  # fmt: skip
    status, said = run("rollback", "m", "--reason", "the canary is slow")
    assert (status, "To take out only the challenger: --version 2." in said) == (10, True)

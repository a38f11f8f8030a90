"""The registry's command line."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from include.registry import __main__ as command_line
from include.registry import state
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

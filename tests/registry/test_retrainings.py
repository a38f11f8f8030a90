"""What started a retraining is in the ledger, once, and changes nothing in production."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from include.registry import retirement, state
from include.registry.retrainings import record_retraining
from include.settings import Settings

pytestmark = pytest.mark.database


def record(settings: Settings, start_id: str = "drift-1") -> bool:
    check: dict[str, Any] = {"check": {"reason": "7 of 9 features", "window": {"last": "2013-10-08"}}}
    return record_retraining(settings, "m", start_id, actor="airflow:m.monitor", reason="drift", evidence=check)


def test_a_start_is_recorded_once_with_what_it_was_made_from(
    stored_settings: Settings, have_version: Callable[..., int]
) -> None:
    state.switch_champion(stored_settings, "m", have_version(1), actor="ana", reason="first")
    before = state.read_states(stored_settings)["m"].roles

    assert [record(stored_settings), record(stored_settings), record(stored_settings, "drift-2")] == [True, False, True]
    entries = state.history(stored_settings, "m")[1:]
    assert [(entry.action, entry.to_version, entry.evidence["start_id"]) for entry in entries] == [
        ("retrain", 1, "drift-1"),
        ("retrain", 1, "drift-2"),
    ]
    assert entries[0].evidence["check"]["window"]["last"] == "2013-10-08"
    assert state.read_states(stored_settings)["m"].roles == before


def test_a_retired_model_stays_retired(stored_settings: Settings, have_version: Callable[..., int]) -> None:
    state.switch_champion(stored_settings, "m", have_version(1), actor="ana", reason="first")
    retirement.retire(stored_settings, "m", actor="ana", reason="replaced")
    record(stored_settings)

    assert state.read_states(stored_settings)["m"].retired_at is not None

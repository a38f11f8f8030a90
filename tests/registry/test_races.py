"""Several operators at once: changes of production happen one after the other, and the ledger tells them all."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from include.errors import Refused
from include.registry import stages, state
from include.registry.ledger import LedgerEntry
from include.settings import PROJECT, Settings

pytestmark = pytest.mark.database
WHO = {"actor": "ana", "reason": "because"}
OPERATORS = 6
CHANGES = 12
Have = Callable[..., int]


def change_something(settings: Settings, chance: random.Random) -> str:
    """One of all the ways to change production, with a random version."""
    version = chance.randrange(1, 6)
    deployment = f"d{chance.randrange(3)}"
    until = datetime.now(UTC) + timedelta(hours=1)
    plan: dict[str, Any] = {"stage": "canary_30", "kind": "canary", "evidence": {}, "rollback": {}}
    ways: dict[str, Callable[[], Any]] = {
        "canary": lambda: stages.enter_stage(
            settings, "m", version, role="canary", share=0.3, plan=plan, until=until,
            deployment=f"{deployment}-{uuid.uuid4().hex}", **WHO,
        ),
        "promote": lambda: _promote(settings),
        "withdraw": lambda: stages.withdraw(settings, "m", version, bar=False, **WHO),
        "switch": lambda: state.switch_champion(settings, "m", version, force=chance.random() < 0.5, **WHO),
        "roll back": lambda: state.roll_back(settings, "m", bar=False, **WHO),
    }  # fmt: skip
    way = chance.choice(sorted(ways))
    try:
        done = ways[way]()
    except Refused:
        return "refused"
    return "changed" if done is not None and done.changed else "unchanged"


def _promote(settings: Settings) -> state.Switch | None:
    found = state.read_states(settings).get("m")
    challenger = found.roles.get("canary") if found else None
    if challenger is None or challenger.deployment is None:
        return None
    return stages.promote_challenger(settings, "m", challenger.version, deployment=challenger.deployment, **WHO)


def replayed(entries: list[LedgerEntry]) -> dict[str, int]:
    """The roles that the ledger leaves; each row must begin where the one before it ended."""
    for before, after in pairwise(entries):
        assert after.revision == before.revision + 1
        assert after.at > before.at
        if after.action == "promote":
            assert after.state["champion"] == after.to_version
            assert after.from_version == before.state.get("champion")
    return dict(entries[-1].state) if entries else {}


def test_operators_who_do_everything_at_once_leave_a_ledger_that_tells_the_state(
    stored_settings: Settings, have_version: Have
) -> None:
    for version in range(1, 6):
        have_version(version, as_of=datetime(2013, 10, 1, tzinfo=UTC))

    def operate(seed: int) -> list[str]:
        chance = random.Random(seed)  # noqa: S311
        return [change_something(stored_settings, chance) for _ in range(CHANGES)]

    with ThreadPoolExecutor(OPERATORS) as pool:
        outcomes = [outcome for done in pool.map(operate, range(OPERATORS)) for outcome in done]
    entries = state.history(stored_settings, "m")
    found = state.read_states(stored_settings)["m"]
    assert replayed(entries) == {role: held.version for role, held in found.roles.items()}
    assert found.revision == entries[-1].revision == len(entries) == outcomes.count("changed")
    assert {"changed", "refused"} <= set(outcomes)


def test_a_rollback_that_two_operators_type_at_once_happens_once(stored_settings: Settings, have_version: Have) -> None:
    for version in (1, 2, 3):
        have_version(version)
        state.switch_champion(stored_settings, "m", version, **WHO)
    environment = {**os.environ, "NORIA_HOME": str(stored_settings.home)}
    environment["NORIA_DATABASE_URL"] = stored_settings.database_url
    command = [sys.executable, "-m", "include.registry", "rollback", "m", "--reason", "late flights"]
    operators = [
        subprocess.Popen(command, env=environment, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = {one.returncode: err.decode() for one in operators for _, err in [one.communicate(timeout=60)]}
    assert set(said) == {0, 10}
    assert "--to" in said[10], "the other one is told that there is nothing to go back to, and how to name a version"
    assert [entry.action for entry in state.history(stored_settings, "m")].count("rollback") == 1
    champion = state.champion(stored_settings, "m")
    assert champion is not None
    assert champion.version == 2

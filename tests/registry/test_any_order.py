"""What is in production after any calls in any order is what a small model of the rules says, on real PostgreSQL.

``--hypothesis-profile long`` tries many more orders.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from include.errors import Refused
from include.registry import database, refusals, retirement, stages, state, versions
from include.registry.deployed import read_state
from include.registry.roles import CHALLENGER_ROLES
from include.registry.tables import model_version
from include.settings import Settings

pytestmark = pytest.mark.database
SHARES = {"candidate": 0.0, "canary": 0.3}
VERSIONS = st.integers(1, 4)
DEPLOYMENTS = st.sampled_from(["first", "second"])
SAID = {"actor": "ana", "reason": "any order"}


class Registry(RuleBasedStateMachine):
    """The real registry beside plain attributes that say what it must be."""

    database: Settings

    def __init__(self) -> None:
        super().__init__()
        self.name = f"m{uuid.uuid4().hex}"
        self.status: dict[int, str] = {}
        self.champion: int | None = None
        self.previous: int | None = None
        self.challenger: tuple[int, str, str] | None = None
        self.retired = self.came_back = False
        self.row: str | None = None
        self.left: dict[str, int] = {}
        self.changes = 0
        self.deployments: set[str] = set()

    # What may be done, and what must come of it.

    @precondition(lambda self: len(self.status) < 4)
    @rule()
    def register(self) -> None:
        """Version n is as of n days after a day; the third is as old as the first."""
        number = len(self.status) + 1
        days = 1 if number == 3 else number
        with database.transaction(self.database.database_url) as connection:
            connection.execute(
                model_version.insert().values(
                    model=self.name, version=number, fingerprint=f"f{number}", run_id=f"run{number}",
                    as_of=datetime(2013, 10, 1, tzinfo=UTC) + timedelta(days=days), artifact_digest=f"d{number}",
                    model_uri=f"models:/m-{number}", status="registered", windows={}, decision={},
                )
            )  # fmt: skip
        self.status[number] = "registered"

    @rule(version=VERSIONS, force=st.booleans())
    def switch(self, version: int, force: bool) -> None:
        def does() -> None:
            self.previous = self.champion or (None if self.previous == version else self.previous)
            self._crown(version)

        refusal = None if version == self.champion else self._entry(version, force)
        self._call(
            lambda: state.switch_champion(self.database, self.name, version, force=force, **SAID),
            refusal,
            None if version == self.champion else does,
        )

    @rule()
    def roll_back(self) -> None:
        def does() -> None:
            if self.champion is not None:
                self.status[self.champion] = "barred"
            target, self.previous = self.previous, None
            self._crown(target or 0)

        refusal = refusals.NothingToRollBackTo if self.previous is None else None
        self._call(lambda: state.roll_back(self.database, self.name, **SAID), refusal, does)

    @rule()
    def retire(self) -> None:
        def does() -> None:
            if self.row != "out":
                self.left = self._roles()
            for version in self._roles().values():
                self.status[version] = "retired"
            self.champion = self.previous = self.challenger = None
            self.retired, self.row = True, "out"

        self._call(lambda: retirement.retire(self.database, self.name, **SAID), None, None if self.retired else does)

    @rule()
    def begin_to_retire(self) -> None:
        def does() -> None:
            self.challenger, self.row = None, "draining"

        does_nothing = self.retired or self.row is not None
        self._call(lambda: retirement.begin(self.database, self.name, **SAID), None, None if does_nothing else does)

    @rule()
    def restore(self) -> None:
        def does() -> None:
            was, self.row, self.retired = self.row, None, False
            if was == "draining":
                return
            for version in self.left.values():
                self.status[version] = self.status[version].replace("retired", "registered")
            back = {role: version for role, version in self.left.items() if self.status[version] != "barred"}
            self.champion, self.previous = back.get("champion"), back.get("previous")

        refusal: type[Refused] | None = None
        if self.row != "draining" and not self.retired:
            refusal = refusals.NothingRetired
        elif self.row != "draining" and self.status.get(self.left.get("champion", 0)) == "barred":
            refusal = refusals.VersionBarred
        self._call(lambda: retirement.restore(self.database, self.name, **SAID), refusal, does)

    @rule(version=VERSIONS)
    def bar(self, version: int) -> None:
        def does() -> None:
            self._take_out_of_roles(version, bar=True)

        known = self.status.get(version)
        refusal = self._unknown(version)
        if refusal is None and known != "barred" and version == self.champion:
            refusal = versions.VersionInProduction
        self._call(
            lambda: versions.bar(self.database, self.name, version, **SAID),
            refusal,
            None if known == "barred" else does,
        )

    @rule(version=VERSIONS)
    def lift(self, version: int) -> None:
        def does() -> None:
            self.status[version] = "registered"

        self._call(
            lambda: versions.lift_bar(self.database, self.name, version, **SAID),
            self._unknown(version),
            does if self.status.get(version) == "barred" else None,
        )

    @rule(version=VERSIONS, role=st.sampled_from(sorted(SHARES)), deployment=DEPLOYMENTS, force=st.booleans())
    def stage(self, version: int, role: Any, deployment: str, force: bool) -> None:
        def does() -> None:
            self.came_back = self.retired
            self.challenger, self.retired = (version, role, deployment), False
            self.status[version] = "registered"
            self.deployments.add(deployment)

        same = self.challenger == (version, role, deployment)
        mine = self.challenger is not None and (self.challenger[0], self.challenger[2]) == (version, deployment)
        refusal = None
        if version != self.champion:
            refusal = self._entry(version, force)
            if refusal is None and not same:
                if self.champion is None and role == "canary":
                    refusal = refusals.NothingToCompareWith
                elif self.challenger is not None and not mine:
                    refusal = refusals.DeploymentUnderWay
                elif not mine and role == "canary" and deployment in self.deployments:
                    refusal = refusals.DeploymentEnded
        self._call(
            lambda: stages.enter_stage(
                self.database, self.name, version, role=role, share=SHARES[role], plan={"stage": role}, until=None,
                deployment=deployment, force=force, **SAID,
            ),
            refusal,
            None if same or version == self.champion else does,
        )  # fmt: skip

    @rule(version=VERSIONS, deployment=DEPLOYMENTS)
    def promote(self, version: int, deployment: str) -> None:
        def does() -> None:
            self.previous = self.champion
            self._crown(version)

        refusal = None
        if version != self.champion or version not in self.status:
            refusal = self._entry(version, force=False)
            if refusal is None and (self.challenger is None or self.challenger[::2] != (version, deployment)):
                refusal = refusals.DeploymentEnded
        self._call(
            lambda: stages.promote_challenger(self.database, self.name, version, deployment=deployment, **SAID),
            refusal,
            None if version == self.champion else does,
        )

    @rule(version=VERSIONS, bar=st.booleans())
    def withdraw(self, version: int, bar: bool) -> None:
        def does() -> None:
            self._take_out_of_roles(version, bar=bar)

        held = self.challenger is not None and self.challenger[0] == version
        self._call(
            lambda: stages.withdraw(self.database, self.name, version, bar=bar, **SAID), None, does if held else None
        )

    # What must hold after each.

    @invariant()
    def state_is_what_the_rules_say(self) -> None:
        found = read_state(self.database, self.name)
        if found is None:
            assert self.changes == 0
            return
        assert {role: held.version for role, held in found.roles.items()} == self._roles()
        assert (found.retired_at is not None, found.revision) == (self.retired, self.changes)
        assert (found.retiring_until is not None) == (self.row == "draining")
        assert sum(role in found.roles for role in CHALLENGER_ROLES) <= 1
        entries = sorted(state.history(self.database, self.name), key=lambda entry: entry.revision)
        assert [entry.revision for entry in entries] == list(range(1, self.changes + 1))
        assert [entry.at for entry in entries] == sorted({entry.at for entry in entries})
        if entries:
            assert entries[-1].state == self._roles()

    @invariant()
    def statuses_are_what_the_rules_say(self) -> None:
        found = {one.version: one.status for one in versions.list_versions(self.database, self.name)}
        assert found == self.status
        assert not {found[version] for version in self._roles().values()} & {"barred", "retired"}

    # The model.

    def _roles(self) -> dict[str, int]:
        named = {"champion": self.champion, "previous": self.previous}
        if self.challenger is not None:
            named[self.challenger[1]] = self.challenger[0]
        return {role: version for role, version in named.items() if version is not None}

    def _crown(self, version: int) -> None:
        self.champion, self.challenger, self.retired = version, None, False
        self.row = None if self.row == "out" else self.row
        self.status[version] = "registered"

    def _take_out_of_roles(self, version: int, *, bar: bool) -> None:
        if self.challenger is not None and self.challenger[0] == version:
            self.challenger, self.retired = None, self.came_back
        if bar:
            self.previous = None if self.previous == version else self.previous
            self.status[version] = "barred"

    def _unknown(self, version: int) -> type[Refused] | None:
        return None if version in self.status else versions.VersionUnknown

    def _entry(self, version: int, force: bool) -> type[Refused] | None:
        """Why a version may not go on its way into production."""
        if version not in self.status:
            return versions.VersionUnknown
        if self.status[version] == "barred":
            return refusals.VersionBarred
        if self.row == "draining":
            return refusals.ModelRetiring
        if self.retired and not force:
            return refusals.ModelRetired
        days = {1: 1, 2: 2, 3: 1, 4: 4}
        older = self.champion is not None and days[version] < days[self.champion]
        return refusals.OlderThanChampion if older and not force else None

    def _call(self, call: Callable[[], Any], refusal: type[Refused] | None, does: Callable[[], None] | None) -> None:
        """Do it, or be refused; the model follows if something changed."""
        if refusal is not None:
            with pytest.raises(refusal):
                call()
            return
        call()
        if does is not None:
            does()
            self.changes += 1


def test_any_order_of_changes_leads_to_what_the_rules_say(stored_settings: Settings) -> None:
    machine = type("Bound", (Registry,), {"database": stored_settings})
    long = hypothesis_settings.get_current_profile_name() == "long"
    how = hypothesis_settings(max_examples=1000 if long else 8, stateful_step_count=20, deadline=None)
    run_state_machine_as_test(machine, settings=how)

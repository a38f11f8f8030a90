"""What a table holds after any publishing in any order is what a dictionary says, now and in each older version.

``--hypothesis-profile long`` tries many more orders.
"""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from include.lake.connections import open_duckdb
from include.lake.paths import quarantine_folder
from include.lake.publishing import NotGated
from include.lake.quarantine import quarantine_partition
from include.lake.table import LakeTable, NoSuchVersion
from include.settings import Settings
from tests.lake.factories import PASSED, land, make_definition, make_rows, manifest_of, stage_raw

pytestmark = pytest.mark.database
DAYS = ("2024-01-01", "2024-01-02", "2024-01-03")
Rows = dict[str, int]
CONTENTS = st.dictionaries(st.sampled_from(DAYS), st.integers(1, 4), min_size=1)
REFUSED = {"stage": "raw", "verdict": "failed", "page": None}


class Lake(RuleBasedStateMachine):
    """A real table beside the rows by day that each of its versions must have."""

    database: Settings

    def __init__(self) -> None:
        super().__init__()
        home = self.database.home / uuid.uuid4().hex
        self.settings = replace(self.database, home=home, store=home / "store")
        self.table = LakeTable(self.settings, "orders", "raw")
        self.versions: list[Rows] = []
        self.readable = 0
        self.quarantined: Rows = {}
        self.attempts = 0

    @property
    def now(self) -> Rows:
        return self.versions[-1] if self.versions else {}

    @rule(days=CONTENTS)
    def publish(self, days: Rows) -> None:
        """Days that are there with the same rows are left alone; the others are replaced, in one version."""
        published = self.table.publish(self._stage(days), attempt=self._attempt, gate=PASSED)
        changed = {day for day, rows in days.items() if self.now.get(day) != rows}
        assert set(published.changed) == changed
        assert published.rows == sum(days.values())
        if changed:
            # The first commit makes the table, the second fills it.
            self.versions += [{**self.now, **days}] if self.versions else [{}, days]
        assert published.version == len(self.versions) - 1

    @rule(days=CONTENTS)
    def publish_what_a_gate_refused(self, days: Rows) -> None:
        with pytest.raises(NotGated):
            self.table.publish(self._stage(days), attempt=self._attempt, gate=REFUSED)

    @rule(day=st.sampled_from(DAYS), rows=st.integers(1, 4))
    def quarantine(self, day: str, rows: int) -> None:
        """A refused day is kept beside, instead of the one that was refused before; what is published stays."""
        partition = self._stage({day: rows}, force=True).partitions[0]
        quarantine_partition(self.settings, "orders", partition, REFUSED)
        self.quarantined[day] = rows

    @precondition(lambda self: self.versions)
    @rule()
    def vacuum(self) -> None:
        """Older versions may lose their rows by it, the newest keeps all."""
        self.table.open().vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
        self.readable = len(self.versions) - 1
        # It notes its begin and its end in the log, as versions with the same rows.
        self.versions += [self.now] * (self.table.version() + 1 - len(self.versions))

    @precondition(lambda self: self.versions)
    @rule(data=st.data())
    def travel(self, data: st.DataObject) -> None:
        version = data.draw(st.integers(self.readable, len(self.versions) - 1))
        assert self._rows(version) == self.versions[version]
        digest = self.table.digest(version)
        same = [number for number, rows in enumerate(self.versions) if rows == self.versions[version]]
        assert all(self.table.digest(number) == digest for number in same)

    @rule()
    def travel_to_what_never_was(self) -> None:
        with pytest.raises(NoSuchVersion):
            self.table.open(len(self.versions))

    @invariant()
    def newest_is_what_was_published(self) -> None:
        assert {key: record.rows for key, record in self.table.partitions().items()} == self.now
        if self.versions:
            assert self._rows(None) == self.now

    @invariant()
    def quarantine_is_what_was_refused_last(self) -> None:
        import pyarrow.parquet as pq

        for day, rows in self.quarantined.items():
            assert pq.read_metadata(quarantine_folder(self.settings, "orders", day) / "rows.parquet").num_rows == rows

    @property
    def _attempt(self) -> str:
        return f"try-{self.attempts}"

    def _stage(self, days: Rows, *, force: bool = False):  # type: ignore[no-untyped-def]
        self.attempts += 1
        for day, rows in days.items():
            land(self.settings, day, make_rows(day, rows))
        staged = stage_raw(self.settings, make_definition(), sorted(days), attempt=self._attempt, force=force)
        return manifest_of(staged, attempt=self._attempt)

    def _rows(self, version: int | None) -> Rows:
        with open_duckdb(self.settings) as connection:
            self.table.scan(connection, "rows", version=version)
            counted = connection.execute("SELECT partition, count(*), count(DISTINCT _row) FROM rows GROUP BY 1")
            found = counted.fetchall()
        assert all(rows == distinct for _, rows, distinct in found)
        return {day: rows for day, rows, _ in found}


def test_any_order_of_publishing_leads_to_what_a_dictionary_says(stored_settings: Settings) -> None:
    machine = type("Bound", (Lake,), {"database": stored_settings})
    long = hypothesis_settings.get_current_profile_name() == "long"
    how = hypothesis_settings(max_examples=500 if long else 5, stateful_step_count=8, deadline=None)
    run_state_machine_as_test(machine, settings=how)

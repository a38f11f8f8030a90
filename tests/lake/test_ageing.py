"""Partitions older than the definition keeps them leave a table and all its versions; the others stay."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from include.lake.ageing import drop_aged
from include.lake.table import LakeTable, RowsErased
from include.settings import Settings
from include.spec.check_retention import retention_findings
from include.training.training_set import TrainingSet, assemble_training_set
from tests.training.factories import make_definition, make_rows
from tests.training.lake import AS_OF as TRAINED_AS_OF
from tests.training.lake import fill, with_suites

AS_OF = datetime(2013, 1, 9, 5, tzinfo=UTC)


@pytest.mark.database
def test_old_partitions_leave_the_table_and_its_history(stored_settings: Settings, tmp_path: Path) -> None:
    settings = with_suites(stored_settings, tmp_path)
    definition = make_definition(retention={"data": "5d"})
    fill(settings, make_definition(), make_rows(160, days=8))
    tables = [LakeTable(settings, "late", name) for name in ("raw", "features")]
    before = {table.name: (table.version(), table.partitions()) for table in tables}
    assert drop_aged(settings, make_definition(), AS_OF, "one") == {}
    old = ["2013-01-01", "2013-01-02", "2013-01-03"]
    assert drop_aged(settings, definition, AS_OF, "two") == {"features": old, "raw": old}
    for table in tables:
        version, partitions = before[table.name]
        kept = {key: record for key, record in partitions.items() if key not in old}
        assert table.partitions() == kept
        assert len(list(table.folder.glob("*.parquet"))) == len(kept)
        assert table.dataset().count_rows() == sum(record.rows for record in kept.values())
        with pytest.raises(RowsErased, match="than retention"):
            table.dataset(version)
        assert table.dataset(version, [max(kept)]).count_rows() == kept[max(kept)].rows
    assert drop_aged(settings, definition, AS_OF, "three") == {}
    assert drop_aged(settings, definition, AS_OF - timedelta(days=2), "four") == {}


def test_refusals_go_by_their_own_age(settings: Settings) -> None:
    folder = settings.store / "quarantine" / "late" / "2013-01-01"
    folder.mkdir(parents=True)
    (folder / "gate.json").write_text("{}")
    assert drop_aged(settings, make_definition(retention={"quarantine": "1h"}), AS_OF, "one") == {}
    aged = make_definition().retention.model_copy(update={"quarantine": timedelta(seconds=-1)})
    definition = make_definition().model_copy(update={"retention": aged})
    assert drop_aged(settings, definition, AS_OF, "two") == {"quarantine": ["2013-01-01"]}
    assert not folder.exists()


@pytest.mark.database
def test_a_training_set_goes_when_it_was_not_assembled_for_so_long(stored_settings: Settings, tmp_path: Path) -> None:
    settings = with_suites(stored_settings, tmp_path)
    definition = make_definition(retention={"training_sets": "2d"})
    fill(settings, definition, make_rows(800))

    def assembled_days_ago(days: float) -> TrainingSet:
        found = assemble_training_set(settings, definition, TRAINED_AS_OF)
        before = time.time() - days * 86_400
        for path in (found.directory, *found.directory.iterdir()):
            os.utime(path, (before, before))
        return found

    old = assembled_days_ago(3)
    assert drop_aged(settings, make_definition(), AS_OF, "one") == {}
    assert drop_aged(settings, definition, AS_OF, "two") == {"training sets": [old.digest]}
    assert not old.directory.exists()
    assert assembled_days_ago(1.9).digest == old.digest
    assert drop_aged(settings, definition, AS_OF, "three") == {}
    assembled_days_ago(3)
    assemble_training_set(settings, definition, TRAINED_AS_OF)  # it is there, and needed again
    assert drop_aged(settings, definition, AS_OF, "four") == {}


def test_a_run_that_trains_keeps_its_training_set() -> None:
    [finding] = retention_findings(make_definition(retention={"training_sets": "23h"}))
    assert finding.keys == ("retention", "training_sets")
    assert list(retention_findings(make_definition(retention={"training_sets": "1d"}))) == []


def test_what_training_needs_must_be_kept() -> None:
    [finding] = retention_findings(make_definition(retention={"data": "10d"}))
    assert finding.keys == ("retention", "data")
    assert list(retention_findings(make_definition(retention={"data": "20d"}))) == []

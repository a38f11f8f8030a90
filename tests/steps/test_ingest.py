"""Step ingest: which partitions, and when it waits, skips or goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from include.errors import NothingToDo
from include.lake.staging import read_manifest
from include.settings import Settings
from include.spec.partitions import PartitionError
from include.steps.ingest import PartitionNotThere, run
from include.steps.protocol import StepCall
from tests.lake.factories import land, landing_path, make_definition, write_suites

AS_OF = datetime(2024, 1, 4, tzinfo=UTC)


def call(settings: Settings, *, as_of: datetime = AS_OF, definition: Any = None, **inputs: Any) -> StepCall:
    return StepCall(
        settings=write_suites(settings),
        definition=definition or make_definition(),
        as_of=as_of,
        attempt="ingest-1",
        inputs=inputs,
    )


def test_without_a_range_the_last_complete_partition_is_ingested(settings: Settings) -> None:
    land(settings, "2024-01-03")
    reference = run(call(settings))
    assert (reference["first"], reference["last"], reference["rows"]) == ("2024-01-03", "2024-01-03", 5)
    assert reference["table"] == "raw"


def test_nothing_newer_than_as_of_is_ingested(settings: Settings) -> None:
    for day in range(1, 7):
        land(settings, f"2024-01-0{day}")
    reference = run(call(settings, first="2024-01-01", last="2024-01-06"))
    assert (reference["partitions"], reference["last"]) == (3, "2024-01-03")


def test_a_range_wholly_after_as_of_is_nothing_to_do(settings: Settings) -> None:
    with pytest.raises(NothingToDo, match="2024-01-05"):
        run(call(settings, first="2024-01-05", last="2024-01-06"))


def test_nothing_outside_the_archive_is_ingested(settings: Settings) -> None:
    definition = make_definition(
        source=make_definition().source.model_dump() | {"ends": datetime(2024, 1, 2, tzinfo=UTC).date()}
    )
    land(settings, "2024-01-02")
    reference = run(call(settings, definition=definition, first="2023-12-30", last="2024-01-03"))
    assert read_manifest(settings, reference).partitions[0].key == "2024-01-01"
    assert reference["last"] == "2024-01-02"


def test_a_single_partition_that_is_not_there_is_waited_for_with_its_path(settings: Settings) -> None:
    with pytest.raises(PartitionNotThere) as caught:
        run(call(settings))
    assert str(landing_path(settings, "2024-01-03")) in str(caught.value)


def test_missing_partitions_of_a_range_are_recorded(settings: Settings) -> None:
    land(settings, "2024-01-01")
    reference = run(call(settings, first="2024-01-01", last="2024-01-03"))
    assert reference["missing"] == ["2024-01-02", "2024-01-03"]
    assert reference["partitions"] == 1


def test_a_key_that_is_no_partition_is_refused(settings: Settings) -> None:
    with pytest.raises(PartitionError):
        run(call(settings, first="../../etc/passwd"))

"""Definitions of data without time: what they may say, what they may not, and how a run's instant is resolved."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.spec.as_of import AsOfError, resolve_as_of
from include.spec.definition import Definition, Training
from include.spec.lengths import Lengths, Places, Shares
from include.spec.loader import DefinitionError, load_definition
from include.spec.partitions import WHOLE_KEY, PartitionCalendar, PartitionError
from include.spec.share import WHOLE, Share, format_parts, parse_parts, parse_share
from include.spec.windows import needed_partitions
from tests.spec.conftest import VALID

WITHOUT = """\
model: delays
description: Will it be late?
owner: ops
task: binary_classification
source:
  type: files
  path: "{store}/landing/all.parquet"
  entity: [id]
  columns:
    id: integer
    weight: number
    delay: number
label:
  expression: delay > 15
features:
  weight: weight
training:
  validation: 15%
  holdout: 20%
evaluation:
  metrics: [roc_auc]
  gates:
    - {metric: roc_auc, at_least: 0.6}
"""
INSTANT = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)

# what is changed (old, new), the line and the key of the error, and words of the message
BAD: dict[str, tuple[tuple[str, str], int, str, str]] = {
    "starts": (("  entity: [id]", "  starts: 2013-01-01\n  entity: [id]"), 8, "source.starts", "no first day"),
    "ends": (("  entity: [id]", "  ends: 2013-01-01\n  entity: [id]"), 8, "source.ends", "no last day"),
    "partition": (("  entity: [id]", "  partition: day\n  entity: [id]"), 8, "source.partition", "it is one whole"),
    "path": (("all.parquet", "{partition}.parquet"), 7, "source.path", "Name the one file"),
    "window": (("  holdout: 20%", "  holdout: 20%\n  window: 90d"), 20, "training.window", "what validation and"),
    "shortest": (("  holdout: 20%", "  holdout: 20%\n  shortest_window: 9d"), 20, "training.shortest_window", "Remove"),
    "missing": (
        ("  holdout: 20%", "  holdout: 20%\n  max_missing_partitions: 1"),
        20, "training.max_missing_partitions", "a whole or not at all",
    ),
    "drift": (("evaluation:", "monitoring: {drift: {window: 7d}}\nevaluation:"), 20, "monitoring.drift.window", "all"),
    "season": (
        ("evaluation:", "monitoring: {drift: {season: {every: 7d}}}\nevaluation:"),
        20, "monitoring.drift.season", "no season returns",
    ),
    "length": (("holdout: 20%", "holdout: 14d"), 19, "training.holdout", "Write a share of the rows, such as 15%"),
    "no share": (("holdout: 20%", "holdout: 120%"), 19, "training.holdout", "less than 100%, such as 15%"),
    "nothing": (("holdout: 20%", "holdout: 0%"), 19, "training.holdout", "more than 0%"),
    "too fine": (("holdout: 20%", "holdout: 1.234%"), 19, "training.holdout", "is no share of the rows"),
    "all": (("holdout: 20%", "holdout: 85%"), 19, "training.holdout", "take 100% of the rows, which leaves none"),
    "decimal entity": (("entity: [id]", "entity: [weight]"), 8, "source.entity[0]", "declare it as integer or string"),
    "folds": (
        ("  holdout: 20%", "  holdout: 20%\n  search: {trials: 3, folds: 5, space: {max_depth: [3, 6]}}"),
        20, "training.search.folds", "At most 3 folds fit",
    ),
    "delay of a delta table": (
        ('files\n  path: "{store}/landing/all.parquet"', "delta\n  path: /orders\n  arrives_after: 1h"),
        8, "source.arrives_after", "it has no partitions that end",
    ),
    "a joined file for each partition": (
        ("  entity: [id]", '  tables: {a: {path: "/{partition}.csv"}}\n  query: FROM source, a\n  entity: [id]'),
        8, "source.tables.a.path", "without an event_time the data is one whole",
    ),
    "database": (
        ('files\n  path: "{store}/landing/all.parquet"', "sql\n  connection: shop\n  table: orders"),
        5, "source", "export the rows to a file",
    ),
    "past": (
        ("features:", "history: {recent: {by: [id], over: 7d, values: {n: count}}}\nfeatures:"),
        15, "history", "values of the past need a time",
    ),
    "duplicates": (
        ("features:", "clean: {duplicates: {keep: last}}\nfeatures:"), 15, "clean.duplicates", "Add order_by",
    ),
    "zone": (("  entity: [id]", "  time_zone: Europe/Berln\n  entity: [id]"), 8, "source.time_zone", "Europe/Berlin"),
}  # fmt: skip


@pytest.fixture
def without(tmp_path: Path) -> Callable[..., Definition]:
    """Load a variant of the definition without time."""

    def load(*changes: tuple[str, str]) -> Definition:
        text = WITHOUT
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new, 1)
        (tmp_path / "delays.yaml").write_text(text)
        return load_definition(tmp_path / "delays.yaml")

    return load


def test_it_is_short_and_its_parts_are_shares_that_touch_and_are_everything(without: Callable[..., Definition]) -> None:
    shares = Shares.of(without(("15%", "12.5%")))
    assert (shares.holdout, shares.validation, shares.train) == (
        Places(0, 2000), Places(2000, 3250), Places(3250, 10000),
    )  # fmt: skip


def test_a_zone_for_its_schedules_and_when_a_label_is_known_may_be_said(without: Callable[..., Definition]) -> None:
    definition = without(
        ("  entity: [id]", "  time_zone: Europe/Berlin\n  entity: [id]"),
        ("label:", "clean: {duplicates: {keep: last, order_by: weight}}\nlabel:\n  known_after: 3d"),
        ("evaluation:", 'schedule: {data: "0 1 * * *"}\nevaluation:'),
    )
    assert definition.source.time_zone == "Europe/Berlin"
    assert definition.label.known_after == timedelta(days=3)


@pytest.mark.parametrize("case", BAD)
def test_what_needs_a_time_is_refused_with_line_key_and_cure(case: str, without: Callable[..., Definition]) -> None:
    change, line, key, words = BAD[case]
    with pytest.raises(DefinitionError) as caught:
        without(change)
    [problem] = caught.value.problems
    assert (problem.line, problem.key) == (line, key)
    assert words in f"{problem.what}. {problem.cure}"


@pytest.mark.parametrize(
    ("change", "key", "words"),
    [
        (("validation: 7d", "validation: 15%"), "training.validation", "Write how long the part is, such as 14d."),
        (("  window: 90d\n", ""), "training.window", "Add `window`: Length of the training part, such as 90d."),
        (("  starts: 2013-01-01\n", ""), "source.starts", "Add `starts`: First day with data."),
    ],
)
def test_data_with_time_needs_lengths_and_a_first_day(
    change: tuple[str, str], key: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "delays.yaml").write_text(VALID.replace(*change))
    with pytest.raises(DefinitionError) as caught:
        load_definition(tmp_path / "delays.yaml")
    assert [(problem.key, words in problem.cure) for problem in caught.value.problems] == [(key, True)]


def test_a_forgotten_event_time_names_every_key_that_needs_one(tmp_path: Path) -> None:
    (tmp_path / "delays.yaml").write_text(VALID.replace("  event_time: at\n", ""))
    with pytest.raises(DefinitionError) as caught:
        load_definition(tmp_path / "delays.yaml")
    assert {problem.key for problem in caught.value.problems} == {
        "source.starts", "source.partition", "source.path", "training.window", "training.validation",
        "training.holdout",
    }  # fmt: skip
    assert all("source.event_time" in problem.cure for problem in caught.value.problems)


def test_lengths_and_shares_are_not_mistaken_for_each_other(without: Callable[..., Definition], tmp_path: Path) -> None:
    (tmp_path / "delays.yaml").write_text(VALID)
    with pytest.raises(TypeError, match="shares, no lengths"):
        Lengths.of(without())
    (tmp_path / "delays.yaml").write_text(VALID)
    with pytest.raises(TypeError, match="lengths, no shares"):
        Shares.of(load_definition(tmp_path / "delays.yaml"))


@given(st.integers(1, WHOLE - 1))
def test_every_share_is_read_back_as_it_is_written(parts: int) -> None:
    assert parse_share(str(Share(parts))) == Share(parts)
    assert parse_parts(format_parts(parts)) == parts


def test_shares_survive_the_way_through_json(without: Callable[..., Definition]) -> None:
    training = without().training
    written = training.model_dump(mode="json", exclude_unset=True)
    assert written == {"validation": "15%", "holdout": "20%"}
    assert Training.model_validate(written) == training


def test_its_one_partition_is_the_whole_and_always_complete(without: Callable[..., Definition]) -> None:
    calendar = PartitionCalendar.of(without())
    last = calendar.last_complete(INSTANT)
    assert (last.key, last.end) == (WHOLE_KEY, INSTANT)
    assert [one.key for one in calendar.range(WHOLE_KEY, WHOLE_KEY)] == [WHOLE_KEY]
    assert [one.key for one in calendar.covering(INSTANT, INSTANT + timedelta(days=9))] == [WHOLE_KEY]
    assert calendar.covering(INSTANT, INSTANT) == []
    assert calendar.from_key(WHOLE_KEY).end < INSTANT
    assert (calendar.due(WHOLE_KEY, INSTANT), calendar.end_of_data) == (INSTANT, None)
    assert [one.key for one in needed_partitions(without(), INSTANT)] == [WHOLE_KEY]
    with pytest.raises(PartitionError, match="its only partition is all"):
        calendar.from_key("2013-01-01")


def test_every_instant_can_be_a_runs_as_of_and_a_partition_names_none(without: Callable[..., Definition]) -> None:
    def resolve(requested: str | None, key: str | None, end: datetime | None) -> datetime:
        return resolve_as_of(without(), requested=requested, partition_key=key, data_interval_end=end)

    assert resolve(None, None, INSTANT.replace(microsecond=7)) == INSTANT
    assert resolve("2026-03-01T11:30:00+01:00", None, None) == INSTANT
    assert resolve(None, WHOLE_KEY, INSTANT) == INSTANT
    with pytest.raises(AsOfError, match="nothing was requested"):
        resolve(None, WHOLE_KEY, None)

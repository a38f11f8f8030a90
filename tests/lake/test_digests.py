"""Digests say whether rows are the same, and nothing else."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from include.lake.columns import arrow_schema
from include.lake.digests import CanonicalRows, RowsDigest, inputs_digest
from include.settings import Settings
from tests.lake.factories import land, make_definition, stage_raw

SCHEMA = arrow_schema({"a": "VARCHAR", "b": "DOUBLE", "c": "BOOLEAN", "d": "TIMESTAMP", "e": "BIGINT"})
ROW = st.tuples(
    st.none() | st.text(max_size=4),
    st.none() | st.floats(),
    st.none() | st.booleans(),
    st.none() | st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2100, 1, 1)),  # noqa: DTZ001
    st.none() | st.integers(-(2**63), 2**63 - 1),
)


def batch_of(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    columns = [list(range(len(rows))), *([row[i] for row in rows] for i in range(5))]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def digest_of(*batches: pa.RecordBatch) -> str:
    digest = RowsDigest(SCHEMA)
    for batch in batches:
        digest.update(batch)
    return digest.hexdigest()


@given(rows=st.lists(ROW, max_size=12), cut=st.integers(0, 12))
def test_the_cut_into_batches_leaves_no_trace(rows: list[tuple[Any, ...]], cut: int) -> None:
    whole = batch_of(rows)
    assert digest_of(whole) == digest_of(whole.slice(0, cut), whole.slice(cut))
    assert digest_of(whole) == digest_of(batch_of(rows[:cut]), batch_of(rows[cut:]))


@given(rows=st.lists(ROW, min_size=1, max_size=6), other=ROW, at=st.integers(0, 5))
def test_another_value_gives_another_digest(rows: list[tuple[Any, ...]], other: tuple[Any, ...], at: int) -> None:
    at %= len(rows)
    changed = [*rows[:at], other, *rows[at + 1 :]]
    same = repr(changed) == repr(rows)
    assert (digest_of(batch_of(rows)) == digest_of(batch_of(changed))) is same


def test_a_digest_stays_what_it_was_since_published_versions_are_proven_by_it() -> None:
    rows = [
        ("é", 1.5, True, datetime(2024, 2, 29, 12), -7),  # noqa: DTZ001 - local time
        (None, math.nan, None, None, 2**40),
        ("", None, False, datetime(1970, 1, 1), None),  # noqa: DTZ001
    ]
    assert digest_of(batch_of(rows)) == "c91be3038234daf8624bf0f478835783"


@given(rows=st.lists(ROW, max_size=12), cuts=st.tuples(st.integers(0, 12), st.integers(0, 12)))
def test_runs_of_rows_prepared_together_give_the_digest_of_the_rows(
    rows: list[tuple[Any, ...]], cuts: tuple[int, int]
) -> None:
    start, end = sorted(min(cut, len(rows)) for cut in cuts)
    whole = batch_of(rows)
    prepared = CanonicalRows(whole, [name for name in SCHEMA.names if name != "_row"])
    digest = RowsDigest(SCHEMA)
    digest.add(prepared, start, end)
    assert digest.hexdigest() == digest_of(batch_of(rows[start:end]))


def test_null_zero_false_and_empty_text_differ() -> None:
    null = (None, None, None, None, None)
    values = [("", None, None, None, None), (None, 0.0, None, None, None), (None, None, False, None, None)]
    digests = {digest_of(batch_of([row])) for row in [null, *values]}
    assert len(digests) == 4


def test_all_nan_are_one_value() -> None:
    negative = -math.nan
    assert digest_of(batch_of([(None, negative, None, None, None)])) == digest_of(
        batch_of([(None, math.nan, None, None, None)])
    )


def test_text_cannot_move_between_neighbouring_rows() -> None:
    rest = (None, None, None, None)
    assert digest_of(batch_of([("ab", *rest), ("c", *rest)])) != digest_of(batch_of([("a", *rest), ("bc", *rest)]))


@hypothesis_settings(
    deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_the_digest_of_a_partition_does_not_depend_on_its_files_row_order(tmp_path: Path, data: st.DataObject) -> None:
    rows = data.draw(
        st.lists(
            st.tuples(
                st.integers(0, 3).map(lambda hour: datetime(2024, 1, 1, hour)),  # noqa: DTZ001 - local time
                st.sampled_from(["a", "b", "é", None]),
                st.none() | st.integers(0, 2),
                st.none() | st.sampled_from([0.0, -0.0, math.nan, math.inf, 1.5]),
                st.none() | st.booleans(),
                st.none() | st.floats(-2, 2),
            ),
            min_size=1,
            max_size=12,
        )
    )
    shuffled = data.draw(st.permutations(rows))
    settings = Settings.from_environment({"NORIA_HOME": str(tmp_path)})
    digests = []
    for attempt, order in (("first", rows), ("second", shuffled)):
        types = [pa.timestamp("us"), pa.string(), pa.int64(), pa.float64(), pa.bool_(), pa.float64()]
        names = ["at", "shop", "number", "price", "express", "days"]
        columns = {n: pa.array([row[i] for row in order], types[i]) for i, n in enumerate(names)}
        land(settings, "2024-01-01", columns)
        staged = stage_raw(settings, make_definition(), ["2024-01-01"], attempt=attempt)["2024-01-01"]
        assert staged.status == "staged", staged.problem
        digests.append(staged.digest)
    assert digests[0] == digests[1]


def test_the_inputs_digest_depends_on_every_part() -> None:
    assert inputs_digest(a=1, b=[1, 2]) == inputs_digest(b=[1, 2], a=1)
    assert inputs_digest(a=1, b=[1, 2]) != inputs_digest(a=1, b=[2, 1])

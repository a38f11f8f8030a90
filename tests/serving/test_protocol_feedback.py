"""Labels that come back: read into what the log takes, or refused with the number of the label."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from include.serving.limits import Limits
from include.serving.protocols import feedback
from include.serving.request_log.writer import Label
from include.serving.routing import entity_key
from include.serving.validation import RequestRefused

ENTITY = {"carrier": "string", "flight": "integer", "fare": "number", "late": "boolean", "scheduled_at": "timestamp"}
WHO = {"carrier": "UA", "flight": 7, "fare": 0.5, "late": False, "scheduled_at": "2013-10-01 05:00:00"}
JSON = {b"content-type": b"application/json"}


def decode(labels: object, entity: dict[str, str] | None = None) -> list[Label]:
    limits = Limits(rows=100, body_bytes=100_000)
    return feedback.decode(orjson.dumps({"labels": labels}), JSON, ENTITY if entity is None else entity, limits)


def refused(labels: object, entity: dict[str, str] | None = None) -> RequestRefused:
    with pytest.raises(RequestRefused) as found:
        decode(labels, entity)
    return found.value


def test_labels_by_request_and_by_entity_are_read() -> None:
    assert decode(
        [
            {"request_id": "a.b-c_1", "label": True},
            {"request_id": "a.b-c_1", "row": 3, "label": 0.25, "at": "2013-10-01T05:00:00+02:00"},
            {"entity": WHO, "label": 0, "at": "1970-01-01"},
            {"entity": WHO, "label": 0},
        ]
    ) == [
        Label(label=1.0, request_id="a.b-c_1"),
        Label(label=0.25, request_id="a.b-c_1", row=3, at_us=1380596400000000),
        Label(label=0.0, entity=entity_key(ENTITY, WHO), at_us=0),
        Label(label=0.0, entity=entity_key(ENTITY, WHO)),
    ]


def test_entity_is_the_same_in_another_order_and_writing() -> None:
    other = {"scheduled_at": "2013-10-01T05:00", "late": False, "fare": 0.5, "flight": 7.0, "carrier": "UA"}
    first, second = decode([{"entity": WHO, "label": 1}, {"entity": other, "label": 1}])
    assert first.entity == second.entity


def test_entity_may_be_null_in_part() -> None:
    partly = dict.fromkeys(ENTITY) | {"carrier": "UA"}
    assert decode([{"entity": partly, "label": 1}])[0].entity == entity_key(ENTITY, partly)


@pytest.mark.parametrize(
    ("label", "field"),
    [
        (1, None),
        ({"request_id": "a"}, "label"),
        ({"request_id": "a", "label": None}, "label"),
        ({"request_id": "a", "label": "1"}, "label"),
        ({"request_id": "a", "label": [1]}, "label"),
        ({"label": 1}, "request_id"),
        ({"request_id": "a", "entity": WHO, "label": 1}, "request_id"),
        ({"request_id": "a b", "label": 1}, "request_id"),
        ({"request_id": "", "label": 1}, "request_id"),
        ({"request_id": "a" * 129, "label": 1}, "request_id"),
        ({"request_id": None, "label": 1}, "request_id"),
        ({"request_id": "a", "row": -1, "label": 1}, "row"),
        ({"request_id": "a", "row": 2**31, "label": 1}, "row"),
        ({"request_id": "a", "row": 1.0, "label": 1}, "row"),
        ({"request_id": "a", "row": True, "label": 1}, "row"),
        ({"request_id": "a", "label": 1, "at": "soon"}, "at"),
        ({"request_id": "a", "label": 1, "at": 5}, "at"),
        ({"request_id": "a", "label": 1, "when": 5}, "when"),
        ({"entity": WHO, "row": 0, "label": 1}, "row"),
        ({"entity": [], "label": 1}, "entity"),
        ({"entity": {**WHO, "tail": 1}, "label": 1}, "tail"),
        ({"entity": {"carrier": "UA"}, "label": 1}, "flight"),
        ({"entity": dict.fromkeys(ENTITY), "label": 1}, "entity"),
        ({"entity": {**WHO, "carrier": 1}, "label": 1}, "carrier"),
        ({"entity": {**WHO, "flight": 1.5}, "label": 1}, "flight"),
        ({"entity": {**WHO, "flight": True}, "label": 1}, "flight"),
        ({"entity": {**WHO, "flight": 2**63}, "label": 1}, "flight"),
        ({"entity": {**WHO, "flight": 1e300}, "label": 1}, "flight"),
        ({"entity": {**WHO, "fare": True}, "label": 1}, "fare"),
        ({"entity": {**WHO, "fare": "1"}, "label": 1}, "fare"),
        ({"entity": {**WHO, "late": 1}, "label": 1}, "late"),
        ({"entity": {**WHO, "scheduled_at": "noon"}, "label": 1}, "scheduled_at"),
        ({"entity": {**WHO, "scheduled_at": {}}, "label": 1}, "scheduled_at"),
    ],
)
def test_bad_label_is_refused_with_its_number_and_field(label: object, field: str | None) -> None:
    found = refused([{"request_id": "good", "label": 1}, label])
    assert (found.status, found.field, found.row) == (422, field, 1), found.problem


def test_model_without_entity_asks_for_request_ids() -> None:
    found = refused([{"entity": {"carrier": "UA"}, "label": 1}], {})
    assert (found.field, "request_id" in found.problem) == ("entity", True)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{", 400, None),
        (b'{"labels": [{"request_id": "a", "label": NaN}]}', 400, None),
        (b'{"labels": [{"request_id": "a", "label": 1e999}]}', 400, None),
        (b"[]", 422, None),
        (b"{}", 422, "labels"),
        (b'{"labels": {}}', 422, "labels"),
        (b'{"labels": []}', 422, "labels"),
        (b'{"labels": [], "model": "m"}', 422, "model"),
        (b'{"labels": [' + b"1," * 100 + b"1]}", 413, "labels"),
    ],
)
def test_bad_body_is_refused(body: bytes, status: int, field: str | None) -> None:
    with pytest.raises(RequestRefused) as found:
        feedback.decode(body, JSON, ENTITY, Limits(rows=100))
    assert (found.value.status, found.value.field) == (status, field)


def test_another_content_type_is_refused() -> None:
    with pytest.raises(RequestRefused) as found:
        feedback.decode(b"{}", {b"content-type": b"text/csv"}, ENTITY, Limits())
    assert found.value.status == 415


def test_answer_counts_what_was_written() -> None:
    assert orjson.loads(feedback.encode(3, "r").body) == {"accepted": 3, "request_id": "r"}


junk = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=12)
instants = st.datetimes(timezones=st.none() | st.timezones()).map(lambda instant: instant.isoformat())
entities = st.fixed_dictionaries(dict.fromkeys(ENTITY, junk)) | st.fixed_dictionaries(
    {
        "carrier": st.text(max_size=3),
        "flight": st.integers(-(2**63), 2**63 - 1),
        "fare": st.floats(allow_nan=False, allow_infinity=False),
        "late": st.booleans(),
        "scheduled_at": instants,
    }
)
labels = st.fixed_dictionaries(
    {"label": junk}, optional={"request_id": junk, "entity": entities | junk, "row": junk, "at": junk | instants}
)


@hypothesis_settings(max_examples=300, deadline=None, database=None)
@given(given_labels=st.lists(labels | junk, max_size=3))
def test_junk_is_read_or_refused_and_nothing_else(given_labels: list[Any]) -> None:
    try:
        status = 200 if len(decode(given_labels)) == len(given_labels) else 500
    except RequestRefused as error:
        orjson.dumps(error.to_document())
        status = error.status
    assert status in {200, 422}

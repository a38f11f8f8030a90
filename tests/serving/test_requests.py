"""Requests of every kind: good ones are answered, bad ones get a 4xx that names row and field, none a 5xx."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from include.settings import Settings
from include.stack.postgres import Postgres
from tests.serving.live import FAST, GOOD_ROW, Logged, deploy, in_thread, predict, register, serving, until

pytestmark = pytest.mark.database
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def client(
    postgres: Postgres,
    tmp_path_factory: pytest.TempPathFactory,
    tracking_url: str,
    logged_models: list[Logged],
) -> Iterator[httpx.Client]:
    """One server for all requests of this file."""
    postgres.create_database("requests")
    settings = replace(
        Settings.from_environment({"NORIA_HOME": str(tmp_path_factory.mktemp("home"))}),
        database_url=postgres.url("requests"),
        tracking_url=tracking_url,
    )
    version = register(settings, logged_models[0])
    deploy(settings, version)
    with in_thread(settings) as client:
        until(lambda: serving(client, version))
        yield client
    postgres.drop_database("requests")


def post(client: httpx.Client, body: bytes | str, headers: dict[str, str] | None = None) -> httpx.Response:
    return client.post("/models/m/predict", content=body, headers=JSON if headers is None else headers)


def rows(*changes: dict[str, Any]) -> bytes:
    return orjson.dumps({"rows": [{**GOOD_ROW, **change} for change in changes]})


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD_ROW.items() if key != name}


@pytest.mark.parametrize(
    ("body", "status", "field", "row"),
    [
        (b"", 400, None, None),
        (b"{", 400, None, None),
        (b"\xff\xfe", 400, None, None),
        (b'{"rows": [{"x": NaN}]}', 400, None, None),
        (b'{"rows": [{"x": 1e999}]}', 400, None, None),
        (b"[" * 5000, 400, None, None),
        (b"null", 422, None, None),
        (b"[]", 422, None, None),
        (b"{}", 422, "rows", None),
        (b'{"rows": []}', 422, "rows", None),
        (b'{"rows": {}}', 422, "rows", None),
        (b'{"rows": [], "more": 1}', 422, "more", None),
        (b'{"rows": [1]}', 422, None, 0),
        (b'{"rows": [null]}', 422, None, 0),
        (b'{"rows": [{}]}', 422, "n", 0),
        (orjson.dumps({"rows": [GOOD_ROW, without("place")]}), 422, "place", 1),
        (rows({}, {"plaice": "A"}), 422, "plaice", 1),
        (rows({"x": [1]}), 422, "x", 0),
        (rows({"x": {"y": 1}}), 422, "x", 0),
        (rows({}, {}, {"x": "1"}), 422, "x", 2),
        (rows({"x": True}), 422, "x", 0),
        (rows({"n": 1.5}), 422, "n", 0),
        (rows({"n": 2**63}), 422, "n", 0),
        (rows({"n": 2**62}), 422, None, 0),
        (rows({"place": 3}), 422, "place", 0),
        (rows({"dry": 1}), 422, "dry", 0),
        (rows({"seen_at": "yesterday"}), 422, "seen_at", 0),
        (rows({"seen_at": 5}), 422, "seen_at", 0),
        (rows(*[{}] * 1001), 413, "rows", None),
        (b" " * 200_001, 413, None, None),
    ],
)
def test_bad_request_is_refused_with_row_and_field(
    client: httpx.Client, body: bytes, status: int, field: str | None, row: int | None
) -> None:
    answer = post(client, body)
    found = answer.json()
    assert (answer.status_code, found["field"], found["row"]) == (status, field, row), found
    assert found["error"]
    assert found["request_id"] == answer.headers["X-Request-Id"]
    assert "Traceback" not in answer.text
    assert ".py" not in answer.text


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"]
)
def test_other_content_types_are_refused(client: httpx.Client, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    assert post(client, rows({}), headers).status_code == 415


def test_body_of_unknown_length_is_cut_off_at_the_limit(client: httpx.Client) -> None:
    answer = client.post("/models/m/predict", content=iter([b" " * 50_000] * 5), headers=JSON)
    assert answer.status_code == 413


@pytest.mark.parametrize("change", [{}, dict.fromkeys(GOOD_ROW), {"place": "\u0000 é 𝛑"}, {"x": 1e308}])
def test_nulls_unseen_categories_and_extremes_are_answered(client: httpx.Client, change: dict[str, Any]) -> None:
    answer = post(client, rows(change))
    assert answer.status_code == 200, answer.text
    assert isinstance(answer.json()["predictions"][0], float)


def test_one_row_alone_and_in_a_batch_gets_the_same_answer(client: httpx.Client) -> None:
    many = [{**GOOD_ROW, "n": number % 9, "x": number / 7} for number in range(300)]
    batch = predict(client, *many).json()["predictions"]
    assert [predict(client, many[row]).json()["predictions"][0] for row in (0, 7, 299)] == [
        batch[0],
        batch[7],
        batch[299],
    ]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/models/unknown/predict", 404),
        ("POST", "/models/..%2f..%2fetc/predict", 404),
        ("POST", "/models/%00/predict", 404),
        ("GET", "/models/unknown", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/models/m/predict", 405),
        ("DELETE", "/models/m", 405),
    ],
)
def test_unknown_addresses_answer_in_json(client: httpx.Client, method: str, path: str, status: int) -> None:
    answer = client.request(method, path, content=rows({}) if method == "POST" else None, headers=JSON)
    assert (answer.status_code, set(answer.json())) == (status, {"error", "field", "row", "request_id"})


def test_callers_request_id_comes_back_if_it_is_a_plain_one(client: httpx.Client) -> None:
    for given_id, kept in (("order-7.a", True), ("x" * 200, False), ("a b", False)):
        answer = post(client, rows({}), {**JSON, "X-Request-Id": given_id})
        assert (answer.headers["X-Request-Id"] == given_id) is kept
        assert answer.json()["request_id"] == answer.headers["X-Request-Id"]


def test_pages_of_the_documentation_load_nothing_from_elsewhere(client: httpx.Client) -> None:
    for page in ("/docs", "/redoc"):
        html = client.get(page).text
        loaded = re.findall(r"""(?:src|href)=["']([^"']+)""", html)
        assert loaded
        for address in loaded:
            assert not re.match(r"(?:https?:)?//", address), address
            assert client.get(address).status_code == 200, address
        assert "validator.swagger.io" not in html
    document = client.get("/openapi.json").json()
    assert "/models/{model}/predict" in document["paths"]


def test_lists_of_models_name_version_and_input_columns(client: httpx.Client) -> None:
    (model,) = client.get("/models").json()["models"]
    assert model == client.get("/models/m").json()
    assert (model["status"], model["error"], model["columns"]["n"]) == ("serving", None, "integer")


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.datetimes().map(str)
junk = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
instants = st.datetimes(timezones=st.none() | st.timezones())
typed = st.fixed_dictionaries(
    {
        "n": st.none() | st.integers(-(2**63), 2**63 - 1) | scalars,
        "x": st.none() | st.floats(allow_nan=False, allow_infinity=False) | scalars,
        "place": st.none() | st.text(max_size=5) | scalars,
        "dry": st.none() | st.booleans() | scalars,
        "seen_at": st.none() | instants.map(lambda t: t.isoformat()) | scalars,
    }
)
bodies = st.one_of(
    junk,
    st.builds(lambda rows: {"rows": rows}, junk),
    st.builds(lambda rows: {"rows": rows}, st.lists(typed, min_size=1, max_size=3)),
)


def encoded(body: object) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # integers beyond 64 bits and lone surrogates: as the standard library writes them
        import json

        return json.dumps(body).encode()


@hypothesis_settings(
    max_examples=400, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=bodies)
def test_junk_never_makes_the_server_fail(client: httpx.Client, body: object) -> None:
    answer = post(client, encoded(body))
    assert answer.status_code in {200, 400, 413, 422}, answer.text
    assert ("predictions" in answer.json()) is (answer.status_code == 200)


@hypothesis_settings(
    max_examples=200, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=st.binary(max_size=200))
def test_bytes_never_make_the_server_fail(client: httpx.Client, body: bytes) -> None:
    assert post(client, body).status_code in {400, 422}


def test_defect_is_a_500_without_a_stack_trace(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> list[float]:
        raise RuntimeError("secret inside")

    monkeypatch.setattr("include.serving.loaded.LoadedModel._refusal", lambda *_: RuntimeError("secret inside"))
    monkeypatch.setattr("include.serving.protocols.rows.parse_rows", broken)
    answer = post(client, rows({}))
    assert (answer.status_code, answer.json()["row"]) == (500, None)
    assert "secret" not in answer.text
    assert answer.headers["X-Request-Id"] == answer.json()["request_id"]
    assert FAST.rows == 1000

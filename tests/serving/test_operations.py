"""Explanations, labels, metrics and documents over HTTP."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from dataclasses import replace

import httpx
import orjson
import pytest

from include.serving.limits import Limits
from include.serving.request_log.writer import RequestLog
from include.serving.validation import inflate
from include.settings import Settings
from include.stack.postgres import Postgres
from tests.serving.engine import challenge, enter, held, order, save_model
from tests.serving.live import FEATURES, GOOD_ROW, deploy, in_thread, predict, until

pytestmark = pytest.mark.database


@pytest.fixture(scope="module")
def client(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Version 2 is champion, 1 previous, 3 answers nobody."""
    postgres.create_database("operations")
    folder = tmp_path_factory.mktemp("operations")
    settings = replace(
        Settings.from_environment({"NORIA_HOME": str(folder / "home")}), database_url=postgres.url("operations")
    )
    for seed in (1, 2, 3):
        enter(settings, save_model(folder, seed))
    deploy(settings, 1)
    deploy(settings, 2)
    challenge(settings, 3, role="shadow", share=0.0)
    with in_thread(settings) as client:
        until(lambda: [status for _, status in held(client).values()] == ["serving"] * 3)
        yield client
    postgres.drop_database("operations")


def test_contributions_and_base_add_up_to_the_prediction(client: httpx.Client) -> None:
    rows = [order(1), {**order(2), "x": None, "place": "unseen"}]
    answer = client.post("/models/m/explain", json={"rows": rows})
    found = answer.json()
    assert (answer.status_code, found["version"], found["scale"]) == (200, 2, "value")
    assert found["predictions"] == predict(client, *rows).json()["predictions"]
    for contributions, prediction in zip(found["contributions"], found["predictions"], strict=True):
        assert set(contributions) == {feature["name"] for feature in FEATURES}
        assert sum(contributions.values()) + found["base"] == pytest.approx(prediction, abs=1e-5)


@pytest.mark.parametrize("version", [None, 1])
def test_past_request_is_explained_by_the_version_that_answered_it(client: httpx.Client, version: int | None) -> None:
    path = "/models/m/predict" if version is None else f"/models/m/versions/{version}/predict"
    asked = client.post(path, json={"rows": [order(7), {**GOOD_ROW, "x": 0.5}]}).json()
    answer = client.post("/models/m/explain", json={"request_id": asked["request_id"]})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["version"], answer.json()["predictions"]) == (version or 2, asked["predictions"])
    assert answer.headers["X-Noria-Version"] == str(version or 2)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"request_id": "never-sent"}, 404, "request_id"),
        ({"request_id": 5}, 422, "request_id"),
        ({"request_id": "a", "rows": []}, 422, "rows"),
        ({"rows": [{}]}, 422, "n"),
        ({}, 422, "rows"),
        ({"rows": [GOOD_ROW] * 1001}, 413, "rows"),
    ],
)
def test_bad_questions_are_refused_with_their_field(
    client: httpx.Client, body: object, status: int, field: str
) -> None:
    answer = client.post("/models/m/explain", json=body)
    assert (answer.status_code, answer.json()["field"]) == (status, field)


def test_labels_are_taken_and_counted(client: httpx.Client) -> None:
    asked = predict(client, order(1)).json()["request_id"]
    labels = [
        {"request_id": asked, "row": 0, "label": 1},
        {"entity": {"place": "B", "order": 1}, "label": 0.5, "at": "2013-10-02T00:00:00Z"},
    ]
    answer = client.post("/models/m/feedback", json={"labels": labels})
    assert (answer.status_code, answer.json()["accepted"]) == (200, 2)
    assert 'noria_feedback_total{model="m",outcome="accepted"}' in client.get("/metrics").text
    counts = client.get("/models/m/feedback")
    assert (counts.status_code, set(counts.json()) >= {"applied", "repeated", "changed", "unknown"}) == (200, True)
    assert client.post("/models/m/feedback", json={"labels": [{"label": 1}]}).status_code == 422
    assert client.post("/models/unknown/feedback", json={"labels": labels}).status_code == 404


@pytest.mark.parametrize(
    ("codec", "path", "document"),
    [
        ("rows", "predict", {"rows": [GOOD_ROW]}),
        ("mlflow", "invocations", {"inputs": GOOD_ROW}),
        ("feedback", "feedback", {"labels": [{"request_id": "a", "label": 1}]}),
    ],
)
def test_compressed_bodies_are_never_unpacked_on_the_event_loop(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, codec: str, path: str, document: object
) -> None:
    threads: list[str] = []

    def watched(body: bytes, encoding: bytes | None, limits: Limits) -> bytes:
        threads.append(threading.current_thread().name)
        return inflate(body, encoding, limits)

    monkeypatch.setattr(f"include.serving.protocols.{codec}.inflate", watched)
    packed = gzip.compress(orjson.dumps(document))
    for content, encoding in ((packed, "gzip"), (orjson.dumps(document), None)):
        head = {"Content-Type": "application/json", **({"Content-Encoding": encoding} if encoding else {})}
        assert client.post(f"/models/m/{path}", content=content, headers=head).status_code == 200
    assert [name.startswith("predict") for name in threads] == [True, False]


def test_labels_that_cannot_be_kept_are_not_acknowledged(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RequestLog, "feedback", lambda *_, **__: False)
    answer = client.post("/models/m/feedback", json={"labels": [{"request_id": "a", "label": 1}]})
    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)


def test_log_that_cannot_be_written_costs_no_answer_and_is_shown(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = client.get("/health/ready").json()["log_errors"]
    with monkeypatch.context() as patch:
        patch.setattr(RequestLog, "_append", full)
        assert predict(client, order(1)).status_code == 200
        ready = client.get("/health/ready")
    assert (ready.status_code, ready.json()["log_errors"]) == (200, before + 1)
    assert "No space left" in ready.json()["log_error"]
    assert predict(client, order(1)).status_code == 200
    assert client.get("/health/ready").json()["log_error"] is None


def test_every_address_is_in_the_documentation(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {
        "/models/{model}/predict", "/models/{model}/versions/{version}/predict", "/models/{model}/invocations",
        "/models/{model}/explain", "/models/{model}/feedback", "/v2/models/{model}/infer",
        "/v2/models/{model}/versions/{version}/infer", "/v2/models/{model}", "/models", "/models/{model}", "/metrics",
        "/health/live", "/health/ready",
    } <= set(paths)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2", 200),
        ("/v2/health/live", 200),
        ("/v2/health/ready", 200),
        ("/v2/models/m", 200),
        ("/v2/models/m/ready", 200),
        ("/v2/models/m/versions/1", 200),
        ("/v2/models/m/versions/3/ready", 200),
        ("/v2/models/m/versions/9", 404),
        ("/v2/models/unknown", 404),
        ("/v2/models/unknown/ready", 404),
        ("/models/unknown/feedback", 404),
    ],
)
def test_documents_of_the_open_inference_protocol(client: httpx.Client, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    assert answer.headers["X-Request-Id"]


def test_readiness_says_how_old_the_state_is(client: httpx.Client) -> None:
    found = client.get("/health/ready").json()
    assert (found["ready"], found["draining"], found["models"]) == (True, False, {"m": "serving"})
    assert 0 <= found["state_age_seconds"] < 60


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_other_methods_are_refused_with_the_one_that_is_meant(client: httpx.Client, method: str) -> None:
    answer = client.request(method, "/models/m/predict")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")

"""The server converges on the deployment state, and goes on when what it follows is away or broken."""

from __future__ import annotations

import json
import shutil
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from include.registry import retirement, state
from include.settings import Settings
from include.stack.postgres import Postgres
from include.training.packaged_model import TabularModel
from tests.serving.live import (
    GOOD_ROW,
    Logged,
    deploy,
    in_thread,
    predict,
    register,
    serving,
    until,
)

pytestmark = pytest.mark.database
AWAY = "http://127.0.0.1:9"
WHO = {"actor": "ana", "reason": "test"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def cached(settings: Settings) -> list[Path]:
    return sorted(path for path in (settings.home / "serving" / "models" / "m").iterdir() if path.is_dir())


def test_answers_are_the_batch_paths_to_the_last_bit(tracked: Settings, logged_models: list[Logged]) -> None:
    version = register(tracked, logged_models[0])
    deploy(tracked, version)
    with in_thread(tracked) as client:
        until(lambda: serving(client, version))
        answer = predict(client, GOOD_ROW, {**GOOD_ROW, "x": None, "place": "unseen"})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["model"], body["version"]) == ("m", version)
    assert answer.headers["X-Noria-Version"] == str(version)
    assert answer.headers["X-Request-Id"] == body["request_id"]
    model = TabularModel.open(cached(tracked)[0] / "artifacts")
    assert body["predictions"] == model.predict_rows([GOOD_ROW, {**GOOD_ROW, "x": None, "place": "unseen"}])


def test_new_champion_and_rollback_are_followed_within_a_second_without_a_lost_request(
    tracked: Settings, logged_models: list[Logged]
) -> None:
    first, second = (register(tracked, logged) for logged in logged_models[:2])
    deploy(tracked, first)
    with in_thread(tracked) as client:
        until(lambda: serving(client, first))
        stop, answers = threading.Event(), []

        def ask() -> None:
            while not stop.is_set():
                answer = predict(client)
                answers.append((answer.status_code, answer.json().get("version")))

        asking = threading.Thread(target=ask)
        asking.start()
        deploy(tracked, second)
        until(lambda: serving(client, second), 3)
        state.roll_back(tracked, "m", **WHO)
        until(lambda: serving(client, first), 1)
        stop.set()
        asking.join()
    assert {status for status, _ in answers} == {200}
    assert {version for _, version in answers} == {first, second}


def test_no_champion_and_retired_models_answer_clearly(tracked: Settings, logged_models: list[Logged]) -> None:
    version = register(tracked, logged_models[0])
    with in_thread(tracked) as client:
        until(lambda: client.get("/health/ready").status_code == 200)
        assert predict(client).status_code == 404
        assert "no deployed model" in predict(client).json()["error"]
        deploy(tracked, version)
        until(lambda: serving(client, version))
        state.roll_back(tracked, "m", version=version, bar=False, **WHO)
        until(lambda: serving(client, None))
        assert (predict(client).status_code, "no champion" in predict(client).json()["error"]) == (404, True)
        deploy(tracked, version)
        until(lambda: serving(client, version))
        retirement.retire(tracked, "m", **WHO)
        until(lambda: client.get("/models/m").json()["status"] == "retired")
        assert (predict(client).status_code, "retired" in predict(client).json()["error"]) == (410, True)
        assert client.get("/health/ready").status_code == 200


def test_corrupt_artifact_is_refused_and_the_old_version_stays(tracked: Settings, logged_models: list[Logged]) -> None:
    good = register(tracked, logged_models[0])
    corrupt = register(tracked, logged_models[1], digest="0" * 64)
    deploy(tracked, good)
    with in_thread(tracked) as client:
        until(lambda: serving(client, good))
        deploy(tracked, corrupt)
        until(lambda: client.get("/models/m").json()["problem"] == "corrupt")
        found = client.get("/models/m").json()
        assert (found["status"], found["version"], found["wanted_version"]) == ("stale", good, corrupt)
        assert "digest" in found["error"]
        assert predict(client).json()["version"] == good
        assert client.get("/health/ready").status_code == 200
    with in_thread(replace(tracked, tracking_url=AWAY)) as client:
        until(lambda: serving(client, good))
        assert client.get("/models/m").json()["status"] == "stale"


def test_damaged_copy_on_disk_is_downloaded_again(tracked: Settings, logged_models: list[Logged]) -> None:
    version = register(tracked, logged_models[0])
    deploy(tracked, version)
    with in_thread(tracked) as client:
        until(lambda: serving(client, version))
    damaged = cached(tracked)[0] / "artifacts" / "model.ubj"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    with in_thread(replace(tracked, tracking_url=AWAY)) as client:
        until(lambda: client.get("/models/m").json().get("problem") == "away")
        assert predict(client).status_code == 503
        assert client.get("/health/ready").status_code == 503
    with in_thread(tracked) as client:
        until(lambda: serving(client, version))


def test_new_champion_waits_for_mlflow_and_the_old_one_answers(
    tracked: Settings, logged_models: list[Logged], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (register(tracked, logged) for logged in logged_models[:2])
    deploy(tracked, first)
    with in_thread(tracked) as client:
        until(lambda: serving(client, first))
        with monkeypatch.context() as gone:
            gone.setattr(
                "mlflow.artifacts.download_artifacts",
                lambda **_: (_ for _ in ()).throw(ConnectionError("MLflow is away")),
            )
            deploy(tracked, second)
            until(lambda: client.get("/models/m").json()["error"] is not None)
            assert client.get("/models/m").json()["problem"] == "away"
            assert predict(client).json()["version"] == first
        until(lambda: serving(client, second))
        assert client.get("/models/m").json()["error"] is None


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres.for_instance(tmp_path / "own", f"test-{uuid.uuid4().hex[:12]}")
    server.start()
    server.create_database("noria")
    yield server
    server.stop()
    shutil.rmtree(server.data.parent, ignore_errors=True)


def test_server_answers_with_database_and_mlflow_gone_even_after_a_restart(
    settings: Settings, tracking_url: str, logged_models: list[Logged], own_postgres: Postgres
) -> None:
    here = replace(settings, database_url=own_postgres.url("noria"), tracking_url=tracking_url)
    first, second = (register(here, logged) for logged in logged_models[:2])
    deploy(here, first)
    with in_thread(here) as client:
        until(lambda: serving(client, first))
        own_postgres.stop()
        until(lambda: client.get("/models").json()["database_error"] is not None)
        assert predict(client).json()["version"] == first
    with in_thread(replace(here, tracking_url=AWAY)) as client:
        until(lambda: serving(client, first))
        assert predict(client).status_code == 200
        assert client.get("/health/ready").status_code == 200
        assert "does not answer" in client.get("/models").json()["database_error"]
    with in_thread(here) as client:
        until(lambda: serving(client, first))
        own_postgres.start()
        deploy(here, second)
        until(lambda: serving(client, second))
        assert client.get("/models").json()["database_error"] is None


def test_server_that_never_saw_a_state_says_that_it_is_not_ready(settings: Settings) -> None:
    nowhere = replace(settings, database_url="postgresql://noria:s3cret@127.0.0.1:9/noria", tracking_url=AWAY)
    with in_thread(nowhere) as client:
        until(lambda: client.get("/models").json()["database_error"] is not None)
        answers: list[httpx.Response] = [predict(client), client.get("/health/ready"), client.get("/models")]
        assert [answer.status_code for answer in answers] == [503, 503, 200]
        assert client.get("/health/live").status_code == 200
        assert "s3cret" not in json.dumps([answer.json() for answer in answers])


@pytest.mark.parametrize("content", ["", "{", '{"m": {"model": 1}}', "[]", '{"m": null}'])
def test_unreadable_state_file_is_ignored(settings: Settings, content: str) -> None:
    (settings.home / "serving").mkdir(parents=True)
    (settings.home / "serving" / "state.json").write_text(content)
    nowhere = replace(settings, database_url="postgresql://127.0.0.1:9/noria", tracking_url=AWAY)
    with in_thread(nowhere) as client:
        until(lambda: client.get("/models").json()["database_error"] is not None)
        assert client.get("/health/ready").status_code == 503

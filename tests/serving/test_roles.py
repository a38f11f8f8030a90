"""Champion, challenger and previous version in one server: who answers whom, and what a broken challenger costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from include.registry import stages, state
from include.registry.deployed import DeployedVersion
from include.serving.loaded import LoadedModel, ModelFailed, load_packaged
from include.serving.protocols.calls import Call
from include.serving.routing import bucket, entity_key
from include.serving.validation import RequestRefused
from include.settings import Settings
from tests.serving.engine import ENTITY, challenge, enter, errors_of, held, order, save_model
from tests.serving.live import AS_OF, FAST, GOOD_ROW, Logged, deploy, in_thread, predict, serving, until

pytestmark = pytest.mark.database
WHO: dict[str, Any] = {"actor": "ana", "reason": "test"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> list[Logged]:
    return [save_model(tmp_path_factory.mktemp("saved"), seed) for seed in (1, 2, 3)]


@pytest.fixture
def two(stored_settings: Settings, saved: list[Logged]) -> Settings:
    """Version 1 is champion, version 2 registered."""
    for logged in saved[:2]:
        enter(stored_settings, logged)
    deploy(stored_settings, 1)
    return stored_settings


@pytest.fixture
def canary(two: Settings) -> Iterator[httpx.Client]:
    """Version 2 is the canary with 30 percent."""
    challenge(two, 2)
    with in_thread(two) as client:
        until(lambda: held(client) == {"champion": (1, "serving"), "canary": (2, "serving")})
        yield client


def by_rule(number: int) -> tuple[str, str]:
    """Version and role that must answer an order when version 2 has 30 percent."""
    key = entity_key(ENTITY, order(number))
    assert key is not None
    return ("2", "canary") if bucket("m", 2, key) < 3000 else ("1", "champion")


def who(answer: httpx.Response) -> tuple[str, str]:
    assert answer.status_code == 200, answer.text
    return answer.headers["X-Noria-Version"], answer.headers["X-Noria-Role"]


def log_records(settings: Settings) -> list[dict[str, Any]]:
    lines = [line for path in sorted((settings.home / "serving" / "log").glob("2*")) for line in path.open()]
    return [record for record in map(orjson.loads, lines) if record["kind"] != "shape"]


def broken(monkeypatch: pytest.MonkeyPatch, error: Exception, versions: set[int]) -> None:
    """Let versions fail on orders over 5."""
    honest = LoadedModel.predict

    def predict(self: LoadedModel, call: Call) -> list[float]:
        if self.deployed.version in versions and call.first_row().get("order", 0) > 5:
            raise error
        return honest(self, call)

    monkeypatch.setattr(LoadedModel, "predict", predict)


def test_entities_are_answered_by_the_version_that_the_hash_names_every_time(canary: httpx.Client) -> None:
    for _ in range(2):
        found = [who(predict(canary, order(number))) for number in range(60)]
        assert found == [by_rule(number) for number in range(60)]
    assert {role for _, role in found} == {"champion", "canary"}


def test_first_row_routes_the_whole_request(canary: httpx.Client) -> None:
    mine = next(number for number in range(60) if by_rule(number)[1] == "canary")
    other = next(number for number in range(60) if by_rule(number)[1] == "champion")
    assert who(predict(canary, order(mine), *[order(other)] * 40)) == ("2", "canary")
    assert who(predict(canary, order(other), order(mine))) == ("1", "champion")


def test_callers_own_key_goes_before_the_entity(canary: httpx.Client) -> None:
    keys = [f"customer-{number}" for number in range(40)]
    for number in range(3):
        found = [
            canary.post("/models/m/predict", json={"rows": [order(number)]}, headers={"X-Noria-Key": key})
            for key in keys
        ]
        assert [who(answer)[0] for answer in found] == ["2" if bucket("m", 2, key) < 3000 else "1" for key in keys]


def test_versions_are_answered_by_number_in_every_protocol_whatever_their_role(
    two: Settings, saved: list[Logged]
) -> None:
    deploy(two, 2)
    challenge(two, enter(two, saved[2]), role="candidate", share=0.0)
    tensors = {"inputs": [{"name": "n", "datatype": "INT64", "shape": [1], "data": [3]}] + [
        {"name": name, "datatype": kind, "shape": [1], "data": [GOOD_ROW[name]]}
        for name, kind in (("x", "FP64"), ("place", "BYTES"), ("dry", "BOOL"), ("seen_at", "BYTES"))
    ]}  # fmt: skip
    with in_thread(two) as client:
        until(lambda: {status for _, status in held(client).values()} == {"serving"} and len(held(client)) == 3)
        assert {who(predict(client, order(number)))[0] for number in range(40)} == {"2"}
        for version, role in (("1", "previous"), ("2", "champion"), ("3", "candidate")):
            answer = client.post(f"/models/m/versions/{version}/predict", json={"rows": [GOOD_ROW]})
            assert who(answer) == (version, role)
            assert who(client.post(f"/v2/models/m/versions/{version}/infer", json=tensors)) == (version, role)
        for unknown in ("4", "0", "x", "٣", "9" * 30):
            answer = client.post(f"/models/m/versions/{unknown}/predict", json={"rows": [GOOD_ROW]})
            assert (answer.status_code, "3 (candidate)" in answer.json()["error"]) == (404, True)
    asked = [record["asked"] for record in log_records(two)]
    assert (asked.count(False), asked.count(True)) == (40, 6)


@pytest.mark.parametrize("error", [ModelFailed("cannot"), RequestRefused(422, "unknown to this version", field="n")])
def test_canary_that_fails_is_rescued_by_the_champion_logged_and_counted(
    two: Settings, canary: httpx.Client, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    broken(monkeypatch, error, versions={2})
    before = errors_of(canary, 2)
    found = {number: who(predict(canary, order(number))) for number in range(60)}
    rescued = {number for number in range(60) if number > 5 and by_rule(number)[1] == "canary"}
    assert rescued
    assert found == {number: ("1", "champion") if number in rescued else by_rule(number) for number in range(60)}
    failures = [record for record in log_records(two) if record["kind"] == "failure"]
    logged = {(record["version"], record["role"], record["error"]) for record in failures}
    assert (logged, len(failures)) == ({(2, "canary", str(error))}, len(rescued))
    answers = [record["id"] for record in log_records(two) if record["kind"] == "answer"]
    assert len(answers) == len(set(answers)) == 60
    assert {record["id"] for record in failures} <= set(answers)
    assert errors_of(canary, 2) - before == len(rescued)


@pytest.mark.parametrize("answers", [[float("nan")], [float("inf")], [None], ["late"], [], [0.1, 0.2]])
def test_canary_whose_answer_is_not_a_number_for_each_row_is_rescued_too(
    two: Settings, monkeypatch: pytest.MonkeyPatch, answers: list[Any]
) -> None:
    load = LoadedModel.__init__

    def load_strange(self: LoadedModel, deployed: DeployedVersion, packaged: Any) -> None:
        load(self, deployed, packaged)
        if deployed.version == 2:
            packaged.predict_rows = lambda _: answers

    monkeypatch.setattr(LoadedModel, "__init__", load_strange)
    challenge(two, 2, share=1.0)
    with in_thread(two) as client:
        until(lambda: held(client) == {"champion": (1, "serving"), "canary": (2, "serving")})
        assert who(predict(client, order(1))) == ("1", "champion")
    assert [(record["kind"], record["version"]) for record in log_records(two)] == [("failure", 2), ("answer", 1)]


def test_failure_of_a_model_with_personal_columns_quotes_no_person(saved: list[Logged]) -> None:
    packaged = load_packaged(Path(saved[0].model_uri.removeprefix("file://")))
    packaged.description["serving"]["personal"] = ["place"]
    deployed = DeployedVersion(
        model="m", role="champion", version=1, share=0.0, since=AS_OF, revision=1, fingerprint="f", run_id="r",
        as_of=AS_OF, artifact_digest="d", model_uri="u", windows={},
    )  # fmt: skip
    loaded = LoadedModel(deployed, packaged)

    def fail(_: object) -> None:
        raise KeyError("Mrs Smith")

    packaged.predict_rows = fail
    with pytest.raises(ModelFailed) as failed:
        loaded.predict(Call(1, rows=[GOOD_ROW]))
    assert "Smith" not in str(failed.value)
    assert "version 1" in str(failed.value)


def test_rows_that_no_version_can_read_are_refused_and_no_evidence(
    two: Settings, canary: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, RequestRefused(422, "nonsense", field="n", row=0), versions={1, 2})
    answers = [predict(canary, order(number)) for number in range(6, 40)]
    assert {answer.status_code for answer in answers} == {422}
    assert {answer.json()["field"] for answer in answers} == {"n"}
    assert log_records(two) == []


def test_champion_that_fails_is_a_500_with_the_requests_id_and_no_stack_trace(
    two: Settings, canary: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(monkeypatch, ModelFailed("secret inside"), versions={1, 2})
    answer = predict(canary, order(6))
    assert (answer.status_code, "secret" in answer.text) == (500, False)
    assert answer.headers["X-Request-Id"] == answer.json()["request_id"]
    assert {record["id"] for record in log_records(two)} == {answer.json()["request_id"]}


def test_broken_challenger_shows_what_it_has_and_touches_nobody(two: Settings, saved: list[Logged]) -> None:
    corrupt = enter(two, saved[2], digest="0" * 64)
    challenge(two, corrupt, share=0.9)
    with in_thread(two) as client:
        until(lambda: held(client).get("canary") == (corrupt, "failed"))
        role = client.get("/models/m").json()["roles"]["canary"]
        assert (role["problem"], role["share"], "digest" in role["error"]) == ("corrupt", 0.9, True)
        assert {who(predict(client, order(number))) for number in range(40)} == {("1", "champion")}
        assert client.get("/models/m").json()["status"] == "serving"
        assert client.get("/health/ready").status_code == 200
        answer = client.post(f"/models/m/versions/{corrupt}/predict", json={"rows": [GOOD_ROW]})
        assert (answer.status_code, "digest" in answer.json()["error"]) == (503, True)
        stages.withdraw(two, "m", corrupt, deployment="deployment-1", evidence={}, **WHO)
        until(lambda: "canary" not in held(client))


def test_shadow_answers_nobody_and_a_growing_canary_keeps_its_entities(two: Settings) -> None:
    challenge(two, 2, role="shadow", share=0.0)
    seen: list[set[int]] = []
    with in_thread(two) as client:
        until(lambda: held(client).get("shadow") == (2, "serving"))
        assert {who(predict(client, order(number))) for number in range(60)} == {("1", "champion")}
        for share in (0.1, 0.4, 0.8):
            challenge(two, 2, share=share)
            until(lambda wanted=share: client.get("/models/m").json()["roles"].get("canary", {}).get("share") == wanted)
            seen.append({number for number in range(120) if who(predict(client, order(number)))[1] == "canary"})
    assert 0 < len(seen[0]) < len(seen[1]) < len(seen[2]) < 120
    assert seen[0] < seen[1] < seen[2]


def test_rollback_answers_at_once_since_the_previous_version_is_in_memory(
    two: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(two, 2)
    with in_thread(two) as client:
        until(lambda: held(client) == {"champion": (2, "serving"), "previous": (1, "serving")})
        # Nothing can be loaded any more: who answers after the rollback must be in memory already.
        monkeypatch.setattr("include.serving.artifacts.load_packaged", lambda _: (_ for _ in ()).throw(OSError("gone")))
        began = time.monotonic()
        state.roll_back(two, "m", **WHO)
        until(lambda: who(predict(client)) == ("1", "champion"), 5)
        assert time.monotonic() - began < 5


def test_promotion_and_withdrawal_under_load_lose_no_request(two: Settings) -> None:
    found: list[tuple[int, str]] = []
    with in_thread(two) as client:
        until(lambda: serving(client, 1))
        stop = threading.Event()

        def ask() -> None:
            number = 0
            while not stop.is_set():
                answer = predict(client, order(number := number + 1))
                found.append((answer.status_code, answer.headers.get("X-Noria-Version", "")))

        asking = threading.Thread(target=ask)
        asking.start()
        challenge(two, 2, share=0.5)
        until(lambda: held(client).get("canary") == (2, "serving"), 2)
        stages.promote_challenger(two, "m", 2, deployment="deployment-1", evidence={}, **WHO)
        until(lambda: serving(client, 2), 2)
        state.roll_back(two, "m", **WHO)
        until(lambda: serving(client, 1), 2)
        stop.set()
        asking.join()
    assert {status for status, _ in found} == {200}
    assert {version for _, version in found} == {"1", "2"}


def test_many_models_share_a_memory_that_is_too_small_for_all(
    stored_settings: Settings, saved: list[Logged], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["a", "b", "c", "d"]
    for name in names:
        enter(stored_settings, saved[0], model=name)
        deploy(stored_settings, 1, name)
    with in_thread(stored_settings, replace(FAST, models=2)) as client:
        until(lambda: sorted(status for name in names for _, status in held(client, name).values()) == IN_MEMORY_2)
        assert client.get("/health/ready").status_code == 200
        for name in [*names, *reversed(names)]:
            assert who(predict(client, GOOD_ROW, model=name)) == ("1", "champion")
            assert held(client, name) == {"champion": (1, "serving")}
            assert client.get("/metrics").text.count("noria_models_loaded 2.0") == 1
        assert [held(client, name)["champion"][1] for name in ("a", "b")] == ["serving"] * 2
        assert all(predict(client, GOOD_ROW, model=name).status_code == 200 for name in names * 3)
        monkeypatch.setattr("include.serving.artifacts.load_packaged", lambda _: (_ for _ in ()).throw(OSError("gone")))
        statuses = {name: predict(client, GOOD_ROW, model=name).status_code for name in names}
    assert sorted(statuses.values()) == [200, 200, 503, 503]


IN_MEMORY_2 = ["on demand", "on demand", "serving", "serving"]

"""Generated requests to all addresses: no 5xx, refusals in their shape, right requests answered.

Ten thousand of them with ``--hypothesis-profile long``, else a quarter.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import mlflow
import numpy as np
import orjson
import pytest
import xgboost
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from include.registry.mlflow_client import connect
from include.registry.stages import enter_stage
from include.serving import openapi
from include.serving.app import Server
from include.serving.limits import Limits
from include.serving.loaded import LoadedModel
from include.serving.protocols.metadata import DATATYPES
from include.settings import Settings
from include.stack.postgres import Postgres
from include.training.package import add_compiled, log_package, write_package
from include.training.trainers.xgboost_trees import Trees
from tests.serving import generated
from tests.serving.generated import Request
from tests.serving.live import COLUMNS, DESCRIPTION, FEATURES, GOOD_ROW, Logged, deploy, raw_rows, register, until

pytestmark = pytest.mark.database
LIMITS = Limits(poll_seconds=0.5, rows=50, body_bytes=50_000)
COMPILED = """
def compute(n, x, place, dry, seen_at):
    tenfold = None if n is None else n * 10
    if tenfold is not None and not -(2**63) <= tenfold < 2**63:
        raise OverflowError
    return None if n is None else float(tenfold), x, place, dry, None if seen_at is None else float(seen_at.hour)
"""
SERVING: dict[str, Any] = {
    "entity": {"place": "string", "who": "string"},
    "limits": {},
    "unseen_categories": "missing",
    "personal": ["who"],
}
STRICT = {
    **SERVING,
    "limits": {"n": {"minimum": 0, "maximum": 5}, "dry": {"values": [True]}},
    "unseen_categories": "refuse",
}


@dataclass
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes


class World:
    """The application in this process, asked without sockets; counts what reaches a model."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.loop = asyncio.new_event_loop()
        self.reached = 0
        self.versions: set[tuple[bytes, bytes]] = set()

    def ask(self, request: Request) -> tuple[Answer, bool]:
        """The answer, and whether a packaged model saw the request."""
        before = self.reached
        answer = self.loop.run_until_complete(asyncio.wait_for(self._ask(request), 30))
        return answer, self.reached > before

    async def _ask(self, request: Request) -> Answer:
        half = len(request.body) // 2 if len(request.body) % 3 == 0 else len(request.body)
        parts = [request.body[:half], request.body[half:]] if half < len(request.body) else [request.body]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if not parts:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": request.path,
            "raw_path": request.path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": list(request.headers.items()),
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        await self.server.gateway(scope, receive, send)
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return Answer(sent[0]["status"], dict(sent[0]["headers"]), body)


def log_model(settings: Settings, folder: Path, seed: int, serving: dict[str, Any]) -> Logged:
    """A tiny model with compiled features in MLflow."""
    draw = np.random.default_rng(seed)
    booster = xgboost.train(
        {"max_depth": 3, "seed": seed, "nthread": 1},
        xgboost.DMatrix(draw.random((300, len(FEATURES))) * 10, draw.random(300)),
        num_boost_round=5,
    )
    reads = {"tenfold": ["n"], "x": ["x"], "place": ["place"], "dry": ["dry"], "hour": ["seen_at"]}
    features = [{**feature, "reads": reads[feature["name"]]} for feature in FEATURES]
    description = {**DESCRIPTION, "features": features, "serving": serving}
    package = folder / f"package-{seed}"
    write_package(package, estimator=Trees(booster), description=description, profile={"seed": seed})
    add_compiled(package, description, COMPILED, {"admitted": True, "reason": None, "rows": 1})
    experiment = connect(settings).create_experiment(f"generated-{seed}")
    with mlflow.start_run(experiment_id=experiment) as run:
        logged = log_package(package, example=raw_rows(2), run_id=run.info.run_id)
    return Logged(seed, run.info.run_id, logged.model_uri, logged.artifact_digest)


def start_canary(settings: Settings, version: int) -> None:
    """Let a stricter version answer half of the entities; what it refuses is the champion's to answer."""
    enter_stage(
        settings,
        "m",
        version,
        role="canary",
        share=0.5,
        plan={"stage": "canary_50", "kind": "canary", "champion": 1},
        until=datetime.now(UTC) + timedelta(hours=1),
        deployment="d",
        actor="ana",
        reason="test",
    )


@pytest.fixture(scope="module")
def world(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("generated")
    postgres.create_database("generated")
    settings = replace(
        Settings.from_environment({"NORIA_HOME": str(folder / "home")}),
        database_url=postgres.url("generated"),
        tracking_url=f"sqlite:///{folder}/mlflow.db",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for seed, model, serving in ((1, "m", SERVING), (2, "strict", STRICT)):
            deploy(settings, register(settings, log_model(settings, folder, seed, serving), model=model), model)
        start_canary(settings, register(settings, log_model(settings, folder, 3, STRICT)))
        found = World(Server(settings, LIMITS))
        guarded = LoadedModel.guarded

        def counted(model: LoadedModel, *arguments: Any) -> Any:
            found.reached += 1
            return guarded(model, *arguments)

        patch.setattr(LoadedModel, "guarded", counted)
        found.loop.run_until_complete(found.server.start())
        until(lambda: all(held.loaded for held in found.server.follower.table.models["m"].roles.values()))
        sys.modules.pop("dbutils", None)  # MLflow leaves it there when models load at once; hypothesis trips over it
        yield found
        found.loop.run_until_complete(found.server.stop())
        found.loop.close()
    postgres.drop_database("generated")


def check(world: World, request: Request, answer: Answer) -> None:
    """What holds for every answer."""
    assert 200 <= answer.status < 500, (answer.status, answer.body)
    assert answer.headers[b"x-request-id"]
    if b"content-length" in answer.headers and request.method != "HEAD":
        assert int(answer.headers[b"content-length"]) == len(answer.body)
    if answer.status >= 400 and request.method != "HEAD":
        document = json.loads(answer.body)
        shape = {"field", "row", "request_id", *(("error_code", "message") if "error_code" in document else ("error",))}
        assert set(document) == shape
        assert ("error_code" in document) is request.path.endswith("/invocations")
        assert document["request_id"].encode() == answer.headers[b"x-request-id"]
        assert document.get("error") or document.get("message")
        assert b"Traceback" not in answer.body
        assert b'.py"' not in answer.body
    if request.count is not None:
        assert answer.status == 200, answer.body
    if answer.status == 200 and request.path.endswith(("/predict", "/infer", "/invocations")):
        world.versions.add((answer.headers[b"x-noria-role"], answer.headers[b"x-noria-version"]))


def count_predictions(request: Request, answer: Answer) -> int:
    """How many predictions are in a right request's answer."""
    if request.path.endswith("/infer"):
        length = answer.headers.get(b"inference-header-content-length")
        head = orjson.loads(answer.body if length is None else answer.body[: int(length)])
        (output,) = head["outputs"]
        assert len(output.get("data", [])) or len(answer.body) - int(length or 0) == 8 * output["shape"][0]
        return int(output["shape"][0])
    document = orjson.loads(answer.body)
    return (
        int(document["accepted"]) if "accepted" in document else len(document.get("predictions", document.get("rows")))
    )


def run(world: World, strategy: Any, requests: int, least: float) -> None:
    """Ask generated requests, all of them in the long profile; at least such a share must reach a model."""
    if hypothesis_settings.get_current_profile_name() != "long":
        requests //= 4
    asked, reached, statuses = 0, 0, dict[int, int]()

    @hypothesis_settings(max_examples=requests, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(request=strategy)
    def each(request: Request) -> None:
        nonlocal asked, reached
        answer, seen = world.ask(request)
        asked += 1
        reached += seen
        statuses[answer.status] = statuses.get(answer.status, 0) + 1
        check(world, request, answer)
        if request.count is not None:
            assert count_predictions(request, answer) == request.count

    each()
    print(f"{asked} asked, {reached} reached a model, {dict(sorted(statuses.items()))}")
    assert asked >= requests
    assert reached >= least * asked


# Of all, at least half reach a model's own validation. Labels and garbage come first: the log is short.


def test_generated_labels_documents_and_garbage(world: World) -> None:
    run(world, generated.other_requests(), 1000, 0.0)


def test_answers_are_as_the_openapi_document_says(world: World) -> None:
    document = orjson.loads(world.ask(Request("GET", "/openapi.json"))[0].body)
    rows = {"rows": [GOOD_ROW]}
    inputs = [
        {"name": name, "shape": [1], "datatype": DATATYPES[kind], "data": [GOOD_ROW[name]]}
        for name, kind in COLUMNS.items()
    ]
    bodies = {"infer": {"inputs": inputs}, "invocations": {"inputs": GOOD_ROW}}
    bodies["feedback"] = {"labels": [{"request_id": "a", "label": 1}]}
    for path, item in openapi.paths().items():
        here = path.format(model="m", version=1)
        for method in {"get", "post"} & set(item):
            body = b"" if method == "get" else orjson.dumps(bodies.get(path.rpartition("/")[2], rows))
            answer, _ = world.ask(Request(method.upper(), here, body, {b"content-type": b"application/json"}))
            said = item[method]["responses"][str(answer.status)]["content"]
            assert answer.status == 200, (here, answer.body)
            kind = answer.headers[b"content-type"].decode().partition(";")[0]
            assert kind in said, here
            if kind == "application/json":
                jsonschema.validate(orjson.loads(answer.body), {**said[kind]["schema"], **document})


def test_generated_rows(world: World) -> None:
    run(world, generated.row_requests(), 3500, 0.65)
    assert {(b"champion", b"1"), (b"canary", b"2")} <= world.versions


def test_generated_tensors(world: World) -> None:
    run(world, generated.tensor_requests(), 3000, 0.55)


def test_generated_frames(world: World) -> None:
    run(world, generated.mlflow_requests(), 2500, 0.65)

"""Stock clients against a real server process: tritonclient with its defaults, and MLflow's own client."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import mlflow
import mlflow.pyfunc
import numpy as np
import pytest
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from include.settings import Settings
from include.stack.postgres import Postgres
from tests.serving.live import COLUMNS, GOOD_ROW, Logged, as_process, deploy, raw_rows, register, serving, until

pytestmark = pytest.mark.database
TYPES = {"integer": "INT64", "number": "FP64", "string": "BYTES", "boolean": "BOOL", "timestamp": "BYTES"}
ROWS: list[dict[str, Any]] = [
    {**GOOD_ROW, "n": row % 9, "x": row / 7, "place": "ABC"[row % 3], "dry": row % 2 == 0} for row in range(300)
]


class Server:
    """A running server and the version that it serves."""

    def __init__(self, url: str, version: int, model_uri: str, tracking_url: str) -> None:
        self.url = url
        self.version = version
        self.model_uri = model_uri
        self.tracking_url = tracking_url

    def predictions(self, rows: list[dict[str, Any]]) -> list[float]:
        """What the plain row API answers."""
        answer = httpx.post(f"{self.url}/models/m/predict", json={"rows": rows}, trust_env=False, timeout=30)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["predictions"])


@pytest.fixture(scope="module")
def server(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory, tracking_url: str, logged_models: list[Logged]
) -> Iterator[Server]:
    postgres.create_database("clients")
    folder = tmp_path_factory.mktemp("clients")
    settings = replace(
        Settings.from_environment({"NORIA_HOME": str(folder / "home")}),
        database_url=postgres.url("clients"),
        tracking_url=tracking_url,
    )
    version = register(settings, logged_models[0])
    deploy(settings, version)
    with as_process(settings, folder / "server.log") as (here, _):
        with httpx.Client(base_url=here.server_url, trust_env=False) as client:
            until(lambda: answers(client, version), 60)
        yield Server(here.server_url, version, logged_models[0].model_uri, tracking_url)
    postgres.drop_database("clients")


def answers(client: httpx.Client, version: int) -> bool:
    try:
        return serving(client, version)
    except httpx.TransportError:
        return False


@pytest.fixture
def triton(server: Server, tmp_path: Path) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(server.url.removeprefix("http://")) as client:
        yield client


def tensors(rows: list[dict[str, Any]], *, column: bool = False, **options: Any) -> list[InferInput]:
    """The rows as tritonclient's users write them; its default is binary."""
    found = []
    for name, kind in COLUMNS.items():
        values = [row[name] for row in rows]
        array = np.array(values, dtype=object) if TYPES[kind] == "BYTES" else np.array(values)
        array = array.reshape(-1, 1) if column else array
        tensor = InferInput(name, list(array.shape), TYPES[kind])
        tensor.set_data_from_numpy(array, **options)
        found.append(tensor)
    return found


@pytest.mark.parametrize("rows", [1, 16, 300])
def test_triton_defaults_get_the_row_apis_predictions(server: Server, triton: Any, rows: int) -> None:
    result = triton.infer("m", tensors(ROWS[:rows]))
    assert result.as_numpy("prediction").tolist() == server.predictions(ROWS[:rows])
    assert result.as_numpy("prediction").shape == (rows,)
    assert (result.get_response()["model_name"], result.get_response()["model_version"]) == ("m", str(server.version))
    assert result.as_numpy("other") is None


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
@pytest.mark.parametrize("column", [True, False])
def test_triton_in_every_way(server: Server, triton: Any, binary_in: bool, binary_out: bool, column: bool) -> None:
    result = triton.infer(
        "m",
        tensors(ROWS, binary_data=binary_in, column=column),
        model_version=str(server.version),
        outputs=[InferRequestedOutput("prediction", binary_data=binary_out)],
        request_id="my-request",
        priority=1,
        timeout=1000,
    )
    assert result.as_numpy("prediction").tolist() == server.predictions(ROWS)
    assert result.get_response()["id"] == "my-request"


@pytest.mark.parametrize("sent", [None, "gzip", "deflate"])
@pytest.mark.parametrize("received", [None, "gzip", "deflate"])
@pytest.mark.parametrize("rows", [1, 1000])
def test_triton_with_compression(server: Server, triton: Any, sent: str, received: str, rows: int) -> None:
    many = (ROWS * 4)[:rows]
    result = triton.infer(
        "m", tensors(many), request_compression_algorithm=sent, response_compression_algorithm=received
    )
    assert result.as_numpy("prediction").tolist() == server.predictions(many)


def test_triton_async(server: Server, triton: Any) -> None:
    waiting = [triton.async_infer("m", tensors(ROWS[row : row + 1])) for row in range(5)]
    found = [request.get_result().as_numpy("prediction")[0] for request in waiting]
    assert found == server.predictions(ROWS[:5])


def test_triton_asks_about_server_and_model(server: Server, triton: Any) -> None:
    version = str(server.version)
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("m")
    assert triton.is_model_ready("m", version)
    assert not triton.is_model_ready("unknown")
    assert not triton.is_model_ready("m", "999")
    assert "binary_tensor_data" in triton.get_server_metadata()["extensions"]
    for found in (triton.get_model_metadata("m"), triton.get_model_metadata("m", version)):
        assert found["versions"] == [version]
        assert {inner["name"]: inner["datatype"] for inner in found["inputs"]} == {
            name: TYPES[kind] for name, kind in COLUMNS.items()
        }
        assert found["outputs"] == [{"name": "prediction", "datatype": "FP64", "shape": [-1]}]


def test_triton_reads_our_errors(triton: Any) -> None:
    def problem(work: Any, *arguments: Any, **options: Any) -> tuple[str, str]:
        with pytest.raises(InferenceServerException) as found:
            work(*arguments, **options)
        return found.value.status(), found.value.message()

    missing = [tensor for tensor in tensors(ROWS[:1]) if tensor.name() != "place"]
    nan = tensors([{**GOOD_ROW, "x": float("nan")}])
    wrong = [InferRequestedOutput("score")]
    for status, words, asked in (
        ("404", "no deployed model", problem(triton.infer, "unknown", tensors(ROWS[:1]))),
        ("404", "not deployed", problem(triton.infer, "m", tensors(ROWS[:1]), model_version="999")),
        ("422", "missing", problem(triton.infer, "m", missing)),
        ("422", "finite", problem(triton.infer, "m", nan)),
        ("422", "prediction", problem(triton.infer, "m", tensors(ROWS[:1]), outputs=wrong)),
        ("404", "", problem(triton.get_model_config, "m")),
        ("404", "", problem(triton.get_model_metadata, "unknown")),
        ("404", "", problem(triton.get_model_repository_index)),
    ):
        assert asked[0] == status, asked
        assert words in asked[1], asked
        assert "occurred in the client" not in asked[1]


class NoriaClient(ScoringServerClient):
    """MLflow's client; it knows no prefix for the address."""

    def __init__(self, server: Server) -> None:
        super().__init__("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
        self.url_prefix = f"{server.url}/models/m"


@pytest.mark.parametrize("rows", [1, 300])
def test_mlflows_client_gets_mlflows_answer(server: Server, rows: int) -> None:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(server.tracking_url)
    frame = raw_rows(rows)
    expected = mlflow.pyfunc.load_model(server.model_uri).predict(frame)
    mlflow.set_tracking_uri(before)
    for asked in (frame, frame.to_dict(orient="records")):
        found = NoriaClient(server).invoke(asked).get_predictions()
        assert found.equals(expected)


def test_csv_by_curl(server: Server) -> None:
    frame = raw_rows(100)
    answer = httpx.post(
        f"{server.url}/models/m/invocations",
        content=frame.to_csv(),
        headers={"Content-Type": "text/csv"},
        trust_env=False,
    )
    rows = [
        {name: None if value != value else value for name, value in row.items()}
        for row in frame.assign(seen_at=frame["seen_at"].map(str)).to_dict(orient="records")
    ]
    assert [found["prediction"] for found in answer.json()["predictions"]] == server.predictions(rows)
    assert answer.headers["X-Noria-Version"] == str(server.version)


def test_mlflow_refusal_has_mlflows_shape(server: Server) -> None:
    for path, status, code in (("m", 422, "BAD_REQUEST"), ("unknown", 404, "RESOURCE_DOES_NOT_EXIST")):
        answer = httpx.post(f"{server.url}/models/{path}/invocations", json={"inputs": {"n": [1]}}, trust_env=False)
        assert (answer.status_code, answer.json()["error_code"]) == (status, code)
        assert answer.json()["request_id"] == answer.headers["X-Request-Id"]

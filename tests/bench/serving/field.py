"""The field of contenders, and what each is asked: the way that its own documentation recommends for a Python model."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import orjson

from include.training.package import requirements
from tests.bench.environments import CannotRun, install, installed
from tests.bench.lab import MODEL, Bench
from tests.bench.serving.contenders import SCRIPTS, Contender, Row
from tests.bench.serving.world import Served

OURS = "noria"
ALONE = "noria, champion alone"
MLFLOW = "mlflow models serve"
FLOOR = "bare ASGI, rows as sent"
NUMBERS = "bare ASGI, ready numbers"
_TENSORS = {"string": "BYTES", "timestamp": "BYTES", "integer": "INT64", "number": "FP64", "boolean": "BOOL"}


def ours(bench: Bench, served: Served, name: str, how: str) -> Contender:
    """Our server with one worker, following the bench's database."""
    return Contender(
        name=name,
        how=how,
        command=lambda port: [sys.executable, "-m", "include.serving", "--port", str(port), "--workers", "1"],
        path=f"/models/{MODEL}/predict",
        rows=served.rows,
        encode=_rows,
        decode=_predictions,
        environment=bench.environment(),
        working_folder=bench.settings.home,
    )


def floors(served: Served) -> list[Contender]:
    """The bare application: with the same rows and the same model, and with the booster and rows that are numbers."""
    booster = served.folder / "artifacts" / "model.ubj"
    numbers = [[None if value != value else value for value in row] for row in served.matrix.tolist()]
    bare = "uvicorn, uvloop, httptools, orjson"
    return [
        _bare(FLOOR, f"{bare}, the packaged model's predict_rows", served.folder, served.rows),
        _bare(NUMBERS, f"{bare}, inplace_predict of rows that are numbers already", booster, numbers),
    ]


def _bare(name: str, how: str, model: Path, rows: Sequence[Any]) -> Contender:
    return Contender(
        name=name,
        how=how,
        command=lambda port: [sys.executable, str(SCRIPTS / "floor.py"), str(port), str(model)],
        path="/",
        rows=rows,
        encode=_rows,
        decode=_predictions,
        environment={"OMP_WAIT_POLICY": "PASSIVE"},
    )


def peers(served: Served, folder: Path, wanted: Callable[[str], bool]) -> dict[str, Contender | CannotRun]:
    """The peers that are wanted, each in an environment of its own below a folder, or why it cannot be installed."""
    found: dict[str, Contender | CannotRun] = {}
    for name, make in PEERS.items():
        if wanted(name):
            try:
                found[name] = make(served, folder)
            except CannotRun as error:
                found[name] = error
    return found


def _model_packages(mlflow: str = "mlflow-skinny") -> list[str]:
    """What the packaged model needs, in the versions that it was made with."""
    needed = [one for one in requirements() if not one.startswith("mlflow")]
    # The build for processors only: the other one brings libraries of half a gigabyte that nothing here loads.
    needed = [one.replace("xgboost==", "xgboost-cpu==") for one in needed]
    return [f"{mlflow}=={metadata.version('mlflow')}", *needed]


def _environment(served: Served) -> dict[str, str]:
    return {
        "BENCH_MODEL": str(served.folder),
        "PYTHONPATH": str(SCRIPTS),
        "OMP_WAIT_POLICY": "PASSIVE",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_HOME": str(served.bench.settings.home / "bentoml"),
    }


def _mlflow(served: Served, folder: Path) -> Contender:
    programs = install(folder / "mlflow", [*_model_packages("mlflow"), "uvicorn", "fastapi"])
    environment = _environment(served)
    return Contender(
        name=MLFLOW,
        how=f"{installed(programs, 'mlflow')}, models serve --env-manager local --workers 1, dataframe_split",
        command=lambda port: [
            str(programs / "mlflow"), "models", "serve", "--model-uri", str(served.folder), "--port", str(port),
            "--env-manager", "local", "--workers", "1",
        ],
        path="/invocations",
        rows=served.inputs,
        encode=_split,
        decode=lambda body: [row["prediction"] for row in orjson.loads(body)["predictions"]],
        environment=environment | {"PATH": f"{programs}:/usr/bin:/bin"},
        working_folder=served.bench.settings.home,
    )  # fmt: skip


def _mlserver(served: Served, folder: Path) -> Contender:
    programs = install(folder / "mlserver", ["mlserver>=1.7,<2", *_model_packages()])
    columns = _columns(served)

    def command(port: int) -> Sequence[str]:
        home = served.bench.settings.home / "mlserver"
        home.mkdir(exist_ok=True)
        settings = {
            "host": "127.0.0.1", "http_port": port, "grpc_port": port + 1, "metrics_port": port + 2,
            "parallel_workers": 0, "debug": False, "use_structured_logging": False,
        }  # fmt: skip
        (home / "settings.json").write_bytes(orjson.dumps(settings))
        model = {"name": MODEL, "implementation": "mlserver_runtime.Flights"}
        (home / "model-settings.json").write_bytes(orjson.dumps(model))
        return [str(programs / "mlserver"), "start", str(home)]

    return Contender(
        name="MLServer",
        how=f"{installed(programs, 'mlserver')}: V2 infer, a tensor a column, a runtime of our own around "
        "predict_rows, parallel_workers 0",
        command=command,
        path=f"/v2/models/{MODEL}/infer",
        rows=served.inputs,
        encode=lambda rows: _tensors(rows, columns),
        decode=lambda body: orjson.loads(body)["outputs"][0]["data"],
        environment=_environment(served),
    )


def _bentoml(served: Served, folder: Path) -> Contender:
    programs = install(folder / "bentoml", ["bentoml>=1.4,<2", *_model_packages()])
    return Contender(
        name="BentoML",
        how=f"{installed(programs, 'bentoml')}: a service with workers=1 around predict_rows",
        command=lambda port: [
            str(programs / "bentoml"), "serve", "bentoml_service:Flights", "--host", "127.0.0.1", "--port", str(port),
        ],
        path="/predict",
        rows=served.inputs,
        encode=_rows,
        decode=orjson.loads,
        environment=_environment(served),
    )  # fmt: skip


def _litserve(served: Served, folder: Path) -> Contender:
    programs = install(folder / "litserve", ["litserve>=0.2,<1", *_model_packages()])
    return Contender(
        name="LitServe",
        how=f"{installed(programs, 'litserve')}: a LitAPI with one worker around predict_rows",
        command=lambda port: [str(programs / "python"), str(SCRIPTS / "litserve_server.py"), str(port)],
        path="/predict",
        rows=served.inputs,
        encode=_rows,
        decode=_predictions,
        environment=_environment(served),
    )


def _columns(served: Served) -> dict[str, str]:
    features = orjson.loads((served.folder / "artifacts" / "features.json").read_bytes())
    return dict(features["columns"])


def _rows(rows: Sequence[Any]) -> bytes:
    return orjson.dumps({"rows": rows})


def _predictions(body: bytes) -> list[float]:
    return list(orjson.loads(body)["predictions"])


def _split(rows: Sequence[Row]) -> bytes:
    columns = list(rows[0])
    data = [[row[name] for name in columns] for row in rows]
    return orjson.dumps({"dataframe_split": {"columns": columns, "data": data}})


def _tensors(rows: Sequence[Row], columns: dict[str, str]) -> bytes:
    inputs = [
        {"name": name, "shape": [len(rows)], "datatype": _TENSORS[kind], "data": [row[name] for row in rows]}
        for name, kind in columns.items()
    ]
    return orjson.dumps({"inputs": inputs})


PEERS: dict[str, Callable[[Served, Path], Contender]] = {
    MLFLOW: _mlflow,
    "MLServer": _mlserver,
    "BentoML": _bentoml,
    "LitServe": _litserve,
}

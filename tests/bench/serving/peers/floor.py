"""The floors: a bare ASGI application that reads JSON, asks the model and writes JSON; no checks, no log, no routing.

Arguments: the port, then the booster's file, which gets rows that are numbers already, or the packaged model's folder,
which gets the rows that everybody gets. Runs in the project's own environment, on uvloop and httptools.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import uvicorn
import xgboost

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


Predict = Callable[[list[Any]], list[Any]]


def numbers(file: Path) -> Predict:
    """The booster alone."""
    booster = xgboost.Booster({"nthread": 1}, model_file=str(file))

    def predict(rows: list[Any]) -> list[Any]:
        found: list[Any] = booster.inplace_predict(np.array(rows, dtype=np.float32)).tolist()
        return found

    return predict


def rows_as_sent(folder: Path) -> Predict:
    """The packaged model, features and all."""
    sys.path.insert(0, str(folder))
    from packaged_model import TabularModel

    predict: Predict = TabularModel.open(folder / "artifacts").predict_rows
    return predict


class Floor:
    """The application."""

    def __init__(self, predict: Predict) -> None:
        self._predict = predict

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message.get("more_body"):
                break
        answer = orjson.dumps({"predictions": self._predict(orjson.loads(body)["rows"])})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    model = Path(sys.argv[2])
    uvicorn.run(
        Floor(rows_as_sent(model) if model.is_dir() else numbers(model)),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )

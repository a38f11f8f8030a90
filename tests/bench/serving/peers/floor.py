"""The floor: a bare ASGI application that reads JSON numbers, asks the booster and writes JSON; no checks, no log.

Arguments: the port, the booster's file. Runs in the project's own environment, on uvloop and httptools.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import orjson
import uvicorn
import xgboost

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


class Floor:
    """The application."""

    def __init__(self, file: str) -> None:
        self._booster = xgboost.Booster({"nthread": 1}, model_file=file)

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
        matrix = np.array(orjson.loads(body)["rows"], dtype=np.float32)
        answer = orjson.dumps({"predictions": self._booster.inplace_predict(matrix).tolist()})
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


if __name__ == "__main__":
    uvicorn.run(
        Floor(sys.argv[2]),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )

"""A stand-in for the inference server that remembers what it was sent, and answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import uvicorn

from tests.serving.live import free_port, until

Reply = tuple[int, dict[str, Any]]


@dataclass
class StandIn:
    """What came, in order.

    :param reply: the answer to a prediction, from its number and body; None: the connection is dropped.
    """

    reply: Callable[[int, dict[str, Any]], Reply | None]
    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    labels: list[dict[str, Any]] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = {key: value.decode() for key, value in scope["headers"]}
        self.tokens.add(headers.get(b"authorization"))
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        document = orjson.loads(body)
        answer = self._feedback(document) if scope["path"].endswith("/feedback") else self._predict(headers, document)
        if answer is None:
            raise ConnectionAbortedError
        status, content = answer
        sent = [(b"content-type", b"application/json"), (b"x-noria-version", b"3"), (b"x-noria-role", b"champion")]
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": orjson.dumps(content)})

    def _predict(self, headers: dict[bytes, str], document: dict[str, Any]) -> Reply | None:
        self.requests.append(document)
        self.ids.append(headers[b"x-request-id"])
        return self.reply(len(self.requests), document)

    def _feedback(self, document: dict[str, Any]) -> Reply:
        self.labels += document["labels"]
        return 200, {"accepted": len(document["labels"]), "request_id": "f"}


def good(_: int, document: dict[str, Any]) -> Reply:
    """A prediction for each row."""
    return 200, {"predictions": [0.5] * len(document["rows"])}


@contextmanager
def stand_in(reply: Callable[[int, dict[str, Any]], Reply | None] = good) -> Iterator[StandIn]:
    """A stand-in that listens."""
    app = StandIn(reply)
    config = uvicorn.Config(app, port=free_port(), lifespan="off", log_level="critical", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    app.url = f"http://127.0.0.1:{config.port}"
    yield app
    server.should_exit = True
    thread.join(timeout=10)

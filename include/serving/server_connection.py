"""A caller's connection as a worker holds it: uvicorn's, with an end to waiting and to what a head may cost."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final, Literal

import orjson
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from include.serving.answers import new_request_id
from include.serving.validation import RequestRefused

HEAD_BYTES: Final = 65_536
"""Most bytes of a head beyond those that came first; the parser itself has no limit."""

Awaited = Literal["head", "body"]


class ServerConnection(HttpToolsProtocol):
    """One connection.

    :param config: uvicorn's.
    :param server_state: uvicorn's, shared by all connections.
    :param app_state: the application's.
    """

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_bytes = -1

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a head that does not end is refused."""
        super().data_received(data)
        if self._is_in_head():
            self._head_bytes = self._head_bytes + len(data) if self._head_bytes >= 0 else 0
            if self._head_bytes > HEAD_BYTES:
                self.refuse(RequestRefused(431, "The head of the request is too large."))
        else:
            self._head_bytes = -1

    def awaited(self) -> Awaited | None:
        """What the caller still has to send; None if it is its turn to wait, or if it has not begun a request."""
        cycle = self.cycle
        if cycle is None or (cycle.response_complete and cycle.scope is not self.scope):
            return "head"
        at_fault = cycle.more_body and not (self.flow.read_paused or cycle.waiting_for_100_continue)
        return "body" if at_fault and not cycle.response_started else None

    def refuse(self, refused: RequestRefused) -> None:
        """Answer what has not come as a whole, and close."""
        if self.transport.is_closing():
            return
        request_id = new_request_id()
        body = orjson.dumps({**refused.to_document(), "request_id": request_id})
        head = (
            f"HTTP/1.1 {refused.status} {HTTPStatus(refused.status).phrase}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            f"x-request-id: {request_id}",
            "connection: close",
        )
        self.transport.write("\r\n".join((*head, "\r\n")).encode("ascii") + body)
        self.transport.close()

    def _is_in_head(self) -> bool:
        return self.scope is not None and (self.cycle is None or self.cycle.scope is not self.scope)

"""The plain row API: ``{"rows": [{"column": value, …}, …]}`` in, ``{"predictions": […]}`` out. The hot path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from include.serving.limits import Limits
from include.serving.protocols.calls import Call, Encoded, Headers
from include.serving.protocols.classes import likeliest, named
from include.serving.validation import RequestRefused, check_content_type, inflate, parse_rows


class RowsProtocol:
    """Rows as JSON objects."""

    name = "rows"

    def decode(self, body: bytes, headers: Headers, columns: Mapping[str, str], limits: Limits) -> Call:  # noqa: ARG002
        """Read ``{"rows": […]}``.

        :raises RequestRefused: 415 for another content type, 400 for no JSON, 413 for too much, 422 for the rest.
        """
        check_json(headers)
        rows = parse_rows(inflate(body, headers.get(b"content-encoding"), limits), limits)
        return Call(len(rows), rows)

    def encode(
        self,
        call: Call,  # noqa: ARG002
        predictions: Sequence[Any],
        *,
        model: str,
        version: int,
        request_id: str,
        classes: Sequence[str] = (),
    ) -> Encoded:
        """``{"model", "version", "predictions", "request_id"}``; of several classes also ``probabilities`` by name."""
        document: dict[str, Any] = {"model": model, "version": version, "predictions": predictions}
        if classes:
            document["predictions"] = [likeliest(row, classes) for row in predictions]
            document["probabilities"] = [named(row, classes) for row in predictions]
        document["request_id"] = request_id
        return Encoded(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY))

    def refuse(self, refused: RequestRefused, request_id: str) -> Encoded:
        """``{"error", "field", "row", "request_id"}``."""
        return Encoded(orjson.dumps({**refused.to_document(), "request_id": request_id}), status=refused.status)


def check_json(headers: Headers) -> None:
    """Only JSON is read.

    :raises RequestRefused: 415 for another content type.
    """
    given = headers.get(b"content-type")
    if given != b"application/json":
        check_content_type(None if given is None else given.decode("latin-1"))


ROWS = RowsProtocol()

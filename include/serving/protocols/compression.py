"""Answers compressed for clients that ask for it, when that is worth the processor's time."""

from __future__ import annotations

import zlib

from include.serving.protocols.calls import Encoded

_WORTH = 4096
_WINDOWS = {"gzip": 31, "deflate": 15}


def compress(answer: Encoded, accepted: bytes | None) -> Encoded:
    """The answer, compressed if it is large and the header Accept-Encoding names gzip or deflate.

    :param accepted: that header, or None.
    """
    if accepted is None or len(answer.body) < _WORTH:
        return answer
    encoding = _chosen(accepted.decode("latin-1").lower())
    if encoding is None:
        return answer
    stream = zlib.compressobj(1, zlib.DEFLATED, _WINDOWS[encoding])
    body = stream.compress(answer.body) + stream.flush()
    headers = [*answer.headers, (b"content-encoding", encoding.encode())]
    return Encoded(body, answer.content_type, headers, answer.status)


def _chosen(accepted: str) -> str | None:
    """The first of gzip and deflate that the header names without giving it the weight 0."""
    named = {}
    for part in accepted.split(","):
        name, _, weight = part.partition(";")
        named[name.strip()] = weight.replace(" ", "")
    return next((name for name in _WINDOWS if named.get(name, "q=0").rstrip(".0") not in {"q=", "q"}), None)

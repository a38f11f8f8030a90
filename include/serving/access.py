"""Who may ask, and how often: bearer tokens of two scopes, and one rate for the whole server."""

from __future__ import annotations

import hmac
import json
import mmap
import struct
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from include.errors import NoriaError
from include.serving.validation import RequestRefused

Scope = Literal["predict", "admin"]
_SCOPES: tuple[Scope, ...] = ("predict", "admin")
_SHORTEST = 16
_BURST_SECONDS = 1.0
_DOUBLE = struct.Struct("d")


class TokensUnusable(NoriaError):
    """The file of tokens cannot be used; the server does not start open instead.

    :param path: the file.
    :param problem: what is wrong with it; never repeats a token.
    """

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(
            f"The tokens in {path} (NORIA_SERVER_TOKENS) cannot be used: {problem}. Write JSON such as "
            '{"predict": ["…"], "admin": ["…"]} with tokens of at least 16 characters.'
        )


class AccessRefused(RequestRefused):
    """The caller may not do this, or not so often.

    :param headers: what the answer's head says beside the usual.
    """

    def __init__(self, status: int, problem: str, headers: list[tuple[bytes, bytes]]) -> None:
        super().__init__(status, problem)
        self.headers = headers


@dataclass(frozen=True)
class Tokens:
    """The accepted tokens by scope; an admin token may do everything."""

    predict: tuple[bytes, ...] = field(repr=False)
    admin: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Tokens:
        """From a JSON file ``{"predict": [...], "admin": [...]}``.

        :raises TokensUnusable: it cannot be read, or is something else.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TokensUnusable(path, f"{type(error).__name__}") from None
        if not isinstance(document, dict) or not set(document) <= set(_SCOPES) or not document:
            raise TokensUnusable(path, 'its keys must be "predict" and "admin"')
        return cls(*(_tokens(path, scope, document.get(scope, [])) for scope in _SCOPES))

    def check(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        """Let a request pass that has a token of the scope.

        :raises AccessRefused: 401 without a known token, 403 with one of another scope.
        """
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() != b"bearer" or not given:
            raise _unknown("Send the header Authorization: Bearer with a token of this server.")
        token = given.strip()
        is_admin = _is_among(token, self.admin)
        if is_admin or _is_among(token, self.predict):
            if scope == "admin" and not is_admin:
                raise AccessRefused(403, "This token may predict; this address asks for an admin token.", [])
            return
        raise _unknown("This token is not known to the server.")


class Rate:
    """At most so many requests a second in all processes that share this object through a fork; bursts of one second.

    Two processes may let one request too many pass when they look in the same microsecond.

    :param per_second: the rate.
    """

    def __init__(self, per_second: float) -> None:
        self._interval = 1.0 / per_second
        self._burst = max(_BURST_SECONDS, self._interval)
        self._next = mmap.mmap(-1, _DOUBLE.size)

    def check(self) -> None:
        """Count a request.

        :raises AccessRefused: 429 with Retry-After if it is one too many.
        """
        now = time.monotonic()
        due = max(_DOUBLE.unpack_from(self._next)[0], now - self._burst)
        if due + self._interval > now + 1e-9:
            wait = max(1, round(due + self._interval - now + 0.5))
            raise AccessRefused(429, "Too many requests at once.", [(b"retry-after", str(wait).encode())])
        _DOUBLE.pack_into(self._next, 0, due + self._interval)


class Access:
    """What every request passes first.

    :param tokens: None if the server asks for none.
    :param rate: None if there is no limit.
    """

    def __init__(self, tokens: Tokens | None = None, rate: Rate | None = None) -> None:
        self._tokens = tokens
        self._rate = rate
        self.is_open = tokens is None and rate is None

    def check(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        """Let a request pass.

        :raises AccessRefused: 401, 403 or 429.
        """
        if self._tokens is not None:
            self._tokens.check(scope, headers)
        if self._rate is not None:
            self._rate.check()

    def check_token(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        """The same without counting, for addresses that cost next to nothing.

        :raises AccessRefused: 401 or 403.
        """
        if self._tokens is not None:
            self._tokens.check(scope, headers)


def _tokens(path: Path, scope: str, values: object) -> tuple[bytes, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TokensUnusable(path, f'"{scope}" must be a list of texts')
    if any(len(value) < _SHORTEST or not value.isascii() or " " in value for value in values):
        raise TokensUnusable(path, f'a token of "{scope}" is shorter than {_SHORTEST} plain characters')
    return tuple(value.encode() for value in values)


def _is_among(token: bytes, known: Iterable[bytes]) -> bool:
    """Compares with all of them, each in constant time."""
    return sum(hmac.compare_digest(token, other) for other in known) > 0


def _unknown(problem: str) -> AccessRefused:
    return AccessRefused(401, problem, [(b"www-authenticate", b'Bearer realm="noria"')])

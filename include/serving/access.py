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
_LONGEST_NAME = 63
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
            '{"predict": ["…", {"token": "…", "models": ["flight_delay"]}], "admin": ["…"]} '
            "with tokens of at least 16 characters."
        )


class AccessRefused(RequestRefused):
    """The caller may not do this, or not so often.

    :param headers: what the answer's head says beside the usual.
    """

    def __init__(self, status: int, problem: str, headers: list[tuple[bytes, bytes]]) -> None:
        super().__init__(status, problem)
        self.headers = headers


@dataclass(frozen=True)
class Token:
    """A token, and the models that it is for.

    :param models: None for all.
    """

    secret: bytes = field(repr=False)
    models: frozenset[str] | None = None


@dataclass(frozen=True)
class Tokens:
    """The accepted tokens by scope; an admin token may do everything, to the models that it is for."""

    predict: tuple[Token, ...]
    admin: tuple[Token, ...]

    @classmethod
    def read(cls, path: Path) -> Tokens:
        """From a JSON file ``{"predict": [...], "admin": [...]}``: tokens, or ``{"token": …, "models": [...]}``.

        :raises TokensUnusable: it cannot be read, or is something else.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise TokensUnusable(path, f"{type(error).__name__}") from None
        if not isinstance(document, dict) or not set(document) <= set(_SCOPES) or not document:
            raise TokensUnusable(path, 'its keys must be "predict" and "admin"')
        return cls(*(_tokens(path, scope, document.get(scope, [])) for scope in _SCOPES))

    def check(self, scope: Scope, model: str | None, headers: Mapping[bytes, bytes]) -> None:
        """Let a request pass that has a token of the scope, for the model.

        :param model: the model that it is about; None if it is about all of them.
        :raises AccessRefused: 401 without a known token, 403 with one of another scope or for other models.
        """
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() != b"bearer" or not given:
            raise _unknown("Send the header Authorization: Bearer with a token of this server.")
        secret = given.strip()
        admin, predict = _named(secret, self.admin), _named(secret, self.predict)
        token = admin or predict
        if token is None:
            raise _unknown("This token is not known to the server.")
        if scope == "admin" and admin is None:
            raise AccessRefused(403, "This token may predict; this address asks for an admin token.", [])
        if token.models is not None and model not in token.models:
            what = f"not for {_shown(model)}" if model is not None else "and this address is about all models"
            raise AccessRefused(403, f"This token is for {', '.join(sorted(token.models))} only, {what}.", [])


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

    def check(self, scope: Scope, model: str, headers: Mapping[bytes, bytes]) -> None:
        """Let a request about a model pass.

        :raises AccessRefused: 401, 403 or 429.
        """
        if self._tokens is not None:
            self._tokens.check(scope, model, headers)
        if self._rate is not None:
            self._rate.check()

    def check_token(self, scope: Scope, model: str | None, headers: Mapping[bytes, bytes]) -> None:
        """The same without counting, for addresses that cost next to nothing, and those about all models.

        :raises AccessRefused: 401 or 403.
        """
        if self._tokens is not None:
            self._tokens.check(scope, model, headers)


def _tokens(path: Path, scope: str, values: object) -> tuple[Token, ...]:
    if not isinstance(values, list):
        raise TokensUnusable(path, f'"{scope}" must be a list')
    return tuple(_token(path, scope, value) for value in values)


def _token(path: Path, scope: str, value: object) -> Token:
    given = {"token": value} if isinstance(value, str) else value
    if not isinstance(given, dict) or not set(given) <= {"token", "models"} or not isinstance(given.get("token"), str):
        raise TokensUnusable(path, f'"{scope}" may hold texts, and objects with "token" and "models"')
    secret, models = given["token"], given.get("models")
    if len(secret) < _SHORTEST or not secret.isascii() or " " in secret:
        raise TokensUnusable(path, f'a token of "{scope}" is shorter than {_SHORTEST} plain characters')
    if "models" not in given:
        return Token(secret.encode())
    if not isinstance(models, list) or not models or not all(isinstance(name, str) for name in models):
        raise TokensUnusable(path, f'"models" of a token of "{scope}" must be a list of names, and not empty')
    return Token(secret.encode(), frozenset(models))


def _named(secret: bytes, known: Iterable[Token]) -> Token | None:
    """The token that was given. Compares with all of them, each in constant time."""
    found = [token for token in known if hmac.compare_digest(secret, token.secret)]
    return found[0] if found else None


def _shown(model: str) -> str:
    return model if len(model) <= _LONGEST_NAME and model.isidentifier() else "another"


def _unknown(problem: str) -> AccessRefused:
    return AccessRefused(401, problem, [(b"www-authenticate", b'Bearer realm="noria"')])

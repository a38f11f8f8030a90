"""Proves the whole path: rows through the live server must get exactly the answers of the batch path."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from include.errors import NoriaError, TryAgain

BATCH = 100
SINGLE_ROWS = 25
_PAUSE = 0.25
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)


class ServerUnreachable(TryAgain):
    """No inference server answers, or it does not know the deployment state yet."""

    def __init__(self, url: str, seconds: float, problem: str) -> None:
        self.problem = problem
        super().__init__(
            f"The inference server at {_place(url)} did not answer within {seconds:.0f} s: {problem}. Nothing is "
            "rolled back for that. Start it (`make up`), look at its log, and check NORIA_SERVER_URL; then try again."
        )


class AccessDenied(NoriaError):
    """The server answers, but wants an admin token that it was not sent.

    :param problem: what the server says.
    """

    def __init__(self, url: str, problem: str | None) -> None:
        self.problem = problem
        super().__init__(
            f"The inference server at {_place(url)} refuses the caller: {problem}. Set NORIA_SERVER_TOKEN to one of "
            'the "admin" tokens of its file NORIA_SERVER_TOKENS.'
        )


class VersionNotServed(NoriaError):
    """The server answers, but does not hold the version.

    :param found: what it says of the version, or of the model if it does not know the version.
    :param problem: what the server says: ``corrupt``, ``unloadable`` and ``untrusted`` are the version's fault,
        ``away`` is MLflow's, None means that it is late.
    """

    def __init__(self, url: str, model: str, version: int, seconds: float, found: dict[str, Any]) -> None:
        self.problem: str | None = found.get("problem")
        self.found = found
        super().__init__(
            f"The server at {_place(url)} does not serve {model} version {version} after {seconds:.0f} s; it says: "
            f"version {found.get('version') or 'none'}, status {found.get('status') or 'unknown'}, "
            f"{found.get('error') or 'no error known'}"
        )


Answer = float | list[float]
"""A number, or the probabilities of several classes."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One row whose live answer is not the batch path's.

    :param server: the address of the replica that answered.
    :param row: its number among the verification rows.
    :param sent: whether it went in a ``batch`` or ``alone``.
    :param got: the live prediction, or the server's refusal in words.
    """

    server: str
    row: int
    sent: str
    inputs: dict[str, Any]
    expected: Answer
    got: Answer | str

    def to_document(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "server": self.server,
            "row": self.row,
            "sent": self.sent,
            "inputs": self.inputs,
            "expected": self.expected,
            "got": str(self.got) if isinstance(self.got, float) and not math.isfinite(self.got) else self.got,
        }


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What was sent to each server, how many there were, and what came back otherwise."""

    rows: int
    single_rows: int
    differences: list[Difference]
    servers: int = 1

    @property
    def answers(self) -> int:
        """How many rows were answered, by all servers together."""
        return (self.rows + self.single_rows) * self.servers


class LiveServer:
    """One inference server as its callers see it.

    :param url: its address.
    :param model: the model that is asked.
    :param seconds: how long to wait for it, in all.
    :param token: admin token to send, if the server asks for one.
    :param host: the name by which callers know it, if its address is another one.
    :param is_listed: whether it is still one that callers may meet; one that is not is not waited for.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        seconds: float,
        token: str | None = None,
        host: str | None = None,
        is_listed: Callable[[], bool] = lambda: True,
    ) -> None:
        self._url = url
        self._model = model
        self._seconds = seconds
        self._is_listed = is_listed
        self._deadline = time.monotonic() + seconds
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if host:
            headers["Host"] = f"{host}:{port}" if (port := urlsplit(url).port) else host
        self._client = httpx.Client(base_url=url, timeout=_TIMEOUT, trust_env=False, headers=headers)

    def __enter__(self) -> LiveServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def wait_for(self, version: int, *, role: str | None = None) -> None:
        """Return when the server holds the version; at once when it says that it never can.

        :param role: the role that is meant; any if left out.
        :raises AccessDenied: the server asks for another token.
        :raises ServerUnreachable: nothing answered in time.
        :raises VersionNotServed: it answered, but does not hold the version.
        """
        for answer in self._answers("GET", f"/models/{self._model}"):
            found = answer.json() if answer.status_code == 200 else {}
            roles = found.get("roles", {}).items()
            held = [one for name, one in roles if one["version"] == version and role in {None, name}]
            if any(one["status"] == "serving" for one in held):
                return
            problem = held[0]["problem"] if held else None
            if time.monotonic() >= self._deadline or problem in {"corrupt", "untrusted"}:
                said = {**found, **(held[0] if held else {"problem": None})}
                raise VersionNotServed(self._url, self._model, version, self._seconds, said)

    def verify(self, version: int, rows: Sequence[dict[str, Any]], expected: Sequence[Answer]) -> Verified:
        """Send all rows in batches and some of them alone; every prediction must be equal (``==``) to its expected.

        The version is asked for by its number, whatever role it holds; these requests are no evidence of anything.

        :raises AccessDenied: the server asks for an admin token.
        :raises ServerUnreachable: the server went away and did not come back in time.
        :raises VersionNotServed: another version answers.
        """
        batches = [range(first, min(first + BATCH, len(rows))) for first in range(0, len(rows), BATCH)]
        step = max(1, len(rows) // SINGLE_ROWS)
        alone = [range(row, row + 1) for row in range(0, len(rows), step)][:SINGLE_ROWS]
        differences: list[Difference] = []
        for sent, parts in (("batch", batches), ("alone", alone)):
            for part in parts:
                answers = self._predict(version, [rows[row] for row in part])
                differences += [
                    Difference(
                        server=_place(self._url),
                        row=row,
                        sent=sent,
                        inputs=rows[row],
                        expected=expected[row],
                        got=answer,
                    )
                    for row, answer in zip(part, answers, strict=True)
                    if answer != expected[row]
                ]
        return Verified(rows=len(rows), single_rows=len(alone), differences=differences)

    def _predict(self, version: int, rows: list[dict[str, Any]]) -> Sequence[Answer | str]:
        """A prediction for each row, or the server's words for each if it refuses them."""
        path = f"/models/{self._model}/versions/{version}/predict"
        for answer in self._answers("POST", path, {"rows": rows}):
            found = answer.json()
            if answer.headers.get("X-Noria-Version") != str(version):
                if time.monotonic() >= self._deadline:
                    raise VersionNotServed(self._url, self._model, version, self._seconds, found)
                continue
            if answer.status_code == 200 and len(found["predictions"]) == len(rows):
                if "probabilities" in found:
                    return [
                        _of_classes(*pair) for pair in zip(found["predictions"], found["probabilities"], strict=True)
                    ]
                return [math.nan if value is None else value for value in found["predictions"]]
            return [f"HTTP {answer.status_code}: {str(found)[:500]}"] * len(rows)
        raise AssertionError  # _answers never ends

    def _answers(self, method: str, path: str, body: object = None) -> Iterator[httpx.Response]:
        """Ask again and again, with a pause, until the caller is content.

        :raises AccessDenied: the token is not enough.
        :raises ServerUnreachable: nothing answered until the deadline.
        """
        while True:
            try:
                answer = self._client.request(method, path, json=body)
                answer.json()
            except (httpx.HTTPError, ValueError) as error:
                problem = f"{type(error).__name__}: {error}"
            else:
                if answer.status_code in {401, 403}:
                    raise AccessDenied(self._url, answer.json().get("error"))
                yield answer
                problem = f"HTTP {answer.status_code}: {answer.text[:300]}"
            if time.monotonic() >= self._deadline or not self._is_listed():
                raise ServerUnreachable(self._url, self._seconds, problem)
            time.sleep(_PAUSE)


def _of_classes(said: str, probabilities: dict[str, float]) -> Answer | str:
    """The probabilities in the classes' order, or what is wrong: the answer must be the first of the likeliest."""
    likeliest = max(probabilities, key=probabilities.__getitem__)
    if said != likeliest:
        return f"it answers {said}, while {likeliest} is likelier: {probabilities}"
    return list(probabilities.values())


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")

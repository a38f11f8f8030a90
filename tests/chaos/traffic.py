"""Callers of the inference server who remember what they were told."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path
from typing import Any

import duckdb
import requests

from tests.chaos.invariants import Answer
from tests.e2e.line import Document


class Callers:
    """A thread that asks for one row after another and keeps each answer.

    :param file: a landed file; its rows are asked again and again.
    :param rate: requests a second.
    """

    def __init__(self, server_url: str, model: str, file: Path, rate: float = 20) -> None:
        self._address = f"{server_url}/models/{model}"
        self._rows = _requests(file, requests.get(self._address, timeout=30).json())
        self._pause = 1 / rate
        self._answers: list[Answer] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.refused: list[str] = []
        """What the server said otherwise: status and the beginning of its words."""

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._ended.set()
        self._thread.join(10)

    def answers(self) -> list[Answer]:
        """What was answered with a 2xx until now."""
        return list(self._answers)

    def _ask(self) -> None:
        number = 0
        session = requests.Session()
        while not self._ended.wait(self._pause):
            number += 1
            name = f"chaos-{uuid.uuid4().hex}"
            body = {"rows": [self._rows[number % len(self._rows)]]}
            try:
                told = session.post(f"{self._address}/predict", json=body, headers={"X-Request-Id": name}, timeout=10)
            except requests.RequestException:
                continue  # nobody was answered: nothing is owed
            if told.ok:
                document = told.json()
                self._answers.append(Answer(name, document["version"], document["predictions"][0]))
            else:
                self.refused.append(f"{told.status_code} {told.text[:200]}")


def _requests(file: Path, told: Document, count: int = 300) -> list[Document]:
    """Rows with the columns that the server says it takes."""
    names = sorted({**told["columns"], **told["entity"]})
    with duckdb.connect() as connection:
        chosen = ", ".join(names)
        found = connection.execute(f"SELECT {chosen} FROM read_parquet(?) LIMIT {count}", [str(file)]).fetchall()
    return [dict(zip(names, map(_plain, row), strict=True)) for row in found]


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value

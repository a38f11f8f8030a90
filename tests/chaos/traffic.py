"""Callers of the inference server who remember what they were told."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence

import requests

from tests.chaos.invariants import Answer
from tests.e2e.line import Document


class Callers:
    """A thread that asks for one row after another and keeps each answer.

    :param rows: what is asked, again and again.
    :param rate: requests a second.
    """

    def __init__(self, server_url: str, model: str, rows: Sequence[Document], rate: float = 10) -> None:
        self._address = f"{server_url}/models/{model}/predict"
        self._rows = rows
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
                told = session.post(self._address, json=body, headers={"X-Request-Id": name}, timeout=10)
            except requests.RequestException:
                continue  # nobody was answered: nothing is owed
            if told.ok:
                document = told.json()
                self._answers.append(Answer(name, document["version"], document["predictions"][0]))
            else:
                self.refused.append(f"{told.status_code} {told.text[:200]}")

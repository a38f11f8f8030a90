"""A deployment in small for the tests of shadow scoring: versions that are functions, and a state that holds still."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from include.serving.protocols.calls import Call
from include.serving.request_log.records import Shape

CHAMPION, CHALLENGER = 1, 2
SHAPE = Shape(model="m", version=CHAMPION, columns={"x": "number"}, entity={"who": "string"})


class Version:
    """Stands in for a loaded model: predicts with a function of a row."""

    def __init__(self, version: int, says: Callable[[dict[str, Any]], Any], model: str = "m") -> None:
        self.shape = replace(SHAPE, model=model, version=version)
        self.deployed = SimpleNamespace(model=model, version=version, artifact_digest=f"{version}", mark=f"{version}")
        self.fields = {"x": "number", "who": "string"}
        self.history = ()
        self.classes = ()
        self.says = says
        self.asked = 0

    def predict(self, call: Call) -> list[Any]:
        self.asked += 1
        return [self.says(row) for row in call.rows or []]


def serving(
    challenger: Callable[[dict[str, Any]], Any],
    champion: Callable[[dict[str, Any]], Any] = lambda row: row["x"],
    model: str = "m",
) -> Any:
    """What the follower's table says of a model with a shadow."""
    roles = {CHAMPION: "champion", CHALLENGER: "shadow"}
    return SimpleNamespace(
        challenger=SimpleNamespace(
            loaded=Version(CHALLENGER, challenger, model), version=CHALLENGER, paired=True, asks_for=frozenset()
        ),
        loaded=Version(CHAMPION, champion, model),
        role_of=roles.get,
        state=SimpleNamespace(revision=3),
        deployment="run-1",
    )

"""BentoML: a service with one worker around the packaged model's ``predict_rows``."""

from __future__ import annotations

from typing import Any

import bentoml
import packaged


@bentoml.service(workers=1, metrics={"enabled": True}, logging={"access": {"enabled": False}})
class Flights:
    """The flagship."""

    def __init__(self) -> None:
        self._model = packaged.load()

    @bentoml.api
    def predict(self, rows: list[dict[str, Any]]) -> list[float]:
        """Predictions in the order of the rows."""
        return list(self._model.predict_rows(rows))

"""One version in memory: the packaged model as its artifact brings it, and what it refuses."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from include.registry.deployed import DeployedVersion
from include.serving.past_file import groups_of
from include.serving.protocols.calls import Call
from include.serving.request_log.records import Shape, problem
from include.serving.validation import RequestRefused

INLINE_ROWS = 16
MOST_INLINE_ROWS = 256
_INLINE_SECONDS = 0.004
"""Below the time for which Python lets a thread hold its lock: beside the loop such a request holds it up as long."""
_FIRST_ROW_SECONDS = 1e-5
_SLOW_SECONDS = 0.005
_PENALTY, _TOO_SLOW, _WORST = 5, 15, 50
_log = logging.getLogger(__name__)


class ModelFailed(Exception):
    """The model failed on rows that are well-formed: a defect of the version, not of the request."""


class LoadedModel:
    """A version that can answer.

    :param deployed: what it is.
    :param packaged: the artifact's own ``TabularModel``.
    """

    __slots__ = (
        "_heads", "_is_compiled", "_row_seconds", "_slowness", "classes", "columns", "deployed", "entity", "fields",
        "history", "inline_rows", "packaged", "shape", "used_at",
    )  # fmt: skip

    def __init__(self, deployed: DeployedVersion, packaged: Any) -> None:
        self.deployed = deployed
        self.packaged = packaged
        self.shape = Shape.of(deployed.model, deployed.version, packaged.description)
        """How its requests are logged."""
        self.columns: dict[str, str] = dict(packaged.columns)
        """Input columns and their types."""
        self.entity: dict[str, str] = dict(self.shape.entity)
        """Entity columns and their types, in order."""
        self.fields: dict[str, str] = {**self.columns, **self.entity}
        """Everything that a row may have."""
        self.history = groups_of(packaged.description)
        """Groups of the past that it reads."""
        self.classes = self.shape.classes
        """The classes whose probabilities its answers hold, in order; none if an answer is one number."""
        self._is_compiled = bool((packaged.description.get("compiled") or {}).get("admitted"))
        self._slowness = 0
        self._row_seconds = _FIRST_ROW_SECONDS
        self._heads: dict[str, list[tuple[bytes, bytes]]] = {}
        self.inline_rows = self._inline()
        """Most rows that it answers so fast that no other request notices."""
        self.used_at = 0.0
        """When it was last asked, on the monotonic clock."""

    @property
    def trainer(self) -> str:
        """The kind of trainer that it is of."""
        return str((self.packaged.description.get("estimator") or {}).get("kind", "xgboost"))

    def head(self, role: str) -> list[tuple[bytes, bytes]]:
        """The headers of an answer that say who gave it."""
        found = self._heads.get(role)
        if found is None:
            version = str(self.deployed.version).encode()
            found = self._heads[role] = [(b"x-noria-version", version), (b"x-noria-role", role.encode())]
        return found

    def note(self, now: float, seconds: float, worked: float, count: int) -> None:
        """It answered; a version that is slow again and again is no longer asked on the event loop.

        How many rows it answers there follows from what a row of a larger request costs, moved by an eighth each time.
        That is counted in processor time: beside the event loop a thread also waits for the others, and would be told
        the longer, the more are kept from the loop.

        :param now: the monotonic clock.
        :param seconds: how long it took for ``count`` rows.
        :param worked: processor seconds of its thread for them; not read for up to :data:`INLINE_ROWS`.
        """
        self.used_at = now
        if count > INLINE_ROWS:
            if self._is_compiled and count <= MOST_INLINE_ROWS:
                self._row_seconds += (worked / count - self._row_seconds) / 8
                self.inline_rows = self._inline()
            return
        if seconds > _SLOW_SECONDS:
            self._slowness = min(self._slowness + _PENALTY, _WORST)
        elif self._slowness:
            self._slowness -= 1
        else:
            return
        self.inline_rows = self._inline()

    def _inline(self) -> int:
        if not self._is_compiled or self._slowness >= _TOO_SLOW:
            return 0
        return max(INLINE_ROWS, min(MOST_INLINE_ROWS, int(_INLINE_SECONDS / self._row_seconds)))

    def predict(self, call: Call) -> list[Any]:
        """Predictions in the order of the rows: numbers, or of several classes the lists of their probabilities.

        :raises RequestRefused: 422 that names row and field of what the model cannot read.
        :raises ModelFailed: the model itself failed.
        """
        found: list[Any] = self.guarded(call, lambda: self._predict(call))
        return found

    def guarded(self, call: Call, work: Callable[[], Any]) -> Any:
        """Let the packaged model work on a call's rows, and sort out whose fault it is if it fails.

        :raises RequestRefused: the request's.
        :raises ModelFailed: the model's.
        """
        try:
            return work()
        except self.packaged.InputError as error:
            raise RequestRefused(422, error.problem, field=error.field, row=error.row) from None
        except Exception as error:
            raise self._refusal(call, error) from error

    def _predict(self, call: Call) -> list[Any]:
        if call.rows is not None:
            predictions = self.packaged.predict_rows(call.rows)
        elif hasattr(self.packaged, "predict_columns"):
            predictions = self.packaged.predict_columns(call.columns)
        else:
            predictions = self.packaged.predict_rows(call.as_rows())
        if self.classes and not isinstance(predictions, list):
            import numpy as np  # not before there is a model: whoever only starts the server needs it not

            predictions = np.asarray(predictions, dtype=np.float64).tolist()
        answers = predictions if isinstance(predictions, list) else [float(value) for value in predictions]
        if len(answers) != call.count:
            raise ValueError(f"it gave {len(answers)} predictions for {call.count} rows")
        return answers

    def check_finite(self, predictions: Sequence[Any]) -> None:
        """Let nothing but numbers pass.

        :raises ModelFailed: a prediction is no number, or not finite.
        """
        for row, value in enumerate(predictions):
            numbers = value if self.classes and isinstance(value, list) else [value]
            whole = len(numbers) == (len(self.classes) or 1)
            if not whole or any(type(number) is not float or not math.isfinite(number) for number in numbers):
                raise ModelFailed(f"{self.deployed.model} version {self.deployed.version}: row {row} got {value!r}")

    def _refusal(self, call: Call, error: Exception) -> Exception:
        """Values that SQL cannot compute with (such as an overflow) are the request's fault; the rest is ours."""
        import duckdb

        of_values = duckdb.DataError | duckdb.InvalidInputException | duckdb.OperationalError | duckdb.NotSupportedError
        if not isinstance(error, of_values):
            words = problem(f"{type(error).__name__}: {error}", self.shape)
            return ModelFailed(f"{self.deployed.model} version {self.deployed.version}: {words}")
        words = " ".join(str(error).split("\n")[0].split())[:200]
        return RequestRefused(422, f"The features cannot be computed: {words}", row=self._failing_row(call))

    def _failing_row(self, call: Call) -> int | None:
        """The first row that cannot be computed, found by halves; None if the rows can when they are asked again."""
        if self._answers(call):
            return None
        low, high = 0, call.count
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._answers(call.slice(low, middle)) else (low, middle)
        return low

    def _answers(self, call: Call) -> bool:
        try:
            self._predict(call)
        except Exception:  # noqa: BLE001 - looking for the row that fails, however it does
            return False
        return True


def load_packaged(directory: Path) -> Any:
    """The packaged model's object, from code and files of the artifact; nothing of our source tree takes part."""
    from include.training.package import open_package

    return open_package(directory)

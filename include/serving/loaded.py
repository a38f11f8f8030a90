"""One version in memory: the packaged model as its artifact brings it, and what it refuses."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.registry.deployed import DeployedVersion
from include.serving.validation import RequestRefused, Row

_log = logging.getLogger(__name__)


class ModelFailed(Exception):
    """The model failed on rows that are well-formed: a defect of the version, not of the request."""


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A version that can answer.

    :param deployed: what it is.
    :param packaged: the artifact's own ``TabularModel``.
    """

    deployed: DeployedVersion
    packaged: Any

    @property
    def columns(self) -> dict[str, str]:
        """Input columns and their types."""
        return dict(self.packaged.columns)

    def predict(self, rows: list[Row]) -> list[float]:
        """Predictions in the order of the rows.

        :raises RequestRefused: 422 that names row and field of what the model cannot read.
        :raises ModelFailed: the model itself failed.
        """
        try:
            return list(self.packaged.predict_rows(rows))
        except self.packaged.InputError as error:
            raise RequestRefused(422, error.problem, field=error.field, row=error.row) from None
        except Exception as error:
            raise self._refusal(rows, error) from error

    def _refusal(self, rows: list[Row], error: Exception) -> Exception:
        """Values that SQL cannot compute with (such as an overflow) are the request's fault; the rest is ours."""
        import duckdb

        if not isinstance(error, duckdb.DataError | duckdb.OperationalError | duckdb.NotSupportedError):
            return ModelFailed(
                f"{self.deployed.model} version {self.deployed.version}: {type(error).__name__}: {error}"
            )
        words = " ".join(str(error).split("\n")[0].split())[:200]
        return RequestRefused(422, f"The features cannot be computed: {words}", row=self._failing_row(rows))

    def _failing_row(self, rows: list[Row]) -> int | None:
        for number, row in enumerate(rows[:1000]):
            try:
                self.packaged.predict_rows([row])
            except Exception:  # noqa: BLE001 - looking for the row that fails, however it does
                return number
        return None


def load_packaged(directory: Path) -> Any:
    """The packaged model's object, from code and files of the artifact; nothing of our source tree takes part."""
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(directory)).unwrap_python_model()

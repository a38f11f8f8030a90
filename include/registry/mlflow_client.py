"""MLflow as Noria uses it: one place that sets the address, short waits, and no telemetry."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from include.errors import TryAgain
from include.settings import Settings

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}


class TrackingAway(TryAgain):
    """MLflow cannot be reached or failed to answer."""

    def __init__(self, doing: str, problem: str) -> None:
        self.doing = doing
        self.problem = problem
        super().__init__(
            f"MLflow did not answer while {doing}: {problem}. Is it running (`make status`), and is "
            "NORIA_TRACKING_URL right?"
        )


def connect(settings: Settings) -> MlflowClient:
    """A client for the tracking server; also makes it the process's own, for ``mlflow.log_*`` and downloads.

    Nothing is sent yet. Waits are short (30 s for an answer, two more tries) and telemetry is off; values that the
    environment already has are kept.
    """
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    import mlflow
    from mlflow.tracking import MlflowClient

    mlflow.set_tracking_uri(settings.tracking_url)
    mlflow.set_registry_uri(settings.tracking_url)
    return MlflowClient(settings.tracking_url, settings.tracking_url)


def summary(error: BaseException) -> str:
    """One line of an error of MLflow, short enough for a message."""
    return " ".join(str(error).split())[:300].rstrip(". ") or type(error).__name__

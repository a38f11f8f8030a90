"""One training as an MLflow run: found again by its fingerprint, and taken as finished only when it says so last."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from include.errors import TryAgain
from include.spec.definition import Definition
from include.training.package import LoggedPackage, log_package

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

COMPLETE: Final = "noria.complete"
FINGERPRINT: Final = "noria.fingerprint"
_ENVIRONMENT: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "GIT_PYTHON_REFRESH": "quiet",
}
_METRICS_AT_ONCE: Final = 1000
_PASSING: Final = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")


class TrackingAway(TryAgain):
    """MLflow cannot be reached, or broke while it was used."""

    def __init__(self, doing: str, problem: object) -> None:
        super().__init__(
            f"MLflow did not answer while {doing}: {' '.join(str(problem).split())[:300]}. Is it running "
            "(`make status`), and is NORIA_TRACKING_URL right?"
        )
        self.doing = doing


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run that was logged to its end.

    :param tags: its tags; those that begin with ``noria.`` say what the step returns.
    """

    run_id: str
    experiment_id: str
    tags: Mapping[str, str]


class Tracker:
    """MLflow at an address, as training uses it; setting it up turns telemetry and progress bars off."""

    def __init__(self, tracking_url: str) -> None:
        for key, value in _ENVIRONMENT.items():
            os.environ.setdefault(key, value)
        import mlflow
        from mlflow.tracking import MlflowClient

        for noisy in ("mlflow.utils.environment", "mlflow.pyfunc", "mlflow.store.db.utils", "alembic"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        mlflow.set_tracking_uri(tracking_url)
        mlflow.set_registry_uri(tracking_url)
        self.url = tracking_url
        self.client: MlflowClient = MlflowClient(tracking_url, tracking_url)

    def experiment(self, model: str) -> str:
        """Id of the model's experiment, made if needed (two steps may do so at once)."""
        from mlflow.exceptions import MlflowException

        with self.reached("looking for the experiment"):
            found = self.client.get_experiment_by_name(model)
            if found is None:
                try:
                    return str(self.client.create_experiment(model))
                except MlflowException as error:
                    found = self.client.get_experiment_by_name(model)
                    if found is None:
                        raise error
            return str(found.experiment_id)

    def find_finished(self, model: str, fingerprint: str) -> FinishedRun | None:
        """The newest run with this fingerprint that was logged to its end, or None."""
        experiment = self.experiment(model)
        query = (
            f"tags.`{FINGERPRINT}` = '{fingerprint}' and tags.`{COMPLETE}` = 'true' and attributes.status = 'FINISHED'"
        )
        with self.reached("looking for a finished run"):
            runs = self.client.search_runs([experiment], query, max_results=1, order_by=["attributes.start_time DESC"])
        return _finished(runs[0]) if runs else None

    @contextmanager
    def run(self, definition: Definition, tags: Mapping[str, str]) -> Iterator[RunLog]:
        """A new run; finished (and marked as complete) if the block ends well, failed if it does not."""
        import mlflow

        experiment = self.experiment(definition.model)
        name = {"mlflow.runName": f"{definition.model} {tags.get('noria.as_of', '')}".strip()}
        with self.reached("starting the run"):
            run = self.client.create_run(experiment, tags={**tags, **name})
        log = RunLog(self, run)
        try:
            with self.reached("logging the run"):
                mlflow.start_run(run_id=run.info.run_id)
                yield log
                self.client.set_tag(run.info.run_id, COMPLETE, "true")
                mlflow.end_run("FINISHED")
        except BaseException:
            self._fail(run)
            raise

    def _fail(self, run: Run) -> None:
        """Say that the run failed, if MLflow still listens; if not, it stays unfinished, which is as good."""
        import mlflow

        try:
            mlflow.end_run("FAILED")
        except Exception as error:  # noqa: BLE001 - the first error is the one to tell
            logging.getLogger(__name__).warning("Run %s could not be marked as failed: %s", run.info.run_id, error)

    @contextmanager
    def reached(self, doing: str) -> Iterator[None]:
        """Turn a failure to reach MLflow into one that is tried again."""
        import requests
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            if error.error_code in _PASSING:
                raise TrackingAway(doing, error) from error
            raise
        except (requests.RequestException, ConnectionError) as error:
            raise TrackingAway(doing, error) from error

    def run_by_id(self, run_id: str) -> FinishedRun | None:
        """The run, if it is there and was logged to its end."""
        from mlflow.exceptions import MlflowException

        try:
            with self.reached("looking for a run"):
                run = self.client.get_run(run_id)
        except MlflowException:
            return None
        done = run.info.status == "FINISHED" and run.data.tags.get(COMPLETE) == "true"
        return _finished(run) if done else None

    def download_model(self, model_uri: str, folder: Path) -> Path:
        """A logged model's files below ``folder``."""
        import mlflow.artifacts

        with self.reached("downloading the model"):
            return Path(mlflow.artifacts.download_artifacts(model_uri, dst_path=str(folder)))

    def download(self, run_id: str, path: str, folder: Path) -> Path:
        """A run's artifact as a local file below ``folder``."""
        with self.reached(f"downloading {path}"):
            return Path(self.client.download_artifacts(run_id, path, str(folder)))


class RunLog:
    """What is logged into one run."""

    def __init__(self, tracker: Tracker, run: Run) -> None:
        self._client = tracker.client
        self.run_id = str(run.info.run_id)
        self.experiment_id = str(run.info.experiment_id)

    def parameters(self, values: Mapping[str, Any]) -> None:
        """Parameters of the run."""
        from mlflow.entities import Param

        self._client.log_batch(self.run_id, params=[Param(key, str(value)) for key, value in values.items()])

    def metrics(self, values: Mapping[str, float], curves: Mapping[str, Mapping[str, list[float]]]) -> None:
        """Single values, and a curve for each part and metric: one value for each round, counted from 1."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        metrics = [Metric(key, float(value), now, 0) for key, value in values.items()]
        for part, by_metric in curves.items():
            for metric, curve in by_metric.items():
                metrics += [Metric(f"{part}_{metric}", value, now, step) for step, value in enumerate(curve, 1)]
        for start in range(0, len(metrics), _METRICS_AT_ONCE):
            self._client.log_batch(self.run_id, metrics=metrics[start : start + _METRICS_AT_ONCE])

    def dataset(self, name: str, digest: str, source: str, profile: str) -> None:
        """The training set as the run's dataset.

        :param digest: at most 36 characters.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(name=name, digest=digest, source_type="noria", source=source, profile=profile)
        self._client.log_inputs(self.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])

    def texts(self, files: Mapping[str, str]) -> None:
        """Text artifacts by path."""
        for path, text in files.items():
            self._client.log_text(self.run_id, text, path)

    def file(self, local: Path, folder: str) -> None:
        """A file as an artifact below ``folder``."""
        self._client.log_artifact(self.run_id, str(local), folder)

    def model(self, directory: Path, example: pd.DataFrame, needs: Sequence[str]) -> LoggedPackage:
        """The packaged model.

        :param needs: packages that its estimator needs besides those of every model.
        """
        return log_package(directory, example=example, run_id=self.run_id, needs=needs)

    def tags(self, values: Mapping[str, str]) -> None:
        """Tags of the run."""
        for key, value in values.items():
            self._client.set_tag(self.run_id, key, value)


def _finished(run: Run) -> FinishedRun:
    return FinishedRun(run_id=str(run.info.run_id), experiment_id=str(run.info.experiment_id), tags=dict(run.data.tags))

"""What the server counts, for Prometheus: one place of names; all workers' numbers come together in ``/metrics``.

The workers write into memory-mapped files of the folder ``PROMETHEUS_MULTIPROC_DIR``, which the supervisor makes before
this module is imported; without it (a server in a thread) the numbers are this process's own. An observation costs some
microseconds since the series of a version are looked up once.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any, Final, Literal

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
Outcome = Literal["answered", "refused", "failed"]

_SECONDS: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
)  # fmt: skip
_own = CollectorRegistry()

REQUESTS: Final = Counter(
    "noria_requests",
    "Predictions that reached a version, by what became of them: answered, refused (4xx), failed (5xx).",
    ("model", "version", "role", "outcome"),
    registry=_own,
)
SECONDS: Final = Histogram(
    "noria_request_seconds",
    "From the last byte of a request to its predictions.",
    ("model", "version", "role"),
    buckets=_SECONDS,
    registry=_own,
)
REFUSED: Final = Counter("noria_refused", "Requests that were refused, by status.", ("model", "status"), registry=_own)
MODEL_ERRORS: Final = Counter(
    "noria_model_errors", "Well-formed requests on which a version failed.", ("model", "version"), registry=_own
)
SHADOW_QUEUED: Final = Counter(
    "noria_shadow_queued", "Requests handed over for scoring by the other version.", ("model",), registry=_own
)
SHADOW_DROPPED: Final = Counter(
    "noria_shadow_dropped",
    "Requests that were not: the queue was full, or enough are scored.",
    ("model",),
    registry=_own,
)
LOG_BYTES: Final = Counter("noria_log_bytes", "Bytes written to the request log.", registry=_own)
LOG_ERRORS: Final = Counter("noria_log_errors", "Requests that were answered but could not be logged.", registry=_own)
SHADOW_SCORED: Final = Counter(
    "noria_shadow_scored", "Rows scored by the version that did not answer them.", ("model",), registry=_own
)
SHADOW_SKIPPED: Final = Counter(
    "noria_shadow_skipped",
    "Requests that the other version could not score: not in memory, or a column is missing that it asks for.",
    ("model",),
    registry=_own,
)
SHADOW_DEPTH: Final = Gauge(
    "noria_shadow_queue_depth",
    "Requests that wait for being scored.",
    ("model",),
    registry=_own,
    multiprocess_mode="livesum",
)
LOG_LAG: Final = Gauge(
    "noria_log_lag_seconds",
    "Age of the oldest logged request that is in no table yet; 0 if all are.",
    registry=_own,
    multiprocess_mode="livemax",
)
BACKGROUND_FAILING: Final = Gauge(
    "noria_background_failing",
    "1 while the newest try of a work of the background process has failed, 0 once it succeeds again.",
    ("work",),
    registry=_own,
    multiprocess_mode="livemax",
)
FEEDBACK: Final = Counter("noria_feedback", "Labels received, by outcome.", ("model", "outcome"), registry=_own)
MODEL_AGE: Final = Gauge(
    "noria_model_age_seconds",
    "Time from the instant as of which the champion was trained to now.",
    ("model",),
    registry=_own,
    multiprocess_mode="livemax",
)
STATE_AGE: Final = Gauge(
    "noria_state_age_seconds",
    "Time since the deployment state was last read from the database.",
    registry=_own,
    multiprocess_mode="livemax",
)
HISTORY_AGE: Final = Gauge(
    "noria_history_age_seconds",
    "Time since the end of the newest partition that values of the past are here for; 0 while they are up to date.",
    ("model", "group"),
    registry=_own,
    multiprocess_mode="livemax",
)
HISTORY_ROWS: Final = Counter(
    "noria_history_rows",
    "Rows that values of the past were looked up for: of their own partition, or of an older or newer one.",
    ("model", "group", "partition"),
    registry=_own,
)
MODELS_LOADED: Final = Gauge(
    "noria_models_loaded", "Versions in memory of all processes.", registry=_own, multiprocess_mode="livesum"
)


class Series:
    """The series of one version in one role, ready to be counted on."""

    __slots__ = ("_answered", "_failed", "_model", "_refused", "_seconds", "_version")

    def __init__(self, model: str, version: int, role: str) -> None:
        self._model, self._version = model, str(version)
        labels = (model, self._version, role)
        self._answered = REQUESTS.labels(*labels, "answered")
        self._refused = REQUESTS.labels(*labels, "refused")
        self._failed = REQUESTS.labels(*labels, "failed")
        self._seconds = SECONDS.labels(*labels)

    def answered(self, seconds: float) -> None:
        """A request was answered."""
        self._answered.inc()
        self._seconds.observe(seconds)

    def refused(self) -> None:
        """The version could not read the request."""
        self._refused.inc()

    def failed(self) -> None:
        """The version failed on a well-formed request."""
        self._failed.inc()
        MODEL_ERRORS.labels(self._model, self._version).inc()


@lru_cache(maxsize=4096)
def series(model: str, version: int, role: str) -> Series:
    """The series of a version in a role."""
    return Series(model, version, role)


def refused(model: str, status: int) -> None:
    """Count a refusal; ``model`` is empty for a name that is not deployed."""
    REFUSED.labels(model, str(status)).inc()


def paired(model: str, queued: int, dropped: int) -> None:
    """Count requests that were to be scored by the other version too."""
    SHADOW_QUEUED.labels(model).inc(queued)
    SHADOW_DROPPED.labels(model).inc(dropped)


def page() -> bytes:
    """Everything in Prometheus' text format, summed over all processes of this server."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        return bytes(generate_latest(_own))
    registry: Any = CollectorRegistry()
    MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
    return bytes(generate_latest(registry))

"""What keeps the libraries of a step quiet and its threads bounded, wherever it runs and whoever starts it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

QUIET: Final[Mapping[str, str]] = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "true",
    "OMP_WAIT_POLICY": "PASSIVE",  # waiting threads must not spin: the step may share its cores
}
THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_MAX_THREADS")


def quiet_environment(threads: int) -> dict[str, str]:
    """Variables for a process that has not yet imported the libraries: they look when they are imported.

    :param threads: CPU threads that each of them may use.
    """
    return {**QUIET, **dict.fromkeys(THREADS, str(threads))}

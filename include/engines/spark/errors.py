"""What goes wrong with Spark, and errors of the work itself, on their way from an executor to the step."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import xgboost

from include.errors import NoriaError, Refused, TryAgain

#: Errors of the work that are brought back as they are; any other is a defect, or the executor's.
_CARRIED: Final = (NoriaError, OSError, xgboost.core.XGBoostError)
_LONGEST: Final = 500


class EngineMissing(Refused):
    """The engine is not installed here; carries what is missing."""

    def __init__(self, missing: str) -> None:
        self.missing = missing
        super().__init__(
            f"engine: spark needs {missing}, which is not here. On this machine `make spark` installs it; in "
            "Kubernetes give prepare, assemble and train the image noria-steps-spark (pods.steps.<step>.image)."
        )


class SparkFailed(TryAgain):
    """Spark could not do the work: an executor was lost too often, or there was none."""

    def __init__(self, what: str, cause: str) -> None:
        self.cause = cause
        super().__init__(
            f"Spark could not {what}: {cause[:_LONGEST]}. The executors' own logs say more; if they ran out of memory, "
            "raise engine.memory or engine.executors."
        )


@dataclass(frozen=True)
class Outcome:
    """What an item's work gave, or the error that it raised: type, arguments as Exception has them, attributes."""

    result: Any = None
    error: tuple[type[BaseException], tuple[Any, ...], dict[str, Any]] | None = None

    @classmethod
    def of(cls, work: Callable[[], Any]) -> Outcome:
        """Do the work."""
        try:
            return cls(result=work())
        except _CARRIED as error:
            return cls(error=(type(error), error.args, dict(vars(error))))

    def get(self) -> Any:
        """The result.

        :raises Exception: what the work has raised.
        """
        if self.error is None:
            return self.result
        kind, arguments, attributes = self.error
        if issubclass(kind, OSError):
            raise kind(*arguments)
        # Not by its constructor, which takes the values that its message is made of.
        error = kind.__new__(kind)
        error.args = arguments
        vars(error).update(attributes)
        raise error


def cause_of(error: BaseException) -> str:
    """The one line of an error from Spark's side of the bridge that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "Error" in line or "Exception" in line or "lost" in line or "Reason" in line]
    chosen = next((line for line in told if "Py4JJavaError" not in line and "Traceback" not in line), None)
    if chosen:
        return re.sub(r"^[: ]*([a-z]+\.)+\w+: ", "", chosen)  # the name of Java's class
    return lines[0] if lines else type(error).__name__

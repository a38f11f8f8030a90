"""The kinds of failure that the exit-code contract knows, as exception types.

A step raises one of these; ``include.steps`` turns it into an exit code, and Airflow turns that into a task state.
Anything else that escapes a step is a defect: it ends with exit code 1 and is retried as Airflow is told to.
"""

from __future__ import annotations

from typing import ClassVar


class NoriaError(Exception):
    """Base of every error with a message meant for a person: what happened, where, and what to do next."""

    exit_code: ClassVar[int] = 1


class Refused(NoriaError):
    """A gate, a check or a rule refused the input. Trying again without a change cannot help: never retried."""

    exit_code: ClassVar[int] = 10


class NothingToDo(NoriaError):
    """There is nothing to do here; the task is skipped, and that is not a failure."""

    exit_code: ClassVar[int] = 20


class TryAgain(NoriaError):
    """Something outside is not ready yet or broke for a moment; the same call may succeed later."""

    exit_code: ClassVar[int] = 30

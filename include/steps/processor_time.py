"""Counts the processor time of a step's process and of the children that it has waited for."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from include.settings import Settings

SECONDS: Final = 60.0
"""How often a step that takes long says what it has taken: more than this is never lost when it is killed."""

log = logging.getLogger("noria.steps")


class Meter:
    """Adds the processor time of this process to the costs of a model's step.

    :param settings: where the database is.
    :param model: whose step it is.
    :param step: name of the step.
    """

    def __init__(self, settings: Settings, model: str, step: str) -> None:
        self._settings, self._model, self._step = settings, model, step
        self._told = 0.0
        self._tries = 1

    def tell(self) -> None:
        """Add what has come since the last time; what cannot be told now is told the next time."""
        from include.registry.step_costs import add_cost

        taken = processor_seconds()
        spent = taken - self._told
        add_cost(self._settings, model=self._model, step=self._step, cpu_seconds=spent, tries=self._tries)
        self._told, self._tries = taken, 0


def processor_seconds() -> float:
    """Of this process since it began, user and system, and of its ended children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@contextmanager
def metered(settings: Settings, model: str, step: str, *, every: float = SECONDS) -> Iterator[None]:
    """Count a step while it works: every minute, and at its end, however that is, unless it is killed.

    Nothing that goes wrong with it harms the step: a time that cannot be kept is told in the log and left out.
    """
    meter = Meter(settings, model, step)
    ended = threading.Event()
    thread = threading.Thread(target=_tell_again, args=(meter, ended, every), name="processor-time", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        try:
            meter.tell()
        except Exception as error:  # noqa: BLE001 - what it costs is worth knowing, and not worth the step
            log.warning("what the rest of this try of %s has cost is not counted: %s", step, error)


def _tell_again(meter: Meter, ended: threading.Event, every: float) -> None:
    while not ended.wait(every):
        try:
            meter.tell()
        except Exception as error:  # noqa: BLE001 - the same
            log.debug("what the step has cost until now is told later: %s", error)

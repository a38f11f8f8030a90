"""The process that starts again what ends by itself in the local stack, as Kubernetes and Docker do in theirs.

``python -m include.stack.supervisor``; ``make up`` starts it with the services and ``make down`` ends it with them.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from collections.abc import Callable
from typing import Final

from include.errors import NoriaError
from include.settings import Settings
from include.stack.environment import Stack
from include.stack.instance import load_instance
from include.stack.lifecycle import only_one, start_again, stop_orphans
from include.stack.processes import is_alive
from include.stack.services import SUPERVISOR, services

_TICK: Final = 1.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_LONG_LIFE: Final = 60.0
_POSTGRES: Final = "postgres"
_log = logging.getLogger(__name__)


class Backoff:
    """When what keeps ending is started again: at once, then after pauses that double from a second to a minute.

    What has lasted a minute longer than its pause begins anew.

    :param clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._starts: dict[str, tuple[float, float]] = {}

    def allows(self, name: str) -> bool:
        """Whether it may be started now, which is then taken for a start."""
        now = self._clock()
        last, pause = self._starts.get(name, (-math.inf, 0.0))
        if now < last + pause:
            return False
        lasted = now - last >= pause + _LONG_LIFE
        self._starts[name] = (now, _FIRST_PAUSE if lasted else min(2 * pause, _LONGEST_PAUSE))
        return True


class Supervisor:
    """Looks after the stack of a home.

    :param settings: says where the stack is.
    :param me: the process that is remembered as the stack's supervisor; another one's stack is left alone.
    """

    def __init__(self, settings: Settings, me: int) -> None:
        self._settings = settings
        self._me = me
        self._backoff = Backoff()

    def look(self) -> bool:
        """Start what has ended; False once there is no stack to look after any more.

        Whoever starts or stops the stack at this moment is left alone with it.
        """
        if load_instance(self._settings.home) is None:  # before the lock, which would make a deleted home anew
            return False
        with only_one(self._settings.home, wait=False) as mine:
            instance = load_instance(self._settings.home) if mine else None
            if instance is None:
                return True
            own = instance.processes.get(SUPERVISOR)
            if own is None or own.pid != self._me:
                return False
            try:
                self._mend(Stack.of(self._settings, instance))
            except NoriaError as error:
                _log.error("%s", error)
            except Exception:  # noqa: BLE001 - who mends others must not die of what they died of
                _log.exception("The stack could not be looked after")
        return True

    def _mend(self, stack: Stack) -> None:
        condition = stack.postgres.condition()
        if condition == "died" and self._backoff.allows(_POSTGRES):
            _log.warning("PostgreSQL has ended and is started again")
            stack.postgres.start()
        elif condition != "running":
            return  # Who stopped it starts it; without it nothing else would start.
        stop_orphans(stack)
        ended = {name: process for name, process in stack.instance.processes.items() if not is_alive(process)}
        for service in services(stack) if ended else []:
            before = ended.get(service.name)
            if before is not None and self._backoff.allows(service.name):
                _log.warning("%s has ended and is started again; its log: %s", service.name, service.log)
                stack = start_again(stack, service, again=before.again + 1)


def main() -> int:
    """Look after the stack of ``NORIA_HOME`` until it is stopped."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    supervisor = Supervisor(Settings.from_environment(), os.getpid())
    while supervisor.look():
        time.sleep(_TICK)
    return 0


if __name__ == "__main__":
    sys.exit(main())

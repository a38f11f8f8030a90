"""How test files are given to pytest-xdist's workers, so that a run goes on when one of them dies."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import Scheduling
    from xdist.workermanage import WorkerController


class FilesForWorkers(LoadFileScheduling):
    """``--dist loadfile`` that ends when a worker has died.

    pytest-xdist 3.8.0 gives out again what the dead worker had finished; who gets such a file, with no test left, waits
    for ever (its issues 1323, 1327 and 1378). It also runs the test again that the worker died of, and so loses the
    next worker. When a later release with these mended is locked, this class goes.
    """

    def remove_node(self, node: WorkerController) -> str | None:
        """Give out what the worker left, without the test that it died of, which is returned.

        :raises KeyError: if the worker died before it was ready; pytest-xdist expects it.
        """
        workload = self.assigned_work.pop(node)
        left = {file: tests for file, tests in workload.items() if not all(tests.values())}
        if not left:
            return None
        tests = next(iter(left.values()))
        crashed = next(test for test, done in tests.items() if not done)
        tests[crashed] = True
        self.workqueue.update({file: tests for file, tests in left.items() if not all(tests.values())})
        for other in self.nodes:
            self._reschedule(other)
        return crashed

    def _reschedule(self, node: WorkerController) -> None:
        """A worker starts a test when it knows which one is next, so one test alone would wait."""
        if node not in self.registered_collections:
            return  # it replaces another one, and is still collecting
        super()._reschedule(node)
        while self.workqueue and not node.shutting_down and self._pending_of(self.assigned_work[node]) < 2:
            self._assign_work_unit(node)

    def _assign_work_unit(self, node: WorkerController) -> None:
        """Give a worker a file. What one is given that has just died, is given out again when its end is known."""
        with suppress(OSError):
            super()._assign_work_unit(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Take the place of pytest-xdist's own ``loadfile``."""
    return FilesForWorkers(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str, sched: Scheduling) -> None:
    """Name at once the test that a worker died of: a run may be cut off before its summary."""
    terminal = sched.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        terminal.write_line(f"\nA worker died while it ran {crashitem}")

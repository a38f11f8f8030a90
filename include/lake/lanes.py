"""Work beside the caller on a few threads: in the order given within a lane, and little of it waiting."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore
from types import TracebackType
from typing import Final, Self, TypeVar

_LANES: Final = 2
#: Pieces of work that may wait or run at once: enough to keep every lane busy, few enough to bound memory.
_WAITING: Final = 6

Result = TypeVar("Result")


class Lanes:
    """A context: at its end all work is done, or, if the body has raised, what has not begun is given up.

    The first error of any piece of work is raised by the next :meth:`run`, or at the context's end.
    """

    def __init__(self) -> None:
        self._lanes = [ThreadPoolExecutor(1, thread_name_prefix=f"lane-{number}") for number in range(_LANES)]
        self._free = BoundedSemaphore(_WAITING)
        self._error: BaseException | None = None

    def run(self, lane: int, work: Callable[[], Result]) -> Future[Result]:
        """Have work done after all earlier work of the same lane; waits while too much is waiting.

        :param lane: any number; what has the same one keeps its order.
        """
        self._raise()
        self._free.acquire()
        future = self._lanes[lane % _LANES].submit(work)
        future.add_done_callback(self._done)
        return future

    def _done(self, future: Future[Result]) -> None:
        if not future.cancelled() and self._error is None:
            self._error = future.exception()
        self._free.release()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for lane in self._lanes:
            lane.shutdown(wait=True, cancel_futures=error is not None)
        if error is None:
            self._raise()

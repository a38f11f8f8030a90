"""Who does the same work for many items: threads of this process here, other machines by an engine."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

from include.settings import Settings

Item = TypeVar("Item")
Result = TypeVar("Result")
Item_contra = TypeVar("Item_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)


class Work(Protocol[Item_contra, Result_co]):
    """What is done for an item: a data class that can be sent, with the settings that it works with."""

    @property
    def settings(self) -> Settings:
        """Where things are; on other machines without what only this one may know."""
        ...

    def __call__(self, item: Item_contra, /) -> Result_co:
        """Do it."""
        ...


class Workers(Protocol):
    """They may be other processes, so work, items and results must be such as can be sent: plain data."""

    @property
    def threads(self) -> int:
        """That the work for one item may use."""
        ...

    @property
    def memory(self) -> str:
        """DuckDB's in the work for one item, such as ``512MiB``; what does not fit spills."""
        ...

    def map(self, work: Work[Item, Result], items: Sequence[Item]) -> list[Result]:
        """Do the work for every item; returns the results in the items' order.

        :raises NoriaError: the first that any work has raised.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class LocalWorkers:
    """Threads of this process.

    :param count: so many items are worked on at once.
    """

    count: int
    threads: int
    memory: str

    def map(self, work: Work[Item, Result], items: Sequence[Item]) -> list[Result]:
        """See :class:`Workers`."""
        if self.count == 1:
            return [work(item) for item in items]
        with ThreadPoolExecutor(self.count, thread_name_prefix="worker") as pool:
            return list(pool.map(work, items))

"""Which partitions of a source are the past of a partition: whole ones within the window that were known at its start.

So no row sees its own partition, or anything that was not in when its partition began; all rows of a partition with the
same key have the same past; and it is the same for a request of that time.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from datetime import UTC, datetime

from include.spec.histories import History
from include.spec.partitions import Partition, PartitionCalendar
from include.spec.windows import earlier


class HistoryWindows:
    """The past of partitions, of one group.

    :param history: the group.
    :param there: keys of the owner's partitions that are there.
    """

    def __init__(self, history: History, there: Iterable[str]) -> None:
        self._history = history
        self.calendar = PartitionCalendar.of(history.owner)
        tiles = sorted((self.calendar.from_key(key) for key in there), key=lambda tile: tile.start)
        self._keys = [tile.key for tile in tiles]
        self._starts = [tile.start.astimezone(UTC) for tile in tiles]
        self._ends = [tile.end.astimezone(UTC) for tile in tiles]

    def past_of(self, partition: Partition) -> list[str]:
        """Keys of the partitions that are its past, oldest first; those that are missing are not among them."""
        end = self.known_until(partition)
        start = earlier(self.calendar, end, self._history.over)
        first = bisect_left(self._starts, start.astimezone(UTC))
        return self._keys[first : max(first, bisect_right(self._ends, end.astimezone(UTC)))]

    def known_until(self, partition: Partition) -> datetime:
        """The end of the newest partition that could be known when this one begins."""
        return self.calendar.containing(earlier(self.calendar, partition.start, self._history.known_after)).start

    def answerable(self, *, before: int, ahead: int) -> list[Partition]:
        """The partitions around the newest that is there whose past is there as far as it ever can be, oldest first.

        :param before: how many up to the newest itself.
        :param ahead: how many after it, at most; a past that is known late is known for more than the next.
        """
        if not self._keys:
            return []
        newest = self.calendar.from_key(self._keys[-1])
        found = [newest]
        while len(found) < before:
            found.insert(0, self.calendar.before(found[0].start))
        following = self.calendar.containing(newest.end)
        for _ in range(ahead):
            if self.known_until(following) > newest.end:
                break
            found.append(following)
            following = self.calendar.containing(following.end)
        return found

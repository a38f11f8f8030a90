"""Child processes under a memory limit that the kernel enforces: a control group of their own.

The group lies inside this process's own, so that a child never gets more than this process may have. What a child maps
of files counts, too, and so do the pages of files that the kernel keeps for it, which it drops before it kills.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup/memory")
_JOIN: Final = 'echo $$ > "$0/cgroup.procs" && exec "$@"'


class NoLimit(SystemExit):
    """This machine does not let us limit the memory of a child."""

    def __init__(self, cause: str) -> None:
        super().__init__(
            f"No memory limit can be enforced here ({cause}). A writable memory controller of control groups (version "
            "1) is needed; nothing was measured, for without the limit a figure would prove nothing."
        )


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    :param code: exit code; -9 if the kernel killed it for its memory.
    :param resident: its highest resident memory in bytes: the kernel's own mark (VmHWM), last read 50 ms before its end
        at most. (``ru_maxrss`` would say the parent's from before the start, if that was more.)
    :param anonymous: the highest memory seen that is not of files, in bytes; looked at every 50 ms.
    :param read: bytes read by it, from disk or from the kernel's cache.
    """

    code: int
    seconds: float
    resident: int
    anonymous: int
    read: int


class MemoryGroup:
    """A control group with a limit."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self, command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path) -> Ended:
        """Run a command in the group; its output goes into ``log``."""
        began = time.monotonic()
        with log.open("w") as file:
            words = ["/bin/sh", "-c", _JOIN, str(self._folder), *command]
            child = subprocess.Popen(
                words, env=dict(environment), cwd=folder, stdout=file, stderr=file, stdin=subprocess.DEVNULL
            )
            anonymous = read = resident = 0
            try:
                while True:
                    pid, status = os.waitpid(child.pid, os.WNOHANG)
                    if pid:
                        break
                    anonymous = max(anonymous, self._anonymous())
                    read = _number(child.pid, "io", "rchar:") or read
                    resident = _number(child.pid, "status", "VmHWM:") * 1024 or resident
                    time.sleep(0.05)
            except BaseException:  # of this benchmark, such as its end: nothing of it goes on
                child.kill()
                child.wait()
                raise
        child.returncode = os.waitstatus_to_exitcode(status)
        return Ended(child.returncode, time.monotonic() - began, resident, anonymous, read)

    def _anonymous(self) -> int:
        found = re.search(r"^total_rss (\d+)$", (self._folder / "memory.stat").read_text(), re.MULTILINE)
        return int(found[1]) if found else 0


def _number(pid: int, file: str, name: str) -> int:
    """A number that the kernel says of a process; 0 if it has ended."""
    try:
        found = re.search(rf"^{name}\s*(\d+)", Path(f"/proc/{pid}/{file}").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0


@contextmanager
def memory_group(limit: int) -> Iterator[MemoryGroup]:
    """A group whose processes get so many bytes and no swap; it is removed at the end.

    :raises NoLimit: if that is not possible here.
    """
    own = re.search(r"^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)
    if own is None:
        raise NoLimit("there is no memory controller of version 1")
    parent = _ROOT / own[1].lstrip("/")
    folder = (parent if parent.is_dir() else _ROOT) / f"noria-bench-{uuid.uuid4().hex[:8]}"
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(limit))
    except OSError as error:
        raise NoLimit(str(error)) from error
    try:
        yield MemoryGroup(folder)
    finally:
        folder.rmdir()

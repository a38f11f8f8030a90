"""Landing a packaged data set as files: atomic, idempotent, the same bytes each time."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from include.errors import NoriaError
from include.lake.store import Store

if TYPE_CHECKING:
    import duckdb

_PREFIX: Final = ".landing-"


class DatasetMissing(NoriaError):
    """A package that ships a data set is not installed as it must be."""

    def __init__(self, package: str, file: str) -> None:
        self.package, self.file = package, file
        super().__init__(
            f"The file {file} of the package {package} is not there. Install the packages of requirements.lock "
            "(`make setup` does so), then try again."
        )


@dataclass(frozen=True)
class Landed:
    """What lies in the landing zone.

    :param files: number of files (or tables) of this data set.
    :param rows: number of rows in all of them.
    :param written: number of files that this call wrote; 0 if everything was already there.
    :param kind: files or tables.
    """

    files: int
    rows: int
    written: int
    kind: Literal["files", "tables"] = "files"

    def __str__(self) -> str:
        return f"{self.files:,} {self.kind if self.files > 1 else self.kind[:-1]}, {self.rows:,} rows"


@dataclass(frozen=True)
class Recipe:
    """What a landing was made with; another recipe writes all files anew.

    :param name: name of the data set.
    :param revision: raised when the code that makes the files changes what they hold.
    :param package: package that ships the data.
    :param distribution: its name when it is installed, if that is another than the one by which it is imported.
    """

    name: str
    revision: int
    package: str
    distribution: str | None = None

    def identity(self) -> dict[str, str | int]:
        """Everything that the files' bytes follow from."""
        distribution = self.distribution or self.package
        versions = {name: importlib.metadata.version(name) for name in (distribution, "duckdb")}
        return {"name": self.name, "revision": self.revision, **versions}


def package_file(package: str, relative: str) -> Path:
    """Path of a file inside an installed package, which is not imported.

    :raises DatasetMissing: if the package or the file is not there.
    """
    found = importlib.util.find_spec(package)
    for folder in (found.submodule_search_locations or []) if found else []:
        if (path := Path(folder) / relative).is_file():
            return path
    raise DatasetMissing(package, relative)


def landed_before(store: Store, folder: Path, recipe: Recipe) -> Landed | None:
    """What an earlier call landed by the same recipe, if all of its files are still there.

    A file that is there is left as it is: it may have been changed on purpose.
    """
    store.fetch(_note(folder, recipe))
    try:
        note = json.loads(_note(folder, recipe).read_text())
        there = set(store.find(folder, "*"))
        complete = note["recipe"] == recipe.identity() and all(folder / name in there for name in note["files"])
        return Landed(len(note["files"]), sum(note["files"].values()), 0) if complete else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def note_landed(store: Store, folder: Path, recipe: Recipe, files: Mapping[str, int]) -> Landed:
    """Record a complete landing: file names (relative to ``folder``) with their numbers of rows."""
    store.deliver(*(folder / name for name in files))
    document = {"recipe": recipe.identity(), "files": dict(sorted(files.items()))}
    with replacing(_note(folder, recipe)) as path:
        path.write_text(json.dumps(document, indent=1) + "\n")
    store.deliver(_note(folder, recipe))
    return Landed(len(files), sum(files.values()), len(files))


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A temporary path beside ``target`` that becomes ``target`` when the block ends well, and vanishes otherwise."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f"{_PREFIX}{uuid.uuid4().hex}"
    try:
        yield temporary
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def open_memory() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection of its own, on one thread so that files come out the same on every machine."""
    import duckdb

    with duckdb.connect(
        config={"threads": 1, "TimeZone": "UTC", "autoinstall_known_extensions": "false"}
    ) as connection:
        yield connection


def sql_text(value: object) -> str:
    """A value as an SQL string literal."""
    return "'" + str(value).replace("'", "''") + "'"


def _note(folder: Path, recipe: Recipe) -> Path:
    return folder / f".{recipe.name}.json"

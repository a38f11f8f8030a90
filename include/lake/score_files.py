"""Which files a scoring's ``path`` names: a pattern below the store or below the folder of the definition's source."""

from __future__ import annotations

import glob
import os
from pathlib import Path, PurePosixPath
from typing import Final

from include.errors import Refused
from include.lake.store import store_of
from include.settings import Settings
from include.spec.definition import Definition

MOST_FILES: Final = 10_000


class FilesOutside(Refused):
    """A path leads out of the folders that scoring may read."""

    def __init__(self, path: str, folders: list[str]) -> None:
        self.path = path
        allowed = " or ".join(folders)
        super().__init__(
            f"The path {path!r} does not lie below {allowed}. Put the files there, or write a path relative to the "
            "store, such as landing/new/*.parquet."
        )


class NoFiles(Refused):
    """The pattern names no file."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        super().__init__(
            f"There is no file {pattern}. Deliver it, or correct the path; * stands for any name, ** for any folders."
        )


class TooManyFiles(Refused):
    """The pattern names more files than one run takes."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        super().__init__(f"{pattern} names more than {MOST_FILES:,} files; score them in several runs.")


class NameUnreadable(Refused):
    """A file's name is not text, so nothing could say where its scores come from."""

    def __init__(self, file: Path) -> None:
        self.file = file
        shown = os.fsencode(file).decode(errors="backslashreplace")
        super().__init__(f"The name of the file {shown} is not UTF-8. Rename it, then score again.")


def find_files(settings: Settings, definition: Definition, path: str) -> list[Path]:
    """The files that a pattern names, sorted; hidden ones (``.name``, ``_name``) are left out.

    A link stands for the file behind it, and a file counts once, however many names lead to it.

    :param path: relative to the store or absolute, with ``*``, ``?``, ``[…]`` and ``**``.
    :returns: real paths, without links; of a bucket they are still to be fetched.
    :raises FilesOutside: if the pattern, or a file behind a link, lies outside the allowed folders.
    :raises NoFiles: if nothing matches.
    :raises TooManyFiles: if more match than one run takes.
    :raises NameUnreadable: if a name is not UTF-8.
    """
    store = store_of(settings)
    pattern = settings.store / store.place(path)
    folders = allowed_folders(settings, definition)
    if ".." in PurePosixPath(path).parts or "\0" in path or not _inside(_fixed_part(pattern), folders):
        raise FilesOutside(path, [store.shown(folder) for folder in folders])
    files = _matching(pattern) if settings.bucket is None else _matching_in_bucket(settings, pattern)
    if not files:
        raise NoFiles(store.shown(pattern))
    for file in files:
        if not _inside(file, folders):
            raise FilesOutside(str(file), [str(folder) for folder in folders])
        if not _is_text(file):
            raise NameUnreadable(file)
    return files


def _matching(pattern: Path) -> list[Path]:
    files: set[Path] = set()
    for name in glob.iglob(str(pattern), recursive=True):
        if _is_data(Path(name)):
            files.add(Path(name).resolve())
        if len(files) > MOST_FILES:
            raise TooManyFiles(str(pattern))
    return sorted(files)


def _matching_in_bucket(settings: Settings, pattern: Path) -> list[Path]:
    if not pattern.is_relative_to(settings.store):  # a file of this machine
        return _matching(pattern)
    found = store_of(settings).find(settings.store, pattern.relative_to(settings.store).as_posix())
    files = [path for path in found if not path.name.startswith((".", "_"))]
    if len(files) > MOST_FILES:
        raise TooManyFiles(store_of(settings).shown(pattern))
    return files


def allowed_folders(settings: Settings, definition: Definition) -> list[Path]:
    """The folders that scoring may read: the store, and where the definition's source has its files."""
    if definition.source.type != "files":
        return [settings.store]
    template = definition.source.path.replace("{store}", str(settings.store))
    return list(dict.fromkeys([settings.store, _fixed_part(Path(template.split("{partition}")[0] + "x")).parent]))


def _fixed_part(pattern: Path) -> Path:
    """The pattern up to its first part with a wildcard."""
    fixed = Path(pattern.anchor)
    for part in pattern.parts[1:]:
        if glob.has_magic(part):
            break
        fixed /= part
    return fixed


def _inside(path: Path, folders: list[Path]) -> bool:
    real = path.resolve()
    return any(real.is_relative_to(folder.resolve()) for folder in folders)


def _is_data(file: Path) -> bool:
    return file.is_file() and not file.name.startswith((".", "_"))


def _is_text(file: Path) -> bool:
    try:
        str(file).encode()
    except UnicodeEncodeError:
        return False
    return True

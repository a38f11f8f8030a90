"""Where datasets live below the store: every path of the lake is made here, and nowhere else.

The paths are local ones. What they mean when the store is a bucket: :mod:`include.lake.store`.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

from include.errors import Refused
from include.settings import Settings
from include.spec.partitions import WHOLE_KEY

_MODEL: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_KEY: Final = re.compile(rf"\d{{4}}-\d{{2}}(-\d{{2}}(T\d{{2}}(\+1)?)?)?|[0-9a-f]{{16}}|{WHOLE_KEY}")
_GROUP: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_DIGEST: Final = re.compile(r"[0-9a-f]{32}")
TABLES: Final = ("raw", "features", "predictions", "scores", "inference", "feedback")


class UnsafeName(Refused):
    """A name that would become part of a path is not of the allowed form."""

    def __init__(self, kind: str, value: str, allowed: str) -> None:
        self.kind = kind
        self.value = value
        super().__init__(f"{value!r} is not a valid {kind}; allowed is {allowed}. Correct the name and run again.")


def checked_model(model: str) -> str:
    """The model's name, if it can be a folder's name.

    :raises UnsafeName: if not.
    """
    if not _MODEL.fullmatch(model):
        raise UnsafeName("model name", model, "a lower-case letter, then letters, digits and _")
    return model


def checked_table(table: str) -> str:
    """The table's name, if there is such a table.

    :raises UnsafeName: if not.
    """
    if table not in TABLES:
        raise UnsafeName("table name", table, ", ".join(TABLES))
    return table


def checked_key(key: str) -> str:
    """The partition key, if it has the form of one: of time, the whole, or 16 hex digits (a training, a file).

    :raises UnsafeName: if not.
    """
    if not _KEY.fullmatch(key):
        raise UnsafeName("partition key", key, f"2013-10, 2013-10-01, 2013-10-01T05, {WHOLE_KEY} or 16 hex digits")
    return key


def table_folder(settings: Settings, model: str, table: str) -> Path:
    """Folder of a Delta table."""
    return settings.store / "lake" / checked_model(model) / checked_table(table)


def staging_folder(settings: Settings, model: str, table: str, attempt: str) -> Path:
    """Folder of one attempt's staged files; the attempt's name may hold any characters."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", attempt).strip("-.")[:60] or "attempt"
    unique = hashlib.sha256(attempt.encode()).hexdigest()[:12]
    return settings.store / "staging" / checked_model(model) / checked_table(table) / f"{readable}-{unique}"


def quarantine_folder(settings: Settings, model: str, key: str, *, scores: bool = False) -> Path:
    """Folder of a refused partition.

    :param scores: whether batch scoring refused it; what the data's own gates refused lies apart from that.
    """
    folder = settings.store / "quarantine" / checked_model(model)
    return (folder / "scores" if scores else folder) / checked_key(key)


def history_folder(settings: Settings, model: str, group: str, digest: str) -> Path:
    """Folder of what servers look up of a group of the past, as it is declared by the digest (32 hex digits)."""
    if not _GROUP.fullmatch(group):
        raise UnsafeName("name of a history", group, "a letter, then letters, digits and _")
    if not _DIGEST.fullmatch(digest):
        raise UnsafeName("digest", digest, "32 hex digits")
    return settings.store / "history" / checked_model(model) / group / digest


def erased_file(settings: Settings, model: str) -> Path:
    """The model's block list: HMACs of keys that were erased and must not come back."""
    return settings.store / "erased" / f"{checked_model(model)}.json"


def freed_file(settings: Settings, model: str) -> Path:
    """What names the features of a retired model that were removed and can be made anew."""
    return settings.store / "freed" / f"{checked_model(model)}.json"


def archive_folder(settings: Settings, model: str) -> Path:
    """Folder of the archives of a model's retirements."""
    return settings.store / "archive" / checked_model(model)


def temporary_folder(settings: Settings) -> Path:
    """Folder where DuckDB may spill; always of this machine."""
    return settings.store / "tmp"


def source_path(settings: Settings, template: str, key: str | None = None) -> Path:
    """Path of a source file from the definition's template, which is trusted; the key is checked.

    :param key: the partition's key, for templates with ``{partition}``.
    """
    path = template.replace("{store}", str(settings.store))
    if key is not None:
        path = path.replace("{partition}", checked_key(key))
    return Path(path)


def relative_to_store(settings: Settings, path: Path) -> str:
    """The path as it travels between steps: relative to the store, with forward slashes."""
    return path.relative_to(settings.store).as_posix()


def from_store(settings: Settings, relative: str) -> Path:
    """The file or folder of the store that a relative path names.

    :raises UnsafeName: if the path leaves the store.
    """
    if "\0" in relative:
        raise UnsafeName("path in the store", relative, "a path without null characters")
    path = (settings.store / relative).resolve()
    if not path.is_relative_to(settings.store.resolve()):
        raise UnsafeName("path in the store", relative, "a path relative to the store, without ..")
    return settings.store / relative

"""Whose a model is: the keys of its definition that say which team acts on it and which others may look.

They are read by themselves: a definition with a mistake elsewhere still belongs to its team.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from include.spec.problems import DefinitionError
from include.spec.yaml_reader import read_document

_KEPT: Final = 4096


@dataclass(frozen=True)
class Ownership:
    """The team that owns a model, and those that may look at it.

    :param owner: the key ``owner``.
    :param readers: the key ``readers``.
    """

    owner: str
    readers: frozenset[str] = frozenset()


def ownership_of(models: Path, model: str) -> Ownership | None:
    """Whose a model is, as its file says now; None if that cannot be told, so it is nobody's.

    :param models: folder of the definitions.
    :param model: a name, from wherever: one that is no model's opens no file.
    """
    if not (model.isascii() and model.isidentifier()):
        return None
    path = models / f"{model}.yaml"
    try:
        status = os.stat(path)
    except OSError:
        return None
    return _read(path, status.st_mtime_ns, status.st_size, status.st_ino)


@lru_cache(maxsize=_KEPT)
def _read(path: Path, *_stamp: int) -> Ownership | None:
    try:
        values = read_document(path).values
    except DefinitionError:
        return None
    owner, readers = values.get("owner"), values.get("readers", [])
    if not isinstance(owner, str) or not owner:
        return None
    listed = readers if isinstance(readers, list) else []
    return Ownership(owner, frozenset(name for name in listed if isinstance(name, str)))

"""Brings the definitions of other models into a definition that uses their groups of the past."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from include.spec.definition import Definition
from include.spec.formats import read_definition
from include.spec.problems import DefinitionError

_MODEL_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


def with_lenders(definition: Definition, folder: Path) -> Definition:
    """The definition, able to say what other models declare; those that cannot be read are left out.

    :param folder: of the definitions.
    """
    names = {group.model for group in definition.history.values() if group.model not in (None, definition.model)}
    found = {name: lender for name in sorted(filter(None, names)) if (lender := _read(folder, name)) is not None}
    return definition.borrowing(found) if found else definition


def _read(folder: Path, name: str) -> Definition | None:
    path = folder / f"{name}.yaml"
    if not _MODEL_NAME.fullmatch(name) or not path.is_file():
        return None
    try:
        return Definition.model_validate(read_definition(path).values)
    except (DefinitionError, ValidationError):
        return None

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


def borrowers(folder: Path, model: str) -> list[str]:
    """Names of the other models that use a group of the past of this one.

    A definition that cannot be read counts as one if it names the model at all: better too careful than too late.

    :param folder: of the definitions.
    """
    return [path.stem for path in sorted(folder.glob("*.yaml")) if path.stem != model and _borrows(folder, path, model)]


def _borrows(folder: Path, path: Path, model: str) -> bool:
    definition = _read(folder, path.stem)
    if definition is None:
        return re.search(rf"\b{re.escape(model)}\b", path.read_text(encoding="utf-8", errors="replace")) is not None
    return any(group.model == model for group in definition.history.values())


def _read(folder: Path, name: str) -> Definition | None:
    path = folder / f"{name}.yaml"
    if not _MODEL_NAME.fullmatch(name) or not path.is_file():
        return None
    try:
        return Definition.model_validate(read_definition(path).values)
    except (DefinitionError, ValidationError):
        return None

"""Where a key of a definition stands, for messages of those who find out later that it cannot be used."""

from __future__ import annotations

from pathlib import Path

from include.spec.problems import DefinitionError, KeyPath, key_text
from include.spec.yaml_reader import read_document


def key_place(models: Path, model: str, keys: KeyPath) -> str:
    """``file:line: key`` of a key, or of the nearest key above it that is written; the key alone if there is no file.

    :param models: folder of model definitions.
    """
    file = models / f"{model}.yaml"
    try:
        return f"{file}:{read_document(file).line(keys)}: {key_text(keys)}"
    except DefinitionError:
        return key_text(keys)

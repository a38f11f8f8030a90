"""Files that a library wrote, without what tells of time and process: the same model gives the same bytes."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any, Final

#: What MLflow writes into a flavour's ``MLmodel`` that tells of the run and not of the model.
_OF_THE_RUN: Final = ("utc_time_created", "model_uuid", "model_id", "run_id", "artifact_path", "model_size_bytes")
_SCHEMA: Final = "schema.json"
_BEGINNING: Final = (1980, 1, 1, 0, 0, 0)


def timeless(name: str, content: bytes) -> bytes:
    """The content of a saved file as it is kept.

    ``MLmodel`` loses times and ids of MLflow's; a ``.skops`` file gets numbers for the addresses in memory by which
    skops names objects, and no times.

    :param name: path of the file in the model's folder.
    """
    path = PurePosixPath(name)
    if path.name == "MLmodel":
        return _without_run(content)
    return _numbered(content) if path.suffix == ".skops" else content


def _without_run(content: bytes) -> bytes:
    import yaml

    document = yaml.safe_load(content)
    kept: str = yaml.safe_dump({key: value for key, value in document.items() if key not in _OF_THE_RUN})
    return kept.encode()


def _numbered(content: bytes) -> bytes:
    """Objects and their files by the order in which the schema first names them."""
    with zipfile.ZipFile(io.BytesIO(content)) as old:
        files = {entry.filename: old.read(entry) for entry in old.infolist()}
    schema = json.loads(files.pop(_SCHEMA))
    numbers: dict[int, int] = {}
    for node in _nodes(schema):
        numbers.setdefault(node["__id__"], len(numbers) + 1)
    renamed: dict[str, str] = {}
    for node in _nodes(schema):
        node["__id__"] = numbers[node["__id__"]]
        if isinstance(node.get("file"), str) and node["file"] in files:
            old_name = node["file"]
            renamed.setdefault(old_name, f"{len(renamed) + 1}{PurePosixPath(old_name).suffix}")
            node["file"] = renamed[old_name]
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as new:
        _add(new, _SCHEMA, json.dumps(schema, indent=1).encode())
        for old_name, new_name in renamed.items():
            _add(new, new_name, files[old_name])
    return written.getvalue()


def _nodes(node: Any) -> Iterable[dict[str, Any]]:
    """All objects of a schema, from the top and in order."""
    if isinstance(node, dict):
        if "__id__" in node:
            yield node
        for inner in node.values():
            yield from _nodes(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _nodes(inner)


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _BEGINNING), content, zipfile.ZIP_DEFLATED)

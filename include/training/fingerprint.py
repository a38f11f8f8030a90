"""The fingerprint of a model: a digest over everything that its bytes depend on, known before it is trained.

Equal fingerprints mean equal models, so that nothing is trained twice. The as-of is in it only through the windows;
threads, paths, owners and schedules are not in it.
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from include.settings import PROJECT
from include.spec.cleaned import cleaned
from include.spec.definition import Definition
from include.training.package import BYTES_DEPEND_ON, library_versions
from include.training.parameters import settings_besides

_ROOM: Final = Path(__file__).resolve().parent
_SOURCES: Final = (
    "calibration.py",
    "cleaning.py",
    "compiling.py",
    "folds.py",
    "matrices.py",
    "package.py",
    "packaged_model.py",
    "parameters.py",
    "profile.py",
    "row_batch.py",
    "row_path.py",
    "row_reader.py",
    "search.py",
    "xgboost_trainer.py",
)
_COMPILER: Final = _ROOM.parent / "features" / "compiled"


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """Digest (64 hex characters) and the document that it is the digest of."""

    value: str
    document: dict[str, Any]


def make_fingerprint(
    definition: Definition, *, training_set: Mapping[str, Any], description: Mapping[str, Any], module: Path | None
) -> Fingerprint:
    """The fingerprint of a training.

    :param training_set: reference of the training set (digest and windows count).
    :param description: the content of ``features.json``: inputs, feature SQL, categories.
    :param module: source of the feature module, if there is one.
    """
    training = definition.training
    document = {
        "model": definition.model,
        "task": definition.task,
        "label": _label(definition),
        "features": description,
        "feature_module": hashlib.sha256(module.read_bytes()).hexdigest() if module else None,
        "params": training.params,
        "monotone": training.monotone,
        "seed": training.seed,
        **settings_besides(training),
        "training_set": training_set["digest"],
        "windows": _in_utc(training_set["windows"]),
        "code": code_digest(),
        "libraries": library_versions(*BYTES_DEPEND_ON, "sqlglot", *(["optuna"] if training.search else [])),
        "machine": platform.machine(),
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return Fingerprint(value=hashlib.sha256(text.encode()).hexdigest(), document=document)


def code_digest() -> str:
    """Digest (64 hex characters) of the source files that decide on a model's bytes."""
    digest = hashlib.sha256()
    for path in (*(_ROOM / name for name in _SOURCES), *sorted(_COMPILER.glob("*.py"))):
        digest.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def git_commit(project: Path = PROJECT) -> str | None:
    """The commit that this code is of: what an image was built from, else what the repository is at, if it is one."""
    built_from = project / "REVISION"
    if built_from.is_file():
        commit = built_from.read_text(encoding="utf-8").strip()
        return None if commit in {"", "unknown"} else commit
    try:
        found = subprocess.run(
            ["git", "-C", str(project), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def _label(definition: Definition) -> str:
    text = definition.label.expression
    return cleaned(definition, text).sql if definition.clean.columns else text


def _in_utc(windows: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    return {
        part: {edge: datetime.fromisoformat(text).astimezone(UTC).isoformat() for edge, text in window.items()}
        for part, window in windows.items()
    }

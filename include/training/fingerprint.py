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
from types import MappingProxyType
from typing import Any, Final

from include.settings import PROJECT
from include.spec.candidates import trainings
from include.spec.cleaned import cleaned
from include.spec.columns import personal_features
from include.spec.definition import Definition
from include.training.package import BYTES_DEPEND_ON, library_versions
from include.training.parameters import settings_besides
from include.training.part_on_disk import BATCH_ROWS
from include.training.trainers.registry import LIBRARIES

_ROOM: Final = Path(__file__).resolve().parent
_SOURCES: Final = (
    "calibration.py",
    "candidates.py",
    "cleaning.py",
    "column_profile.py",
    "compiling.py",
    "encoded_on_disk.py",
    "estimators.py",
    "folds.py",
    "matrices.py",
    "package.py",
    "packaged_model.py",
    "parameters.py",
    "part_on_disk.py",
    "profile.py",
    "reference_sample.py",
    "row_batch.py",
    "row_path.py",
    "row_reader.py",
    "search.py",
)
_FOLDERS: Final = (_ROOM.parent / "features" / "compiled", _ROOM / "trainers")


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """Digest (64 hex characters) and the document that it is the digest of."""

    value: str
    document: dict[str, Any]


def make_fingerprint(
    definition: Definition,
    *,
    training_set: Mapping[str, Any],
    description: Mapping[str, Any],
    module: Path | None,
    trainer_modules: Mapping[str, Path] = MappingProxyType({}),
    on_disk: bool = False,
    engine: Mapping[str, Any] | None = None,
) -> Fingerprint:
    """The fingerprint of a training.

    :param training_set: reference of the training set (digest and windows count).
    :param description: the content of ``features.json``: inputs, feature SQL, categories.
    :param module: source of the feature module, if there is one.
    :param trainer_modules: candidate (``""`` without candidates) → source of its trainer module, where it has one.
    :param on_disk: whether the rows are binned batch by batch, since they are too many for memory.
    :param engine: what of the machines that train together the bytes depend on, if it is more than one.
    """
    training = definition.training
    document = {
        "model": definition.model,
        "task": definition.task,
        "label": _label(definition),
        **({"classes": list(definition.label.class_names)} if definition.label.classes else {}),
        "features": description,
        "feature_module": _digest(module) if module else None,
        "params": training.params,
        "monotone": training.monotone,
        "seed": training.seed,
        **settings_besides(training),
        **_trainers(definition, trainer_modules),
        **_threshold(definition),
        **_sample(definition),
        **({"matrix": {"on_disk": BATCH_ROWS}} if on_disk else {}),
        **({"engine": dict(engine)} if engine else {}),
        "training_set": training_set["digest"],
        "windows": _in_utc(training_set["windows"]),
        "code": code_digest(),
        "libraries": library_versions(*BYTES_DEPEND_ON, "sqlglot", *_libraries(definition)),
        "machine": platform.machine(),
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return Fingerprint(value=hashlib.sha256(text.encode()).hexdigest(), document=document)


def _sample(definition: Definition) -> dict[str, Any]:
    """What of the training part travels with the model, if the definition asks for it."""
    classifier = definition.monitoring.drift.domain_classifier
    if classifier is None:
        return {}
    return {"reference_sample": {"rows": classifier.rows, "without": sorted(personal_features(definition))}}


def _trainers(definition: Definition, modules: Mapping[str, Path]) -> dict[str, Any]:
    """Trainer and candidates; nothing for XGBoost alone, so that such a training keeps its name."""
    training = definition.training
    if training.trainer.kind == "xgboost" and not training.candidates:
        return {}
    said = training.model_dump(mode="json", include={"trainer", "candidates"})
    return {**said, "trainer_modules": {name: _digest(path) for name, path in modules.items()}}


def _threshold(definition: Definition) -> dict[str, Any]:
    """Where the threshold comes from: a training that gives no predictions for finding one is another one."""
    source = definition.evaluation.threshold_from
    return {} if source == "definition" else {"threshold_from": source}


def _libraries(definition: Definition) -> list[str]:
    """What the bytes depend on besides what all do."""
    all_trainings = [one.training for one in trainings(definition).values()]
    needed = {library for one in all_trainings for library in LIBRARIES[one.trainer.kind]}
    return [*(["optuna"] if any(one.search for one in all_trainings) else []), *sorted(needed)]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def code_digest() -> str:
    """Digest (64 hex characters) of the source files that decide on a model's bytes."""
    digest = hashlib.sha256()
    folders = (path for folder in _FOLDERS for path in sorted(folder.glob("*.py")))
    for path in (*(_ROOM / name for name in _SOURCES), *folders):
        digest.update(f"{path.name}\0{_digest(path)}\n".encode())
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
        part: dict(window)  # of data without time: shares, and what the rows are split by
        if "by" in window
        else {edge: datetime.fromisoformat(text).astimezone(UTC).isoformat() for edge, text in window.items()}
        for part, window in windows.items()
    }

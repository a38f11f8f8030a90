"""What an archive holds: what was declared, what the registry knows, what people read, and the models that answered."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Table, select

from include.errors import NoriaError
from include.lake.paths import checked_model
from include.lake.store import store_of
from include.lake.table import LakeTable
from include.registry import database
from include.registry.mlflow_client import TrackingAway, connect, summary
from include.registry.retirement_marks import answered_versions
from include.registry.signing import check
from include.registry.tables import (
    assessment,
    check_result,
    deployment_ledger,
    erasure,
    model_version,
    step_cost,
    version_erasure,
)
from include.registry.versions import ModelVersion, list_versions
from include.settings import Settings

_TABLES: Final[tuple[Table, ...]] = (
    deployment_ledger, model_version, check_result, assessment, erasure, version_erasure, step_cost,
)  # fmt: skip
"""Verdicts of gates, evaluations, drift and decay are rows of ``check_result``."""
_DATA: Final = ("raw", "features", "predictions", "scores")
_NOT_KEPT: Final = "gates"
"""Pages of gates may show rows; their verdicts are kept."""


def gather(settings: Settings, model: str, folder: Path) -> list[str]:
    """Write everything into a folder.

    :returns: what could not be kept as it was registered, in words.
    :raises TrackingAway: MLflow cannot be reached.
    :raises DatabaseAway: the database cannot be reached.
    """
    _declared(settings, model, folder)
    _registry(settings, model, folder / "registry")
    _data(settings, model, folder / "data")
    _reports(settings, model, folder / "reports")
    return list(_models(settings, model, folder / "models"))


def _declared(settings: Settings, model: str, folder: Path) -> None:
    """The definition and its suites as they are; a definition that was removed meanwhile is not there to be kept."""
    definition = settings.models / f"{checked_model(model)}.yaml"
    suites = sorted((settings.expectations / model).glob("*.json"))
    for path, place in [(definition, folder), *((suite, folder / "expectations") for suite in suites)]:
        if path.is_file():
            place.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place / path.name)


def _registry(settings: Settings, model: str, folder: Path) -> None:
    folder.mkdir(parents=True)
    with database.transaction(settings.database_url) as connection:
        for table in _TABLES:
            query = select(table).where(table.c.model == model).order_by(*table.primary_key.columns)
            with (folder / f"{table.name}.jsonl").open("w", encoding="utf-8") as file:
                for row in connection.execution_options(yield_per=500).execute(query):
                    file.write(f"{json.dumps(dict(row._mapping), default=_text, ensure_ascii=False)}\n")


def _text(value: object) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _data(settings: Settings, model: str, folder: Path) -> None:
    """Of each table the digest of every partition, and what each of its versions was made from."""
    folder.mkdir(parents=True)
    for name in _DATA:
        table = LakeTable(settings, model, name)
        if not table.exists():
            continue
        document = {
            "table": name,
            "version": table.version(),
            "digest": table.digest(),
            "partitions": [
                {"key": one.key, "digest": one.digest, "inputs": one.inputs, "rows": one.rows}
                for one in table.partitions().values()
            ],
            "versions": [
                {"version": one["version"], "timestamp": one.get("timestamp"), "noria": one.get("noria")}
                for one in table.history()
            ],
        }
        text = json.dumps(document, indent=1, ensure_ascii=False)
        (folder / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


def _reports(settings: Settings, model: str, folder: Path) -> None:
    """Pages of evaluations, drift and deployments, and model cards."""
    store, root = store_of(settings), settings.store / "reports" / checked_model(model)
    for path in store.find(root, "**/*"):
        place = path.relative_to(root)
        if place.parts[0] == _NOT_KEPT:
            continue
        store.fetch(path)
        if path.is_file():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / place)


def _models(settings: Settings, model: str, folder: Path) -> Iterator[str]:
    """The files of every version that ever answered; yields what is wrong with one."""
    with database.transaction(settings.database_url) as connection:
        answered = answered_versions(connection, model)
    for version in list_versions(settings, model):
        if version.version not in answered:
            continue
        place = folder / f"version-{version.version}"
        _download(settings, version, place)
        problem = _not_as_registered(settings, version, place)
        if problem is not None:
            yield f"version {version.version}: {problem}"


def _download(settings: Settings, version: ModelVersion, place: Path) -> None:
    connect(settings)
    import mlflow.artifacts

    place.mkdir(parents=True)
    try:
        mlflow.artifacts.download_artifacts(artifact_uri=version.model_uri, dst_path=str(place))
    except Exception as error:
        raise TrackingAway(f"downloading {version.model_uri}", summary(error)) from error


def _not_as_registered(settings: Settings, version: ModelVersion, place: Path) -> str | None:
    """What of a version is not what was registered and signed; the archive keeps it all the same, and says so."""
    from include.training.package import PackageIncomplete, artifact_digest

    try:
        check(settings, version)
        found: Any = artifact_digest(place)
    except PackageIncomplete as error:
        return str(error)
    except NoriaError as error:
        return str(error)
    if found != version.artifact_digest:
        return f"its files have the digest {found}, and {version.artifact_digest} was registered"
    return None

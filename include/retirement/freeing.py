"""Frees what a retired model needs no more: at once what can be made anew, the rest when its time is over.

Everything here can be run again after a kill: what is gone is gone, and the registry is told when it is done.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from include.errors import Refused
from include.lake.cleaning import clean_staging
from include.lake.freed import free_features
from include.lake.locks import advisory_lock
from include.lake.paths import checked_model, freed_file
from include.lake.publishing import drop_partitions
from include.lake.store import Store, store_of
from include.lake.table import LakeTable
from include.registry.mlflow_client import TrackingAway, connect, summary
from include.registry.refusals import NotRetiredNow
from include.registry.retirement import LOCK, read_retirement
from include.registry.retirement_marks import begin_freeing, mark_freed
from include.registry.retirement_state import Retirement
from include.registry.versions import get_version
from include.settings import Settings
from include.spec.lending import borrowers

_HOUR_OF_DAY: Final = 1 / 24
"""Staged files that nothing has touched for an hour are of attempts that are over."""
_CACHES: Final = ("training",)
_REST: Final = ("training", "staging", "quarantine", "monitoring")
_PAST: Final = "history"
_RAW: Final = "raw"
_log = logging.getLogger(__name__)


class NotArchived(Refused):
    """Nothing is freed before there is an archive."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(f"Nothing of {model} is freed before it is archived. Run its DAG {model}.retire to the end.")


def free_caches(settings: Settings, under_way: Retirement, *, actor: str) -> dict[str, Any]:
    """Free what can be made anew, bit for bit, from what is kept: features and training sets.

    :returns: features (keys of partitions), files and bytes of folders.
    :raises NotArchived: there is no archive.
    :raises NotRetiredNow: the retirement was undone meanwhile: then everything is left alone.
    """
    model = under_way.model
    with advisory_lock(settings.database_url, LOCK, model):
        now = read_retirement(settings, model)
        if now is None or now.began_at != under_way.began_at or now.is_draining:
            raise NotRetiredNow(model)
        if now.archive is None:
            raise NotArchived(model)
        features = free_features(settings, model, attempt=f"retired-{uuid.uuid4().hex[:8]}")
        staged = clean_staging(settings, model, kept_days=_HOUR_OF_DAY)
        freed = {"features": features, "staging": len(staged), **_remove(settings, model, _CACHES)}
        if features or staged or freed["files"]:
            words = f"{len(features)} partitions of features and {freed['files']} files that can be made anew"
            evidence = {**freed, "features": len(features)}
            mark_freed(settings, now, final=False, actor=actor, reason=words, evidence=evidence)
        return freed


def free_for_good(settings: Settings, under_way: Retirement, *, actor: str) -> dict[str, Any]:
    """Free all that is neither archived nor kept for audits, once a retirement can be undone no more.

    Scores, logged requests and labels stay as long as their own retention says. Raw rows and values of the past stay
    while another model uses them; then the next call frees them.

    :returns: raw (number of partitions), files and bytes of folders, versions without artifact, kept_for (models).
    :raises NotArchived: there is no archive.
    :raises NotRetiredNow: it can be undone still, or was.
    :raises TrackingAway: MLflow cannot be reached.
    """
    model = under_way.model
    with advisory_lock(settings.database_url, LOCK, model):
        if under_way.archive is None:
            raise NotArchived(model)
        unused = begin_freeing(settings, under_way)
        lent_to = borrowers(settings.models, model)
        dropped = free_features(settings, model, attempt=f"freed-{uuid.uuid4().hex[:8]}")
        raw = [] if lent_to else _drop_all(settings, model, _RAW)
        versions = _forget_artifacts(settings, model, unused)
        freed = {
            "features": len(dropped),
            "raw": len(raw),
            "versions": versions,
            "kept_for": lent_to,
            **_remove(settings, model, _REST if lent_to else (*_REST, _PAST)),
        }
        if not lent_to:
            store_of(settings).remove(freed_file(settings, model))
        words = f"{freed['raw']} raw partitions, {freed['files']} files, artifacts of {len(versions)} versions"
        if lent_to:
            words += f"; raw rows stay for {', '.join(lent_to)}"
        if not lent_to or dropped or freed["files"] or versions:
            mark_freed(settings, under_way, final=not lent_to, actor=actor, reason=words, evidence=freed)
        return freed


def _drop_all(settings: Settings, model: str, name: str) -> list[str]:
    """Drop all partitions of a table, of all versions; its log stays, which says what there was."""
    table = LakeTable(settings, model, name)
    if not table.exists():
        return []
    files = (path for path in table.store.find(table.folder, "*.parquet") if path.parent == table.folder)
    keys = {*table.partitions(), *(path.name.rsplit("-", 1)[0].replace("_", "+") for path in files)}
    return drop_partitions(table, keys, attempt=f"freed-{uuid.uuid4().hex[:8]}", verdict="retired") if keys else []


def _remove(settings: Settings, model: str, folders: tuple[str, ...]) -> dict[str, int]:
    """Remove the model's own folders below these of the store."""
    store = store_of(settings)
    sizes: Mapping[str, int] = {}
    for name in folders:
        folder = settings.store / name / checked_model(model)
        sizes = {**sizes, **_sizes(store, folder)}
        store.remove_folder(folder)
    return {"files": len(sizes), "bytes": sum(sizes.values())}


def _sizes(store: Store, folder: Path) -> dict[str, int]:
    return {str(path): size for path in store.find(folder, "**/*") if (size := store.size(path)) is not None}


def _forget_artifacts(settings: Settings, model: str, versions: list[int]) -> list[int]:
    """Remove the artifacts of versions from MLflow, with those of their runs; returns those that had any."""
    return [version for version in versions if _forget(settings, model, version)]


def _forget(settings: Settings, model: str, version: int) -> bool:
    client = connect(settings)
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    registered = get_version(settings, model, version)
    try:
        places = [client.get_run(registered.run_id).info.artifact_uri]
        name = registered.model_uri.removeprefix("models:/")
        if name != registered.model_uri and name.startswith("m-"):
            places.append(client.get_logged_model(name).artifact_location)
        had = False
        for place in places:
            repository = get_artifact_repository(place)
            if repository.list_artifacts():
                repository.delete_artifacts()  # type: ignore[no-untyped-call]
                had = True
    except (MlflowException, OSError) as error:
        doing = f"removing the artifacts of {model} version {version}"
        raise TrackingAway(doing, summary(error)) from error
    _log.info("%s version %d never answered: its artifacts are gone", model, version)
    return had

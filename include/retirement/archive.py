"""Archives in the store: one folder for each retirement, made whole or not at all, and never made twice."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

from include.errors import Refused
from include.lake.locks import advisory_lock
from include.lake.paths import archive_folder, relative_to_store
from include.lake.store import store_of
from include.registry.retirement import read_retirement
from include.registry.retirement_marks import mark_archived
from include.registry.retirement_state import Retirement
from include.retirement.contents import gather
from include.retirement.manifest import MANIFEST, ArchiveDamaged, Checked, check_archive, write_manifest
from include.settings import Settings

_log = logging.getLogger(__name__)


class NothingArchived(Refused):
    """The model has no archive."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(f"{model} has no archive in the store: it was never retired, or its archive is not made yet.")


@dataclass(frozen=True, kw_only=True)
class Archived:
    """An archive that is whole.

    :param place: its folder, relative to the store.
    :param is_new: whether it was made now.
    """

    place: str
    checked: Checked
    is_new: bool


def make_archive(settings: Settings, under_way: Retirement, *, actor: str) -> Archived:
    """Make the archive of a retirement, unless it is there, and note it in the registry.

    Killed at any point, the next call makes it whole.

    :raises ArchiveDamaged: it was made and noted before, and is not what it was.
    :raises NotRetiredNow: the retirement was undone meanwhile.
    :raises TrackingAway: MLflow cannot be reached.
    :raises DatabaseAway: the database cannot be reached.
    """
    model = under_way.model
    folder = archive_folder(settings, model) / f"{under_way.began_at.astimezone(UTC):%Y%m%dT%H%M%S%fZ}"
    with advisory_lock(settings.database_url, "archive", model):
        checked = _whole(settings, folder, is_noted=under_way.archive is not None)
        is_new = checked is None
        if checked is None:
            checked = _make(settings, under_way, folder)
    place = relative_to_store(settings, folder)
    for problem in checked.document["problems"]:
        _log.warning("%s is archived although: %s", model, problem)
    evidence = {
        "files": len(checked.document["files"]), "signer": checked.signer, "problems": checked.document["problems"]
    }  # fmt: skip
    mark_archived(settings, under_way, archive=place, digest=checked.digest, actor=actor, evidence=evidence)
    return Archived(place=place, checked=checked, is_new=is_new)


def _whole(settings: Settings, folder: Path, *, is_noted: bool) -> Checked | None:
    """The archive if it is there and whole; None if it is to be made.

    :raises ArchiveDamaged: the registry knows it, and it is not whole: what it was made from may be gone.
    """
    store = store_of(settings)
    if not is_noted and store.size(folder / MANIFEST) is None:
        return None
    store.fetch_folder(folder)
    try:
        return check_archive(settings, folder)
    except ArchiveDamaged:
        if is_noted:
            raise
        return None


def _make(settings: Settings, under_way: Retirement, folder: Path) -> Checked:
    partial = folder.with_name(f".{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    problems = gather(settings, under_way.model, partial)
    kept = under_way.restorable_until
    write_manifest(
        settings,
        partial,
        {
            "model": under_way.model,
            "began_at": under_way.began_at.isoformat(),
            "restorable_until": None if kept is None else kept.isoformat(),
            "problems": problems,
        },
    )
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    store_of(settings).deliver_folder(folder, MANIFEST)
    return check_archive(settings, folder)


def verify_archive(settings: Settings, model: str, name: str | None = None) -> tuple[str, Checked]:
    """Check an archive of a model.

    :param name: of its folder; None: the newest.
    :returns: its place in the store, and what it says.
    :raises NothingArchived: there is none.
    :raises ArchiveDamaged: it is not what it was.
    """
    store = store_of(settings)
    folders = [
        path
        for path in store.folders(archive_folder(settings, model))
        if not path.name.startswith(".") and name in (None, path.name)
    ]
    if not folders:
        raise NothingArchived(model)
    folder = folders[-1]
    store.fetch_folder(folder)
    checked = check_archive(settings, folder)
    place = relative_to_store(settings, folder)
    noted = read_retirement(settings, model)
    if noted is not None and noted.archive == place and noted.archive_digest != checked.digest:
        raise ArchiveDamaged(place, ["its manifest is not the one that the registry has noted"])
    return place, checked

"""Keeps the log's tables small and no longer than the definition says: joins small files, drops old days, sweeps up."""

from __future__ import annotations

import json
import logging
import shutil
import time
from datetime import UTC, datetime, timedelta
from typing import Final

from deltalake import WriterProperties
from deltalake.exceptions import DeltaError

from include.errors import NoriaError
from include.lake.store import store_of
from include.lake.table import LakeTable
from include.serving.request_log.commits import settle, written_alone
from include.serving.request_log.gate import SOURCE
from include.serving.request_log.segments import DAMAGED, log_folder
from include.serving.request_log.tables import DAY, SCHEMAS, LogTable
from include.settings import Settings
from include.spec.loader import find_definition
from include.spec.production import RequestLog

JOIN_COMMITS: Final = 40
"""Commits to a table after which its small files are joined."""
_UNUSED_HOURS: Final = 1
_DAMAGED_DAYS: Final = 30
_TARGET_BYTES: Final = 64 * 1024 * 1024
_log = logging.getLogger(__name__)


def join_small_files(settings: Settings, model: str, table: LogTable) -> int:
    """Join the small files of each day; returns how many files went. Readers keep the files that they began with.

    The caller holds the compactor's lock.

    :raises DeltaError: they cannot be joined now; nothing was changed.
    :raises OSError: the same, or the disk does not take it.
    """
    lake = LakeTable(settings, model, table)
    if not lake.exists():
        return 0
    with written_alone(lake.address.folder):
        return _joined(lake)


def _joined(lake: LakeTable) -> int:
    joined = lake.load().optimize.compact(
        target_size=_TARGET_BYTES, max_concurrent_tasks=1, writer_properties=WriterProperties(compression="ZSTD")
    )
    settle(lake.address.folder)
    return int(joined["numFilesRemoved"])


def keep_house(settings: Settings, *, now: datetime | None = None) -> dict[str, int]:
    """For every model: drop the days past their retention, join small files, remove files that nothing needs.

    A model whose definition cannot be read keeps everything until it can. The caller holds the compactor's lock.

    :returns: rows dropped by model.
    """
    now = now or datetime.now(UTC)
    dropped: dict[str, int] = {}
    for folder in store_of(settings).folders(settings.store / "lake"):
        for table in SCHEMAS:
            lake_table = LakeTable(settings, folder.name, table)
            try:
                if not lake_table.exists():
                    continue
                with written_alone(lake_table.address.folder):
                    dropped[folder.name] = dropped.get(folder.name, 0) + _drop_old(settings, folder.name, table, now)
                    _joined(lake_table)
                    _sweep(lake_table)
            except (NoriaError, DeltaError, OSError) as error:
                _log.warning("housekeeping of the %s table of %s failed: %s", table, folder.name, error)
    _drop_refused(settings, now)
    _sweep_log(settings, now)
    return dropped


def _drop_old(settings: Settings, model: str, table: LogTable, now: datetime) -> int:
    first_day = f"{now - _retention(settings, model):%Y-%m-%d}"
    lake = LakeTable(settings, model, table)
    gone = lake.load().delete(f"{DAY} < '{first_day}'")
    rows = int(gone.get("num_deleted_rows") or 0)
    if rows or gone.get("num_removed_files"):
        settle(lake.address.folder)
        _log.info("%d rows before %s left the %s", rows, first_day, lake.label)
    return rows


def _retention(settings: Settings, model: str) -> timedelta:
    """How long a model's requests are kept; one without a definition (any more) has the default."""
    if not (settings.models / f"{model}.yaml").exists():
        return RequestLog().retention
    return find_definition(settings, model).serving.log.retention


def _sweep(lake: LakeTable) -> None:
    table = lake.load()
    table.vacuum(retention_hours=_UNUSED_HOURS, dry_run=False, enforce_retention_duration=False)
    table.create_checkpoint()
    settle(lake.address.folder)  # before the entries leave that the checkpoint stands for
    table.cleanup_metadata()
    lake.forget_copies(table)


def _drop_refused(settings: Settings, now: datetime) -> None:
    """What the log's gate has refused is kept as long as what it let pass."""
    store = store_of(settings)
    for document in store.find(settings.store / "quarantine", "*/*/gate.json"):
        try:
            store.fetch(document)
            model, refused = document.parent.parent.name, json.loads(document.read_text())
            age = now.timestamp() - store.touched(document)
            if refused.get("source") == SOURCE and age > _retention(settings, model).total_seconds():
                store.remove_folder(document.parent)
        except (NoriaError, OSError, ValueError) as error:
            _log.warning("%s is kept longer than it should be: %s", document.parent, error)


def _sweep_log(settings: Settings, now: datetime) -> None:
    """Unfinished files of dead writers, and damaged segments that nobody has looked at for a month."""
    folder = log_folder(settings.home)
    oldest = now.timestamp() - _DAMAGED_DAYS * 86_400
    for path in [*folder.glob(f"{DAMAGED}/*"), *folder.glob(".*-*")]:
        limit = oldest if path.parent.name == DAMAGED else time.time() - 3600
        if path.stat().st_mtime < limit:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

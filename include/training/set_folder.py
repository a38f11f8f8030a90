"""The folder of a training set: it appears under its digest whole or not at all; in a bucket, its marker comes last."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from include.lake.paths import checked_model
from include.lake.store import store_of
from include.settings import Settings
from include.training.part_files import WrittenPart

INPUTS_FILE: Final = "holdout_inputs.parquet"
MARKER: Final = "training_set.json"


def is_complete(directory: Path, digest: str) -> bool:
    """Whether a folder holds all files of the training set with this digest."""
    try:
        marker = json.loads((directory / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    sizes = {path.name: path.stat().st_size for path in directory.glob("*.parquet")}
    wanted = marker.get("files")
    return marker.get("digest") == digest and all(sizes.get(name) == size for name, size in wanted.items())


@contextmanager
def unnamed_folder(settings: Settings, model: str) -> Iterator[Path]:
    """A folder beside the training sets, which has no name before its digest is known; gone at the end."""
    partial = settings.store / "training" / checked_model(model) / f".{uuid.uuid4().hex}"
    partial.mkdir(parents=True)
    try:
        yield partial
    finally:
        store_of(settings).remove_folder(partial)


def keep(
    settings: Settings, model: str, digest: str, partial: Path, written: Mapping[str, WrittenPart], inputs: WrittenPart
) -> Path:
    """Give the written files their folder's name in one rename, unless they are there already.

    :param written: the parts.
    :param inputs: the inputs of the holdout.
    """
    directory = settings.store / "training" / checked_model(model) / digest
    store = store_of(settings)
    store.fetch_folder(directory)
    if is_complete(directory, digest):
        (directory / MARKER).touch()  # its age begins anew
        store.deliver(directory / MARKER)
        return directory
    names = [name for part in (*written.values(), inputs) for name in part.files]
    sizes = {name: (partial / name).stat().st_size for name in names}
    rows = {part: file.rows for part, file in written.items()}
    (partial / MARKER).write_text(json.dumps({"digest": digest, "rows": rows, "files": sizes}, indent=1))
    _take_place(partial, directory, digest)
    store.deliver(*(directory / name for name in names))
    store.deliver(directory / MARKER)
    return directory


def _take_place(partial: Path, directory: Path, digest: str) -> None:
    """Rename the finished folder; if another run was faster, its rows are the same."""
    try:
        partial.rename(directory)
    except OSError:
        if not is_complete(directory, digest):
            broken = directory.with_name(f".{digest}.broken-{uuid.uuid4().hex[:8]}")
            directory.rename(broken)
            partial.rename(directory)
            shutil.rmtree(broken, ignore_errors=True)
        shutil.rmtree(partial, ignore_errors=True)

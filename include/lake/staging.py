"""What is staged: the manifest of an attempt's partitions, and the small reference that travels between steps.

A step stages (write), the gate judges (audit) and writes a gated manifest beside it, publish commits. The data files
lie beside the manifest; nothing but the reference goes through Airflow.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from include.errors import Refused
from include.lake.paths import checked_key, checked_table, from_store, relative_to_store, staging_folder
from include.lake.store import store_of
from include.settings import Settings

Status = Literal["staged", "unchanged", "refused", "missing"]
_ACCEPTED: tuple[Status, ...] = ("staged", "unchanged")
_NAMED_AT_MOST = 20


class ManifestUnreadable(Refused):
    """A reference points to a manifest that is not there or cannot be read."""

    def __init__(self, path: str, cause: str) -> None:
        self.path = path
        super().__init__(
            f"The staged manifest {path} cannot be read ({cause}). It is removed some days after its run; "
            "run the step that staged it again."
        )


@dataclass(frozen=True, kw_only=True)
class StagedPartition:
    """One partition of an attempt.

    :param key: the partition's key: of time, or for predictions the training's.
    :param status: staged (a new file is there), unchanged (already published from the same inputs), refused, missing.
    :param path: staged Parquet file relative to the store (status staged; also refused, if its rows could be read).
    :param rows: number of rows; 0 if there are none or they are unknown.
    :param digest: digest of its rows in order (32 hex characters), if they could be read.
    :param inputs: digest of what it is made from (32 hex characters).
    :param problem: for refused and missing: what is wrong, where, what to do.
    :param source: the source file, if there is one: an absolute path, or its address in the bucket.
    :param checksum: SHA-256 of the staged file's bytes; publish verifies it.
    :param notes: remarks that refuse nothing, such as new columns that were ignored.
    :param origins: what its rows come from, where that has a version or is more than one file: for lineage.
    """

    key: str
    status: Status
    path: str | None = None
    rows: int = 0
    digest: str | None = None
    inputs: str | None = None
    problem: str | None = None
    source: str | None = None
    checksum: str | None = None
    notes: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()

    def refused(self, problem: str) -> StagedPartition:
        """The same partition, refused for this reason."""
        return replace(self, status="refused", problem=problem)


@dataclass(frozen=True, kw_only=True)
class StagedManifest:
    """Everything that one attempt staged for one table.

    :param model: the model's name.
    :param table: ``raw``, ``features`` or ``predictions``.
    :param attempt: unique name of the attempt that staged it.
    :param as_of: the run's instant, ISO 8601 with offset.
    :param partitions: in key order.
    :param gate: the gate's word (stage, verdict, suite digest, page), once it has judged; None before.
    :param code: digest of the code that staged it.
    """

    model: str
    table: str
    attempt: str
    as_of: str
    partitions: tuple[StagedPartition, ...]
    gate: dict[str, Any] | None = None
    code: str = ""

    def of_status(self, *statuses: Status) -> list[StagedPartition]:
        """Its partitions with one of these states, in key order."""
        return [partition for partition in self.partitions if partition.status in statuses]

    @property
    def accepted(self) -> list[StagedPartition]:
        """The partitions that are, or may be, published: staged or unchanged."""
        return self.of_status(*_ACCEPTED)

    def judged(self, refusals: Mapping[str, str], gate: Mapping[str, Any]) -> StagedManifest:
        """The gated manifest: partitions named in ``refusals`` (key to problem) are refused, the others stay."""
        unknown = set(refusals) - {partition.key for partition in self.partitions}
        if unknown:
            raise KeyError(f"not in the manifest: {sorted(unknown)}")
        partitions = tuple(
            partition.refused(refusals[partition.key]) if partition.key in refusals else partition
            for partition in self.partitions
        )
        return replace(self, partitions=partitions, gate=dict(gate))


def new_manifest(
    *, model: str, table: str, attempt: str, as_of: datetime, partitions: Iterable[StagedPartition], code: str = ""
) -> StagedManifest:
    """A manifest with its partitions in key order.

    :raises UnsafeName: if a key is not of the form of a partition key.
    """
    ordered = sorted(partitions, key=lambda partition: checked_key(partition.key))
    return StagedManifest(
        model=model,
        table=checked_table(table),
        attempt=attempt,
        as_of=as_of.isoformat(),
        partitions=tuple(ordered),
        code=code,
    )


def combined_digest(digests: Iterable[tuple[str, str]]) -> str:
    """Digest (32 hex characters) of a set of partitions: the hash of its sorted (key, digest) pairs."""
    text = "".join(f"{key}\t{digest}\n" for key, digest in sorted(digests))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def write_manifest(settings: Settings, manifest: StagedManifest, name: str = "manifest.json") -> dict[str, Any]:
    """Write the manifest into its staging folder, atomically, and return its reference.

    :param name: file name; the gate writes ``gated.json`` beside the first one.
    """
    folder = staging_folder(settings, manifest.model, manifest.table, manifest.attempt)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    partial = path.with_name(f".{name}.{os.getpid()}")
    partial.write_text(json.dumps(asdict(manifest), indent=1))
    partial.replace(path)
    store_of(settings).deliver(path)
    return reference(settings, manifest, path)


def read_manifest(settings: Settings, staged: Mapping[str, Any]) -> StagedManifest:
    """The manifest that a reference names.

    :param staged: a reference, as :func:`write_manifest` returns it.
    :raises ManifestUnreadable: if it is not there or is not a manifest.
    """
    path = from_store(settings, str(staged["manifest"]))
    store = store_of(settings)
    store.fetch(path)
    try:
        document = json.loads(path.read_text())
        partitions = tuple(
            StagedPartition(**{**entry, "notes": tuple(entry["notes"]), "origins": tuple(entry.get("origins", ()))})
            for entry in document.pop("partitions")
        )
        return StagedManifest(**document, partitions=partitions)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ManifestUnreadable(store.shown(path), f"{type(error).__name__}: {error}") from error


def reference(settings: Settings, manifest: StagedManifest, path: Path) -> dict[str, Any]:
    """The small document that travels between steps.

    ``partitions`` and ``rows`` count what is accepted (staged or unchanged); at most 20 refused or missing keys are
    named, the manifest has all.
    """
    accepted = manifest.accepted
    keys = [partition.key for partition in manifest.partitions]
    return {
        "table": manifest.table,
        "manifest": relative_to_store(settings, path),
        "partitions": len(accepted),
        "first": keys[0] if keys else None,
        "last": keys[-1] if keys else None,
        "rows": sum(partition.rows for partition in accepted),
        "digest": combined_digest((partition.key, partition.digest or "") for partition in accepted),
        "refused": [partition.key for partition in manifest.of_status("refused")][:_NAMED_AT_MOST],
        "missing": [partition.key for partition in manifest.of_status("missing")][:_NAMED_AT_MOST],
        "unchanged": len(manifest.of_status("unchanged")),
    }

"""Which published features are up to date: made from today's definition and suite, and from which raw version."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from include.features.history import Pasts
from include.features.staging import features_inputs
from include.gates.suite import load_suite
from include.lake.table import LakeTable, NoSuchVersion
from include.settings import Settings
from include.spec.definition import Definition


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where features come from.

    :param raw_version: version of the raw table that they were made from.
    :param stale: keys of partitions that were made from other raw rows, features or expectations.
    """

    raw_version: int
    stale: tuple[str, ...]


def find_provenance(
    settings: Settings, definition: Definition, features: LakeTable, version: int, keys: Collection[str]
) -> Provenance:
    """Compare what these partitions say that they were made from with the raw table and the definition.

    The raw version that was the newest when the features were published is tried first, then the newest of all.
    """
    raw = LakeTable(settings, definition.model, "raw")
    found = [
        Provenance(raw_version=candidate, stale=_stale(settings, definition, raw, candidate, features, version, keys))
        for candidate in _candidates(raw, features, version)
    ]
    return min(found, key=lambda provenance: len(provenance.stale))


def _stale(
    settings: Settings,
    definition: Definition,
    raw: LakeTable,
    raw_version: int,
    features: LakeTable,
    version: int,
    keys: Collection[str],
) -> tuple[str, ...]:
    suite = load_suite(settings, definition.model, "features").digest
    made_from, published = raw.partitions(raw_version), features.partitions(version)
    pasts = Pasts(settings, definition, {definition.model: raw_version})
    return tuple(
        key
        for key in keys
        if key not in made_from
        or features_inputs(settings, definition, made_from[key].digest, suite, pasts.made_from(key))
        != published[key].inputs
    )


def _candidates(raw: LakeTable, features: LakeTable, version: int) -> list[int]:
    newest = raw.version()
    moments = [entry["timestamp"] for entry in features.history() if entry["version"] == version]
    try:
        then = raw.version_at(datetime.fromtimestamp(moments[0] / 1000, UTC)) if moments else newest
    except NoSuchVersion:
        then = newest
    return [then] if then == newest else [then, newest]

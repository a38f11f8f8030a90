"""Documents that travel between steps and servers: staged manifests, pointers to the past."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import Final

import orjson

from include.errors import Refused
from include.lake.staging import ManifestUnreadable, StagedManifest, StagedPartition, read_manifest, reference
from include.lake.store import store_of
from include.serving.past_file import PastFileUnusable, open_file
from include.settings import Settings
from tests.fuzz.target import Target, scratch


def manifest(data: bytes) -> None:
    """A manifest whose reference can be told, or refused."""
    settings = _settings()
    path = settings.store / "manifest.json"
    path.write_bytes(data)
    try:
        read = read_manifest(settings, {"manifest": "manifest.json"})
        reference(settings, read, path)
    except ManifestUnreadable:
        return


def reference_of_manifest(data: bytes) -> None:
    """The path in a reference: below the store, or refused."""
    try:
        read_manifest(_settings(), {"manifest": data.decode("utf-8", "surrogateescape")})
    except Refused:
        return


def pointer(data: bytes) -> None:
    """A pointer to a file of the past, which can be used or not."""
    path = _settings().store / "newest.json"
    path.write_bytes(data)
    try:
        open_file(store_of(_settings()), path, None)
    except PastFileUnusable:
        return


@cache
def _settings() -> Settings:
    settings = Settings.from_environment({"NORIA_HOME": str(scratch() / "home")})
    settings.store.mkdir(parents=True, exist_ok=True)
    return settings


def _manifests() -> list[bytes]:
    one = StagedPartition(key="2013-10-01", status="staged", path="a.parquet", rows=3, digest="ab", notes=("new",))
    other = StagedPartition(key="2013-10-02", status="refused", problem="broken")
    given = {"verdict": "passed", "page": None}
    whole = StagedManifest(
        model="m", table="raw", attempt="a", as_of="2013-10-03T00:00:00+00:00", partitions=(one, other), gate=given
    )
    return [orjson.dumps(asdict(whole))]


_DAY: Final = {"key": "2013-10-01", "start": "2013-10-01T00:00:00-04:00", "end": "2013-10-02T00:00:00-04:00"}
_WORDS: Final = [b"null", b"[]", b"{}", b'""', b"-1", b"1e400", b'"\\ud800"', b"9" * 30, b'"0001-01-01T00:00:00+14:00"']
TARGETS: Final = (
    Target(name="manifest", check=manifest, seeds=_manifests, words=_WORDS, longest=2000),
    Target(
        name="reference",
        check=reference_of_manifest,
        seeds=lambda: [b"staging/m/raw/a/manifest.json", b"../../etc/passwd", b"/etc/passwd", b"."],
        words=[b"..", b"/", b"\0", b"//", b"./"],
        longest=5000,
    ),
    Target(
        name="pointer",
        check=pointer,
        seeds=lambda: [orjson.dumps({"digest": "ab", "file": "ab.sqlite", "partitions": [_DAY]})],
        words=_WORDS,
        longest=600,
    ),
)

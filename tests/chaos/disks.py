"""Faults of disks: a store that is full or read-only, a request log whose disk is full or stands still."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from tests.chaos.case import Case
from tests.chaos.own_disk import OwnDisk, own_disk
from tests.chaos.small_line import FIRST, LAST, SmallLine, small_line

if TYPE_CHECKING:
    from tests.chaos.world import World

_STORE_MIB = 96
_FULL, _READ_ONLY = "A disk is full", "A disk is read-only"


def full_store(world: World, chance: random.Random) -> str:
    """The store's disk is full, and at a random instant of what a step writes, in each step of data and training."""
    with own_disk(_STORE_MIB) as disk, small_line(disk.path / "store") as line:
        refused = 0
        range_ = {"first": FIRST, "last": LAST}
        refused += _meets_full_disk(line, disk, chance, "ingest", **range_)
        staged = line.step("ingest", **range_).done()
        refused += _meets_full_disk(line, disk, chance, "gate", stage="raw", staged=staged)
        gate = line.step("gate", stage="raw", staged=staged).done()
        refused += _meets_full_disk(line, disk, chance, "publish", gate=gate)
        published = line.step("publish", gate=gate).done()
        line.whole()
        refused += _meets_full_disk(line, disk, chance, "prepare", published=published)
        line.data()
        training_set = line.step("assemble").done()
        refused += _meets_full_disk(line, disk, chance, "train", training_set=training_set)
        _ends_well(line)
    return f"{refused} steps met a full disk and said so; each went on when there was room; every row once"


def full_home(world: World, chance: random.Random) -> str:
    """The disk below the temporary folder and MLflow's artifacts is full while a model is trained and packaged."""
    with own_disk(_STORE_MIB) as disk, small_line(temporary=disk.path) as line:
        line.data()
        training_set = line.step("assemble").done()
        refused = _meets_full_disk(line, disk, chance, "train", training_set=training_set)
        _ends_well(line)
    assert refused, "training never met the full disk"
    return f"training met it {refused} times and said so; one version was registered when there was room"


def read_only_store(world: World, chance: random.Random) -> str:
    """The store is remounted read-only before each step, and writable again."""
    with own_disk(_STORE_MIB) as disk, small_line(disk.path / "store") as line:
        inputs: dict[str, dict[str, Any]] = {"ingest": {"first": FIRST, "last": LAST}}
        inputs["gate"] = {"stage": "raw", "staged": _meets_read_only(line, disk, "ingest", **inputs["ingest"])}
        gate = _meets_read_only(line, disk, "gate", **inputs["gate"])
        published = _meets_read_only(line, disk, "publish", gate=gate)
        before = line.rows()
        _meets_read_only(line, disk, "prepare", published=published)
        line.data()
        _meets_read_only(line, disk, "train", training_set=line.step("assemble").done())
        assert line.rows() == before
        _ends_well(line)
    return "ingest, gate, publish, prepare and train said so, with exit code 30; each went on after the remount"


def _meets_full_disk(line: SmallLine, disk: OwnDisk, chance: random.Random, step: str, **inputs: Any) -> int:
    """Run a step with no room, and with a random bit of it; tables are what they were unless it went well."""
    met = 0
    for free in (0, chance.randrange(4096, 65_536, 4096), chance.randrange(65_536, 400_000, 4096)):
        before = {table: line.rows(table) for table in ("raw", "features", "predictions")}
        disk.leave(free)
        ended = line.step(step, **inputs)
        if ended.code != 0:
            ended.tries_again(_FULL)
            met += 1
            assert {table: line.rows(table) for table in before} == before, f"{step} left something half done"
        disk.empty()
    assert met, f"{step} never met the full disk"
    return met


def _meets_read_only(line: SmallLine, disk: OwnDisk, step: str, **inputs: Any) -> dict[str, Any]:
    disk.read_only(True)
    try:
        ended = line.step(step, **inputs)
    finally:
        disk.read_only(False)
    ended.tries_again(_READ_ONLY)
    return line.step(step, **inputs).done()


def _ends_well(line: SmallLine) -> None:
    """The same work again, to its end: every row once, one version."""
    line.data()
    version = line.judged(line.training())["version"]
    assert version == 1, f"version {version} was registered"
    for table in ("raw", "features"):
        line.whole(table)


CASES: tuple[Case, ...] = (
    Case("fault/full-disk", full_store.__doc__ or "", full_store),
    Case("fault/full-temporary-disk", full_home.__doc__ or "", full_home),
    Case("fault/read-only-store", read_only_store.__doc__ or "", read_only_store),
)

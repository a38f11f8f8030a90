"""State against ledger: what is in production is what the ledger's changes, one after another, lead to."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from mlflow.tracking import MlflowClient

from tests.chaos.case import Breach
from tests.chaos.invariants.scene import Scene

_CHALLENGERS = frozenset({"candidate", "shadow", "canary", "ab"})
_ALIASES = {"champion": "champion", "previous": "previous", **dict.fromkeys(_CHALLENGERS, "challenger")}
Row = dict[str, Any]


def check(scene: Scene) -> Iterator[Breach]:
    """Revisions, roles, the order of champions, bars, MLflow's aliases."""
    ledger = scene.rows("SELECT * FROM deployment_ledger WHERE model = :m ORDER BY revision")
    state = {row["role"]: row for row in scene.rows("SELECT * FROM deployment_state WHERE model = :m")}
    versions = {row["version"]: row for row in scene.rows("SELECT * FROM model_version WHERE model = :m")}
    yield from _revisions(scene, ledger)
    yield from _replayed(ledger, state)
    yield from _champions(ledger, versions)
    yield from _bars(ledger, versions)
    yield from _decided(scene, ledger, versions)
    yield from _aliases(scene, state)


def _revisions(scene: Scene, ledger: list[Row]) -> Iterator[Breach]:
    found = [row["revision"] for row in ledger]
    if found != list(range(1, len(found) + 1)):
        yield Breach("state/revisions", f"the ledger's revisions are not 1 to {len(found)}: {found}")
    held = scene.rows("SELECT revision FROM deployment WHERE model = :m")
    if held and held[0]["revision"] != len(found):
        yield Breach("state/revisions", f"the model is at revision {held[0]['revision']}, its ledger at {len(found)}")
    if any(before["at"] >= after["at"] for before, after in pairwise(ledger)):
        yield Breach("state/revisions", "the ledger's times do not grow")


def _replayed(ledger: list[Row], state: dict[str, Row]) -> Iterator[Breach]:
    roles: dict[str, int] = {}
    for before, entry in zip([None, *ledger], ledger, strict=False):
        if before is not None and not _follows(before["state"], entry):
            yield Breach(
                "state/ledger", f"revision {entry['revision']} ({entry['action']}) does not follow from before"
            )
        roles = entry["state"]
    if roles != {role: row["version"] for role, row in state.items()}:
        held = {role: row["version"] for role, row in state.items()}
        yield Breach("state/ledger", f"the ledger leads to {roles}, the state is {held}")


def _follows(before: dict[str, int], entry: Row) -> bool:
    """Whether an entry's own words about whom it took from where fit the roles before and after it."""
    after, action = entry["state"], entry["action"]
    if action == "promote":
        replaced = before.get("champion")
        return (
            after.get("champion") == entry["to_version"] != replaced
            and entry["from_version"] == replaced
            and (replaced is None or after.get("previous") == replaced)
        )
    if action == "rollback" and entry["from_version"] != before.get("champion"):  # a challenger goes, nobody else does
        return after.get("champion") == before.get("champion") and not _CHALLENGERS & after.keys()
    if action == "rollback":
        return after.get("champion") != before.get("champion")
    if action == "retire":
        return not after
    if action == "restore":  # of a model that still answered, or of one that was out
        return not before or after == before
    return after.get("champion") == before.get("champion")


def _champions(ledger: list[Row], versions: dict[int, Row]) -> Iterator[Breach]:
    """A promotion never goes back in time, but by force, and every champion is a version that was there before."""
    champion: int | None = None
    for entry in ledger:
        new = entry["state"].get("champion")
        if new is not None and new not in versions:
            yield Breach("state/champion", f"revision {entry['revision']} makes {new} champion, which is no version")
        elif new is not None and new != champion and entry["action"] == "promote":
            yield from _promotion(entry, versions[new], versions.get(champion or 0))
        champion = new


def _promotion(entry: Row, new: Row, old: Row | None) -> Iterator[Breach]:
    name = f"revision {entry['revision']} promotes version {new['version']}"
    if new["created_at"] > entry["at"]:
        yield Breach("state/champion", f"{name} before it was registered")
    if old is not None and new["as_of"] < old["as_of"] and not entry["evidence"].get("forced"):
        yield Breach("state/older", f"{name}, which is older than version {old['version']}")


def _decided(scene: Scene, ledger: list[Row], versions: dict[int, Row]) -> Iterator[Breach]:
    """What a training run has put on its way had won."""
    for entry in ledger:
        by_training = str(entry["evidence"].get("run", "")).startswith(f"{scene.model}.train/")
        row = versions.get(entry["to_version"] or 0)
        if by_training and row is not None and row["decision"].get("verdict") != "promote":
            yield Breach("state/decided", f"revision {entry['revision']} deploys version {row['version']}, which lost")


def _bars(ledger: list[Row], versions: dict[int, Row]) -> Iterator[Breach]:
    """Nobody who is barred holds a role, and nobody was promoted while barred."""
    barred: set[int] = set()
    for entry in ledger:
        if entry["action"] == "bar":
            barred.add(entry["from_version"])
        elif entry["action"] == "lift-bar":
            barred.discard(entry["to_version"])
        elif entry["evidence"].get("barred"):
            barred.add(entry["evidence"]["barred"])
        for role, version in entry["state"].items():
            if version in barred:
                yield Breach("state/barred", f"revision {entry['revision']} leaves barred version {version} as {role}")
    marked = {version for version, row in versions.items() if row["status"] == "barred"}
    if marked != barred:
        yield Breach("state/barred", f"marked as barred are {sorted(marked)}, by the ledger {sorted(barred)} are")


def _aliases(scene: Scene, state: dict[str, Row]) -> Iterator[Breach]:
    """What the outbox has delivered is what MLflow says."""
    waiting = scene.rows("SELECT id FROM outbox WHERE model = :m AND delivered_at IS NULL")
    if waiting:
        yield Breach("state/outbox", f"{len(waiting)} changes were never delivered to MLflow")
        return
    wanted = {_ALIASES[role]: row["version"] for role, row in state.items()}
    if not wanted and not scene.rows("SELECT 1 FROM model_version WHERE model = :m"):
        return
    found = {
        a: int(v)
        for a, v in MlflowClient(scene.settings.tracking_url).get_registered_model(scene.model).aliases.items()
    }
    if found != wanted:
        yield Breach("state/aliases", f"MLflow's aliases are {found}, the state asks for {wanted}")

"""The same done twice at once: a backfill, a training, and operators who change production against each other."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from include.lake.table import LakeTable
from include.registry.mlflow_client import connect
from include.registry.versions import list_versions
from tests.chaos.case import Case
from tests.chaos.small_line import FIRST, LAST, MODEL, Document, Ended, SmallLine, small_line

if TYPE_CHECKING:
    from tests.chaos.world import World

_TRIES = 5


def same_backfill_twice(world: World, chance: random.Random) -> str:
    """Two processes ingest, judge and publish the same days at once, and once more; two train on them at once."""
    with small_line() as line, ThreadPoolExecutor(2) as pool:
        connect(line.settings).search_experiments()  # makes MLflow's tables in SQLite, which bears no race
        first = list(pool.map(lambda _: _data(line), range(2)))
        again = _data(line)
        for table in ("raw", "features"):
            line.whole(table)
            opened = LakeTable(line.settings, MODEL, table).open()
            writing = [entry for entry in opened.history() if entry["operation"] != "CREATE TABLE"]
            assert len(writing) == 1, f"{table}: {len(writing)} commits wrote the same rows"
        assert {document["digest"] for document in first} == {again["digest"]}
        assert again["changed"] == 0
        versions = list(pool.map(lambda _: _trained(line), range(2)))
        assert {document["version"] for document in versions} == {1}, versions
        assert len(list_versions(line.settings, MODEL)) == 1
        assert sum(line.rows("predictions").values()) > 0
        assert len(line.rows("predictions")) == 1
    return "one commit for each table, one version, no row twice; what came second changed nothing"


def _data(line: SmallLine) -> Document:
    """A data run in which each step that may go well later is tried again, as Airflow does."""
    staged = _retried(line, "ingest", first=FIRST, last=LAST)
    published = _retried(line, "publish", gate=_retried(line, "gate", stage="raw", staged=staged))
    features = _retried(line, "prepare", published=published)
    return _retried(line, "publish", gate=_retried(line, "gate", stage="features", staged=features))


def _trained(line: SmallLine) -> Document:
    training = _retried(line, "train", training_set=_retried(line, "assemble"))
    _retried(line, "publish", gate=_retried(line, "gate", stage="predictions", training=training))
    evaluation = _retried(line, "evaluate", training=training)
    decision = _retried(line, "decide", training=training, evaluation=evaluation)
    return _retried(line, "register", training=training, evaluation=evaluation, decision=decision)


def _retried(line: SmallLine, step: str, **inputs: object) -> Document:
    for _ in range(_TRIES):
        ended: Ended = line.step(step, **inputs)
        if ended.code != 30:
            break
    return ended.done()


CASES: tuple[Case, ...] = (Case("fault/same-backfill-twice", same_backfill_twice.__doc__ or "", same_backfill_twice),)

"""The works that are interrupted: each starts something new in the running stack, so that it is never a no-op."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import yaml

from tests.chaos.world import END, MODEL, World, champion, finish_all

_FIRST, _DAYS = date(2013, 1, 1), 340
Conf = Mapping[str, object]


@dataclass(frozen=True)
class Work:
    """A work.

    :param family: the DAG that does it.
    :param prepare: makes sure that there is something to do; returns the run's conf.
    """

    family: str
    prepare: Callable[[World, random.Random], Conf]

    @property
    def dag_id(self) -> str:
        """The small model's DAG."""
        return f"{MODEL}.{self.family}"


def _data(world: World, chance: random.Random) -> Conf:
    """Two days whose source has lost a row since it was last read."""
    first = _FIRST + timedelta(days=chance.randrange(_DAYS))
    last = first + timedelta(days=1)
    for day in (first, last):
        _lose_a_row(world, day, chance)
    return {"as_of": END, "first": f"{first}", "last": f"{last}"}


def _lose_a_row(world: World, day: date, chance: random.Random) -> None:
    file = world.source / f"{day}.parquet"
    with duckdb.connect() as connection:
        rows = connection.sql(f"SELECT * FROM read_parquet('{file}')").to_arrow_table()
        lost = chance.randrange(rows.num_rows)
        kept = rows.take([place for place in range(rows.num_rows) if place != lost])
        connection.register("kept", kept)
        partial = file.with_suffix(".partial")
        connection.execute(f"COPY kept TO '{partial}' (FORMAT parquet)")
        partial.rename(file)


def _train(world: World, chance: random.Random) -> Conf:
    """Another seed: another version."""
    file = world.line.home / "models" / f"{MODEL}.yaml"
    document = yaml.safe_load(file.read_text())
    document["training"]["seed"] = chance.randrange(10**9)
    partial = file.with_suffix(".partial")
    partial.write_text(yaml.safe_dump(document, sort_keys=False))
    partial.rename(file)
    return {"as_of": END}


def _deploy(world: World, chance: random.Random) -> Conf:
    """A version that is not in production; trained first if there is none."""
    for _ in range(3):
        registered = world.line.rows(
            "SELECT version FROM model_version WHERE model = :m AND status = 'registered' ORDER BY version", m=MODEL
        )
        others = [row["version"] for row in registered if row["version"] != champion(world.line)]
        if others:
            return {"version": chance.choice(others), "reason": "chaos", "actor": "chaos"}
        run_id = f"for-deploy-{world.number()}"
        world.line.trigger(f"{MODEL}.train", run_id, _train(world, chance))
        assert world.line.finish(f"{MODEL}.train", run_id) == "success", "the training before a deployment failed"
        finish_all(world.line)
    raise AssertionError("three trainings left no version that could be deployed")


def _score(world: World, chance: random.Random) -> Conf:
    """Two days of the window, as of an instant that was never scored."""
    first = date(2013, 12, 12) + timedelta(days=chance.randrange(17))
    return {"as_of": _instant(chance), "first": f"{first}", "last": f"{first + timedelta(days=1)}"}


def _monitor(world: World, chance: random.Random) -> Conf:
    return {"as_of": _instant(chance)}


def _instant(chance: random.Random) -> str:
    """Some second of the archive's last day."""
    return f"2013-12-31T{timedelta(seconds=36_000 + chance.randrange(40_000))}-05:00"


WORKS = {
    "data": Work("data", _data),
    "train": Work("train", _train),
    "deploy": Work("deploy", _deploy),
    "score": Work("score", _score),
    "monitor": Work("monitor", _monitor),
}

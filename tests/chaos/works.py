"""The works that are interrupted: each starts something new in the running stack, so that it is never a no-op."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import duckdb
import yaml

from tests.chaos.subject import END, Subject, champion, finish_all

_FIRST, _DAYS = date(2013, 1, 1), 340
Conf = Mapping[str, object]


@dataclass(frozen=True)
class Work:
    """A work.

    :param family: the DAG that does it.
    :param prepare: makes sure that there is something to do; returns the run's conf.
    """

    family: str
    prepare: Callable[[Subject, random.Random], Conf]

    def dag_id(self, subject: Subject) -> str:
        """The DAG of a small model that does it."""
        return f"{subject.model}.{self.family}"


def _data(subject: Subject, chance: random.Random) -> Conf:
    """Two days whose source has lost a row since it was last read."""
    first = _FIRST + timedelta(days=chance.randrange(_DAYS))
    last = first + timedelta(days=1)
    for day in (first, last):
        _lose_a_row(subject, day, chance)
    return {"as_of": END, "first": f"{first}", "last": f"{last}"}


def _lose_a_row(subject: Subject, day: date, chance: random.Random) -> None:
    file = subject.source / f"{day}.parquet"
    with duckdb.connect() as connection:
        rows = connection.sql(f"SELECT * FROM read_parquet('{file}')").to_arrow_table()
        lost = chance.randrange(rows.num_rows)
        kept = rows.take([place for place in range(rows.num_rows) if place != lost])
        connection.register("kept", kept)
        partial = file.with_suffix(".partial")
        connection.execute(f"COPY kept TO '{partial}' (FORMAT parquet)")
        partial.rename(file)


def _train(subject: Subject, chance: random.Random) -> Conf:
    """Another seed: another version."""
    file = subject.line.home / "models" / f"{subject.model}.yaml"
    document = yaml.safe_load(file.read_text())
    document["training"]["seed"] = chance.randrange(10**9)
    partial = file.with_suffix(".partial")
    partial.write_text(yaml.safe_dump(document, sort_keys=False))
    partial.rename(file)
    return {"as_of": END}


def _deploy(subject: Subject, chance: random.Random) -> Conf:
    """A version that is not in production; trained first if there is none."""
    line, model = subject.line, subject.model
    for _ in range(3):
        registered = line.rows(
            "SELECT version FROM model_version WHERE model = :m AND status = 'registered' ORDER BY version", m=model
        )
        others = [row["version"] for row in registered if row["version"] != champion(line, model)]
        if others:
            return {"version": chance.choice(others), "reason": "chaos", "actor": "chaos"}
        run_id = subject.new_run()
        line.trigger(f"{model}.train", run_id, _train(subject, chance))
        assert line.finish(f"{model}.train", run_id, 900) == "success", "the training before a deployment failed"
        finish_all(line, model)
    raise AssertionError("three trainings left no version that could be deployed")


def _score(subject: Subject, chance: random.Random) -> Conf:
    """Two days of the window, as of an instant that was never scored."""
    first = date(2013, 12, 12) + timedelta(days=chance.randrange(17))
    return {"as_of": _instant(chance), "first": f"{first}", "last": f"{first + timedelta(days=1)}"}


def _monitor(subject: Subject, chance: random.Random) -> Conf:
    return {"as_of": _instant(chance)}


def _instant(chance: random.Random) -> str:
    """Some second of the archive's last day."""
    return f"2013-12-31T{timedelta(seconds=36_000 + chance.randrange(40_000))}-05:00"


def may_be_deployed(subject: Subject, conf: Conf) -> bool:
    """Whether the version is neither barred (the fault may have looked like harm that it did) nor gone."""
    rows = subject.line.rows(
        "SELECT status FROM model_version WHERE model = :m AND version = :v", m=subject.model, v=conf["version"]
    )
    return [row["status"] for row in rows] == ["registered"]


WORKS = {
    "data": Work("data", _data),
    "train": Work("train", _train),
    "deploy": Work("deploy", _deploy),
    "score": Work("score", _score),
    "monitor": Work("monitor", _monitor),
}

"""The flights of 2013: alarms on weeks of real days without drift, and the time for the whole year."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pandas as pd

from include.datasets import land
from include.features.select import features_sql
from include.lake.columns import FEATURE_PREFIX
from include.lake.connections import open_duckdb, quote_name, quote_text
from include.monitoring.counting import count_rows
from include.monitoring.drift import judge_drift
from include.settings import Settings
from include.spec.columns import feature_types
from include.spec.definition import Definition, Drift, FeatureType
from include.spec.loader import find_definition
from include.training.column_profile import count_like, profile_column
from tests.bench.drift.peer import Evidently

_MODEL: Final = "flight_delay"
_QUARTER: Final = 91
_FEATURES: Final = 12
_ROUNDS: Final = 5


def _landed(folder: Path) -> tuple[Settings, Definition, Path]:
    settings = Settings.from_environment({"NORIA_HOME": str(folder / "home")})
    land(settings, _MODEL)
    return settings, find_definition(settings, _MODEL), settings.store / "landing" / "flights"


def count_real_alarms(folder: Path) -> None:
    """Print how often a week alarms beside the other twelve of its quarter, of which it is one like the others."""
    _, definition, landing = _landed(folder)
    types = {name: kind for name, kind in feature_types(definition).items() if not _needs_history(definition, name)}
    frame = _features(definition, landing, types)
    days = np.sort(frame["day"].unique())
    alarms = {"with what varies anyway": 0, "without it": 0}
    features = dict.fromkeys(alarms, 0)
    windows = 0
    for start in range(0, len(days) - _QUARTER + 1, _QUARTER):
        quarter = days[start : start + _QUARTER]
        for week in range(13):
            inside = frame["day"].isin(quarter[week * 7 : week * 7 + 7])
            rest = frame[frame["day"].isin(quarter) & ~inside]
            windows += 1
            for name, stretches in (("with what varies anyway", _stretches(rest["day"])), ("without it", None)):
                drifted = _drifted(rest, frame[inside], types, stretches)
                alarms[name] += bool(drifted)
                features[name] += drifted
    print(f"\n{windows} real weeks, each beside the other twelve of its quarter, {len(types)} features")
    for name, count in alarms.items():
        share = features[name] / windows / len(types)
        print(f"{name:<30} windows with a drifted feature {count / windows:.2f}, drifted features {share:.3f}")


def _stretches(days: pd.Series) -> Any:
    places, keys = pd.factorize(days, sort=True)
    return places * 16 // len(keys)


def _drifted(before: pd.DataFrame, now: pd.DataFrame, types: dict[str, FeatureType], stretches: Any) -> int:
    profiles = {name: profile_column(before[name], kind, stretches=stretches) for name, kind in types.items()}
    current = {name: count_like(profile, now[name]) for name, profile in profiles.items()}
    result = judge_drift(profiles, current, rows=len(now), limits=Drift(), partitions=84, window=7)
    return sum(feature.drifted is True for feature in result.features)


def _needs_history(definition: Definition, name: str) -> bool:
    return any(group in definition.features[name].expression for group in definition.history)


def _features(definition: Definition, landing: Path, types: dict[str, FeatureType]) -> pd.DataFrame:
    """The features of the whole year by day, those of the past apart."""
    wanted = definition.model_copy(
        update={"features": {name: definition.features[name] for name in types}, "history": {}}
    )
    with duckdb.connect() as connection:
        files = quote_text(f"{landing}/*.parquet")
        connection.execute(f"CREATE VIEW raw_rows AS SELECT * FROM read_parquet({files})")
        frame = connection.execute(features_sql(wanted, "raw_rows", extra="scheduled_at::DATE AS day, ")).df()
    return frame[["day", *(FEATURE_PREFIX + name for name in types)]].set_axis(["day", *types], axis=1)


def compare_on_flights(folder: Path, peer: Evidently) -> None:
    """Print what the whole year's check costs: counting and judging, beside evidently on frames in memory."""
    settings, definition, landing = _landed(folder)
    types = {name: kind for name, kind in feature_types(definition).items() if not _needs_history(definition, name)}
    types = dict(list(types.items())[:_FEATURES])
    frame = _features(definition, landing, types)
    first, whole = folder / "before.parquet", folder / "year.parquet"
    before = frame[frame["day"] < frame["day"].min() + timedelta(days=90)]
    before[list(types)].to_parquet(first)
    frame[list(types)].to_parquet(whole)
    profiles = {name: profile_column(before[name], kind) for name, kind in types.items()}
    seconds = [_check(settings, whole, profiles) for _ in range(_ROUNDS)]
    said = peer.judge(first, [whole] * 3)
    print(f"\n{len(frame):,} flights, {len(types)} features: Noria {min(seconds):.3f} s", end="")
    if said is None:
        print()
        return
    # The fastest of each: what else the machine does meets either.
    theirs = min(one.seconds for one in said)
    print(f", {peer.name} {theirs:.2f} s, {theirs / min(seconds):.0f} times faster (goal 15)")


def _check(settings: Settings, path: Path, profiles: dict[str, Any]) -> float:
    begin = time.perf_counter()
    columns = {name: quote_name(name) for name in profiles}
    relation = f"read_parquet({quote_text(str(path))})"
    with open_duckdb(settings, readable=[path.parent]) as connection:
        counted = count_rows(connection, relation, "''", columns, profiles)[""]
    judge_drift(profiles, counted.columns, rows=counted.rows, limits=Drift())
    return time.perf_counter() - begin

"""False alarms and power on made windows of 5,000 rows and twelve features, one chance of drift in each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from include.lake.columns import FEATURE_PREFIX
from include.monitoring.domain_classifier import tell_apart
from include.monitoring.drift import judge_drift
from include.spec.definition import DomainClassifier, Drift
from include.training.column_profile import count_like, profile_column
from include.training.reference_sample import Sample, take_sample
from tests.bench.drift.peer import Evidently
from tests.bench.drift.windows import DRIFTS, REFERENCE_ROWS, TYPES, WINDOW_ROWS, Random, make_rows

_CALM: Final = 200
_DRIFTED: Final = 100
_TOLD: Final = 10
_PEER_CALM: Final = 10
_PEER_DRIFTED: Final = 4
Profiles = dict[str, dict[str, Any]]


def compare_trust(folder: Path, peer: Evidently) -> None:
    """Print how often a calm window alarms, and how often each drift is found in its column."""
    random = np.random.default_rng(11)
    reference = make_rows(random, REFERENCE_ROWS)
    reference.to_parquet(folder / "reference.parquet")
    stretches = np.arange(REFERENCE_ROWS) * 16 // REFERENCE_ROWS
    profiles = {name: profile_column(reference[name], kind, stretches=stretches) for name, kind in TYPES.items()}
    print(f"\nwindows of {WINDOW_ROWS:,} rows, {len(TYPES)} features{'':<22}{'Noria':>8}{peer.name:>20}")
    cases = {"no drift (any feature alarms)": None, **DRIFTS}
    for name, drift in cases.items():
        number, peers = (_CALM, _PEER_CALM) if drift is None else (_DRIFTED, _PEER_DRIFTED)
        ours, files, columns = 0, [], []
        for place in range(number):
            window = make_rows(random, WINDOW_ROWS)
            column = None if drift is None else drift(window, random)
            ours += _found(_judge(profiles, window), column)
            if place < peers and peer.programs is not None:
                files.append(folder / f"window-{place}.parquet")
                window.to_parquet(files[-1])
                columns.append(column)
        said = peer.judge(folder / "reference.parquet", files) or []
        theirs = [_found(set(one.drifted), column) for one, column in zip(said, columns, strict=False)]
        goal = {None: "at most 0.05", "shift of 0.25 sd": "at least 0.9"}.get(None if drift is None else name, "")
        beside = f"{np.mean(theirs):>20.2f}" if theirs else f"{'–':>20}"
        print(f"{name:<50}{ours / number:>8.2f}{beside}  {goal}", flush=True)

    _tell(random, reference, profiles)


def _tell(random: Random, reference: pd.DataFrame, profiles: Profiles) -> None:
    """Print how often the domain classifier tells a calm window, and one with a flipped relation."""
    profile = {"features": profiles, "sample": _sample(reference)}
    for name in ("no drift", "flipped relation"):
        told = 0
        for _ in range(_TOLD):
            window = make_rows(random, WINDOW_ROWS)
            if name in DRIFTS:
                DRIFTS[name](window, random)
            found = tell_apart(profile, _sample(window), rule=DomainClassifier(), significance=0.01)
            told += found is not None and found.drifted
        print(f"{name + ', by the domain classifier':<50}{told / _TOLD:>8.2f}", flush=True)


def _sample(frame: pd.DataFrame) -> Sample:
    prefixed = frame.rename(columns={name: FEATURE_PREFIX + name for name in TYPES})
    return take_sample(prefixed, TYPES, rows=DomainClassifier().rows, without=())


def _found(drifted: set[str], column: str | None) -> bool:
    return bool(drifted) if column is None else column in drifted


def _judge(profiles: Profiles, window: pd.DataFrame) -> set[str]:
    current = {name: count_like(profile, window[name]) for name, profile in profiles.items()}
    result = judge_drift(profiles, current, rows=len(window), limits=Drift(), partitions=160, window=16)
    return {feature.name for feature in result.features if feature.drifted}

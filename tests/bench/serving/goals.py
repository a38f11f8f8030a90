"""The goals, and which of them a run has met. Ratios are of answers a second, but for p99; p50 is that of one row."""

from __future__ import annotations

from collections.abc import Mapping

from tests.bench.serving.field import ALONE, FLOOR, MLFLOW, NUMBERS, OURS, PEERS
from tests.bench.serving.rounds import Measured, Setting, ratio

TIMES_MLFLOW = 10.0
OF_FLOOR = 0.6
P50_MS = 1.0
SHADOW_P99 = 1.2


def judge(setting: Setting, found: Mapping[str, Measured]) -> list[tuple[str, float, bool]]:
    """Each goal that can be judged at a setting: its words, the value, whether it is met."""
    ours = found.get(OURS)
    if ours is None:
        return []
    goals: list[tuple[str, float, bool]] = []
    if MLFLOW in found:
        value = ratio(ours.rates, found[MLFLOW].rates)
        goals.append((f"at least {TIMES_MLFLOW:g} times {MLFLOW}", value, value >= TIMES_MLFLOW))
    peers = {name: ratio(ours.rates, found[name].rates) for name in PEERS if name in found and name != MLFLOW}
    if peers:
        nearest = min(peers, key=lambda name: peers[name])
        missing = ", ".join(name for name in PEERS if name not in found)
        words = f"ahead of every other peer (nearest: {nearest}{f'; without {missing}' if missing else ''})"
        goals.append((words, peers[nearest], peers[nearest] > 1))
    for floor in (FLOOR, NUMBERS):
        if floor in found:
            value = ratio(ours.rates, found[floor].rates)
            goals.append((f"at least {OF_FLOOR:g} of the floor ({floor})", value, value >= OF_FLOOR))
    if setting == Setting(1, 1):
        value = ours.to_document()["p50_ms"]
        goals.append((f"p50 below {P50_MS:g} ms", value, value < P50_MS))
    if ALONE in found:
        value = ratio(ours.p99, found[ALONE].p99)
        goals.append((f"p99 with paired scoring at most {SHADOW_P99:g} times without", value, value <= SHADOW_P99))
    return goals

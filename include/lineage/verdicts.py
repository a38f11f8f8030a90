"""Verdicts as assertions about datasets: of gates, of the definition's conditions on a model, of drift.

A gate's page has all of its verdict beside it as JSON. Of that only names, columns, verdicts and counts go on: samples,
observed values and the arguments of expectations may hold people's data.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from include.lineage.datasets import Assertion
from include.settings import Settings


def gate_assertions(settings: Settings, page: str) -> tuple[Assertion, ...]:
    """What each expectation of a suite came to, over all partitions that were judged, and the gate's own verdict.

    :param page: the gate's page, relative to the store.
    :returns: none if the page is gone.
    """
    from include.lake.paths import from_store
    from include.lake.store import store_of

    path = from_store(settings, page).with_suffix(".json")
    store_of(settings).fetch(path)
    try:
        results = json.loads(path.read_text(encoding="utf-8"))["results"]
    except FileNotFoundError:
        return ()
    refused = [result["subject"] for result in results if result["verdict"] == "refused"]
    found = f"{len(refused)} of {len(results)} refused" if results else "nothing was to be judged"
    return (Assertion(name="gate", success=not refused, found=found), *_expectations(results))


def condition_assertions(decision: Mapping[str, Any]) -> tuple[Assertion, ...]:
    """What the definition demands of a challenger, and the decision.

    :param decision: output of the step decide.
    """
    gates = [
        Assertion(name=str(gate["gate"]), success=bool(gate["passed"]), found=str(gate["sentence"]))
        for gate in decision.get("gates") or ()
    ]
    return (Assertion(name="promote", success=bool(decision.get("promote")), critical=False), *gates)


def drift_assertions(drift: Mapping[str, Any]) -> tuple[Assertion, ...]:
    """Whether the data is like what the champion was trained on: the lasting verdict, and each feature in this window.

    :param drift: output of the step monitor.
    """
    features = [
        Assertion(name="no_drift", success=not feature["drifted"], column=str(feature["name"]), critical=False)
        for feature in drift.get("features") or ()
    ]
    return (Assertion(name="no_drift", success=not drift.get("drift"), found=str(drift.get("verdict"))), *features)


def answer_assertions(drift: Mapping[str, Any], sources: Collection[str]) -> tuple[Assertion, ...]:
    """Whether the champion answers as it did on its holdout rows, and as well as it did.

    :param drift: output of the step monitor.
    :param sources: where the answers are from, as that step calls it.
    """
    demands = (("predictions", "no_drift", "drift"), ("quality", "no_decay", "decay"))
    return tuple(
        Assertion(name=name, success=one["verdict"] != bad, column="prediction", critical=False, found=one["verdict"])
        for key, name, bad in demands
        for one in drift.get(key) or ()
        if one["source"] in sources
    )


def _expectations(results: Iterable[Mapping[str, Any]]) -> list[Assertion]:
    """One for each expectation on each column; it is met if it is met in every partition."""
    met: dict[tuple[str, str | None, bool], list[Mapping[str, Any]]] = {}
    for result in results:
        for check in result["checks"]:
            met.setdefault((check["type"], check["column"], check["severity"] == "critical"), []).append(check)
    return [
        Assertion(
            name=kind,
            success=all(check["success"] for check in checks),
            column=column,
            critical=critical,
            found=_rows(checks),
        )
        for (kind, column, critical), checks in met.items()
    ]


def _rows(checks: Iterable[Mapping[str, Any]]) -> str | None:
    counted = [
        (check["unexpected"], check["judged"]) for check in checks if None not in (check["unexpected"], check["judged"])
    ]
    if not counted:
        return None
    unexpected, judged = (sum(numbers) for numbers in zip(*counted, strict=True))
    return f"{unexpected} of {judged} rows do not meet it"

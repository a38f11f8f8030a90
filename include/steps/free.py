"""Step free: what a retired model can make anew is freed at once; the rest, when its time is over, by a daily DAG."""

from __future__ import annotations

from include.steps.archive import retirement_of
from include.steps.protocol import Document, StepCall


def run(call: StepCall) -> Document:
    """Free features and training sets, which raw rows give again bit for bit.

    Inputs: ``retired`` (output of the step retire), ``actor``.

    :returns: features (number of partitions), staging (folders), files, bytes, restorable_until.
    :raises NotArchived: there is no archive.
    :raises NotRetiredNow: the retirement was undone.
    """
    from include.retirement.freeing import free_caches

    under_way = retirement_of(call)
    freed = free_caches(call.settings, under_way, actor=str(call.inputs.get("actor") or "airflow"))
    until = under_way.restorable_until
    return {
        **freed,
        "features": len(freed["features"]),
        "restorable_until": None if until is None else until.isoformat(),
    }

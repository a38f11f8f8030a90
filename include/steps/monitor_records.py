"""How the step monitor keeps its verdicts: a check result each, with the window for a subject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from include.steps.protocol import StepCall


def record_verdict(call: StepCall, kind: str, stage: str, details: Mapping[str, Any], page: str) -> None:
    """Keep one verdict.

    :param stage: what was judged: ``monitor`` for the data, else the source of answers or labels.
    :param details: with ``verdict`` and ``window`` (``first`` and ``last`` partition, or ``start`` and ``end``).
    :param page: path of the page, relative to the store.
    """
    from include.registry.results import record_check

    window = details["window"]
    record_check(
        call.settings,
        model=call.definition.model,
        kind=kind,
        stage=stage,
        as_of=call.as_of,
        subject=f"{window['first'] or window['start']}..{window['last'] or window['end']}",
        verdict=details["verdict"],
        details=details,
        page=page,
    )

"""Step ``audit``: ends a data run. Red when a partition was refused or missing, with their names.

Inputs: ``raw`` and ``features`` (outputs of the gates; either may be missing), ``published`` (the output of publishing
the features).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from include.errors import Refused
from include.steps.protocol import Document, StepCall

if TYPE_CHECKING:
    from include.lake.staging import StagedPartition

_SHOWN = 10


class DataRunIncomplete(Refused):
    """Partitions of the run's range were refused or never arrived; the others were published."""

    def __init__(self, model: str, refused: list[str], missing: list[str], pages: list[str]) -> None:
        self.refused = refused
        self.missing = missing
        parts = [
            f"{len(keys)} {word} ({_names(keys)})"
            for word, keys in (("refused", refused), ("missing", missing))
            if keys
        ]
        where = f" See {', '.join(pages)} in the store." if pages else ""
        super().__init__(
            f"Model {model}: of the partitions asked for, {' and '.join(parts)}; all others are published.{where} "
            "Repair their source files and run the data DAG for them again."
        )


def run(call: StepCall) -> Document:
    """Say in short what the run published.

    :raises DataRunIncomplete: if a partition was refused by a gate, or is missing.
    """
    refused: list[StagedPartition] = []
    missing: list[StagedPartition] = []
    pages: list[str] = []
    for stage in ("raw", "features"):
        gate: dict[str, Any] = call.inputs.get(stage) or {}
        manifest = _manifest(call, gate)
        if manifest is None:
            continue
        bad = manifest.of_status("refused")
        refused += bad
        missing += manifest.of_status("missing")
        if bad and gate.get("page"):
            pages.append(gate["page"])
    if refused or missing:
        incomplete = DataRunIncomplete(call.definition.model, _keys(refused), _keys(missing), pages)
        _record_missing(call, incomplete)
        raise incomplete
    published: dict[str, Any] = call.inputs.get("published") or {}
    names = ("table", "version", "digest", "first", "last", "partitions", "rows", "changed")
    return {"verdict": "complete", **{name: published.get(name) for name in names}}


def _record_missing(call: StepCall, incomplete: DataRunIncomplete) -> None:
    """Keep which partitions never arrived; of the refused ones the gate has kept its verdict."""
    from include.registry.results import record_check

    missing = incomplete.missing
    if missing:
        record_check(
            call.settings,
            model=call.definition.model,
            kind="partitions",
            stage="audit",
            as_of=call.as_of,
            subject=missing[0] if len(missing) == 1 else f"{missing[0]}..{missing[-1]}",
            verdict="missing",
            details={"missing": missing, "reason": str(incomplete)},
        )


def _manifest(call: StepCall, gate: dict[str, Any]) -> Any:
    from include.lake.staging import read_manifest

    return read_manifest(call.settings, gate["staged"]) if gate.get("staged") else None


def _keys(partitions: list[StagedPartition]) -> list[str]:
    return sorted({partition.key for partition in partitions})


def _names(keys: list[str]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(keys[:_SHOWN]) + more

"""What a scoring leaves of its gates: a page for each of the two, result rows, and the refused parts in quarantine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Final

from include.steps.protocol import StepCall
from include.steps.verdicts import record_verdicts

if TYPE_CHECKING:
    from include.gates.result import GateResult
    from include.gates.suite import Suite
    from include.lake.staging import StagedPartition
    from include.reports.gate_page import GatePage
    from include.serving.scoring.run import Outcome

_CURES: Final = {
    "scoring": "Correct the data, then run {model}.score for {subject} again.",
    "scores": "Look at the version and at the rows: score with another version, or correct the data; then run "
    "{model}.score for {subject} again.",
}


def page_path(call: StepCall, stage: str, version: int, keys: Sequence[str]) -> Path:
    """Where the page of a stage is; the same for the same run, so that a rerun finds it."""
    from include.lake.paths import checked_model

    parts = hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()[:8]
    name = f"{call.as_of.astimezone(UTC):%Y-%m-%dT%H%M%SZ}-v{version}-{parts}.html"
    return call.settings.store / "reports" / checked_model(call.definition.model) / "gates" / stage / name


def write_stage(
    call: StepCall,
    suite: Suite,
    path: Path,
    outcomes: Sequence[Outcome],
    settled: Sequence[StagedPartition],
    subject: str,
) -> str | None:
    """Write a stage's page and JSON, quarantine what it refused, record its verdicts; the page's path in the store.

    :returns: None if the stage judged nothing.
    """
    from include.reports.gate_page import GatePage

    judged = [(outcome, result) for outcome in outcomes for result in outcome.results if result.stage == suite.stage]
    if not judged:
        return None
    results = [result for _, result in judged]
    files = {result.subject: place for outcome, result in judged if (place := _keep(call, outcome, result))}
    refused = [result.subject for result in results if result.verdict == "refused"]
    first = suite.stage == "scoring"
    page = GatePage(
        model=call.definition.model,
        stage=suite.stage,
        subject=subject,
        as_of=call.as_of,
        cure=cure(call, suite.stage, refused),
        missing={p.key: p.problem or "" for p in settled if p.status == "missing" and first},
        unchanged=sum(partition.status == "unchanged" for partition in settled),
        files=files,
    )
    written = _write(call, suite, path, results, page)
    verdict = "passed" if not refused else "partly" if len(refused) < len(results) + page.unchanged else "refused"
    record_verdicts(call, suite, subject, verdict, results, written)
    return written


def cure(call: StepCall, stage: str, refused: Sequence[str]) -> str:
    """What to do about refused parts."""
    subject = refused[0] if len(refused) == 1 else "the refused parts"
    return _CURES[stage].format(model=call.definition.model, subject=subject)


def _write(call: StepCall, suite: Suite, path: Path, results: Sequence[GateResult], page: GatePage) -> str:
    from include.lake.store import store_of
    from include.reports.gate_page import write_gate_page
    from include.reports.layout import write_atomically

    document = {
        "model": page.model,
        "stage": page.stage,
        "subject": page.subject,
        "as_of": page.as_of.isoformat(),
        "suite": {"name": suite.name, "digest": suite.digest, "file": suite.path.name},
        "missing": dict(page.missing),
        "unchanged": page.unchanged,
        "results": [result.to_document() for result in results],
    }
    text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
    written = write_atomically(path.with_suffix(".json"), text)
    store_of(call.settings).deliver(written, write_gate_page(path, results, page))
    return path.relative_to(call.settings.store).as_posix()


def _keep(call: StepCall, outcome: Outcome, result: GateResult) -> str | None:
    """Quarantine what this stage refused and return its place; resolve its older refusal of what it accepts now."""
    from include.gates.quarantine import PAGE, kept_file, quarantine, resolve
    from include.lake.store import store_of
    from include.reports.gate_page import GatePage, write_gate_page

    model, part = call.definition.model, outcome.staged
    if result.verdict != "refused":
        note = {"accepted_by": result.stage, "attempt": call.attempt, "as_of": call.as_of.isoformat()}
        resolve(call.settings, model, part.key, result.stage, note, scores=True)
        return None
    folder = quarantine(call.settings, model, part, result, own_file=True, scores=True)
    store, kept = store_of(call.settings), kept_file(folder)
    place = store.shown(kept) if kept else part.source or store.shown(folder)
    page = GatePage(
        model=model,
        stage=result.stage,
        subject=result.subject,
        as_of=call.as_of,
        cure=cure(call, result.stage, [result.subject]),
        files={result.subject: place},
    )
    store.deliver(write_gate_page(folder / PAGE, [result], page))
    return place

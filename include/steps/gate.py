"""The step gate: runs a stage's suite on what is staged; a critical failure refuses a partition, or the whole, at once.

Pages, quarantine and result rows are written before a refusal is raised; running again writes the same files.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import TYPE_CHECKING, Any

from include.errors import Refused
from include.steps.gate_rows import connecting, rows_file, whole_rows
from include.steps.protocol import Document, StepCall
from include.steps.verdicts import NAMED, record_verdicts

if TYPE_CHECKING:
    from include.gates.errors import GateRefused
    from include.gates.result import GateResult
    from include.gates.suite import Suite
    from include.lake.staging import StagedManifest, StagedPartition

log = logging.getLogger("noria.steps.gate")

_CURES = {
    "raw": "Correct the source, then run {model}.data for {subject} again.",
    "features": "Correct the feature's expression or the source, then run {model}.data for {subject} again.",
    "training": "Look at the features that it was built from; after a correction run {model}.train again.",
    "predictions": "The trained model is not registered. Look at its run in MLflow and at the training data.",
}


def run(call: StepCall) -> Document:
    """Judge a stage by its suite.

    :param call: ``inputs``: ``stage``, and ``staged`` (raw, features: reference of a manifest), ``training_set``
        (training) or ``training`` (predictions: output of the step train, with its ``staged``).
    :returns: ``stage``, ``verdict``, ``warnings``, ``page``; for what is published also ``staged`` (the gated
        manifest); for partitions of time also ``accepted`` and ``refused``.
    :raises GateRefused: if nothing was accepted.
    :raises GateBroken: if the gate could not be evaluated.
    """
    from include.gates import check_columns, load_suite, stage_columns

    suite = load_suite(call.settings, call.definition.model, str(call.inputs.get("stage")))
    check_columns(suite, stage_columns(call.definition, suite.stage))
    return _judge_staged(call, suite) if suite.stage in ("raw", "features") else _judge_whole(call, suite)


def _judge_staged(call: StepCall, suite: Suite) -> Document:
    """Judge each staged partition alone."""
    from include.lake.staging import write_manifest

    manifest = _manifest(call, suite, call.inputs["staged"])
    results = _results(call, suite, manifest)
    refused = {result.subject: result.reason for result in results if result.verdict == "refused"}
    accepted = len(manifest.accepted) - sum(partition.key in refused for partition in manifest.accepted)
    subject = _range(manifest)
    page = _write_pages(call, suite, manifest, results, subject)
    verdict = _verdict(manifest, refused, accepted)
    warnings = sum(len(result.warnings) for result in results)
    record_verdicts(call, suite, subject, verdict, results, page)
    if not accepted and manifest.partitions:
        reason = _why_nothing(manifest, results)
        raise _refusal(call, suite, subject, reason, page)
    gated = manifest.judged(refused, _gate_word(suite, verdict, page))
    staged = write_manifest(call.settings, gated, "gated.json")
    return {
        "stage": suite.stage,
        "verdict": verdict,
        "staged": staged,
        "accepted": accepted,
        "refused": list(refused)[:NAMED],
        "warnings": warnings,
        "page": page,
    }


def _manifest(call: StepCall, suite: Suite, staged: Mapping[str, Any]) -> StagedManifest:
    from include.lake.staging import read_manifest

    manifest = read_manifest(call.settings, staged)
    if manifest.table != suite.stage or manifest.model != call.definition.model:
        raise Refused(
            f"The {suite.stage} gate of {call.definition.model} was given what is staged for the table "
            f"{manifest.table} of {manifest.model}. Give it the output of the step that stages {suite.stage}."
        )
    return manifest


def _gate_word(suite: Suite, verdict: str, page: str) -> dict[str, Any]:
    """What the gated manifest keeps of the verdict."""
    return {"stage": suite.stage, "verdict": verdict, "suite": suite.name, "suite_digest": suite.digest, "page": page}


def _results(call: StepCall, suite: Suite, manifest: StagedManifest) -> list[GateResult]:
    """A result for each partition that was staged, or that could not be."""
    from include.gates.engine import Evaluator
    from include.gates.frames import file_rows, read_table
    from include.gates.large import LARGE_ROWS, judge_rows
    from include.gates.result import unreadable
    from include.gates.together import at_once, judge_each
    from include.lake.paths import from_store
    from include.lake.store import store_of

    staged = manifest.of_status("staged")
    store_of(call.settings).fetch(*(from_store(call.settings, p.path) for p in staged if p.path), fixed=True)
    started = time.monotonic()
    evaluator = Evaluator(suite, personal=call.definition.serving.personal) if staged else None
    entity = call.definition.source.entity
    results: dict[str, GateResult] = {}
    large = [partition for partition in staged if partition.rows > LARGE_ROWS and partition.path is not None]
    for partition in large:
        rows = file_rows(rows_file(call, manifest, partition), suite, partition.key)
        if evaluator:
            results[partition.key] = judge_rows(evaluator, rows, connecting(call), identify=entity)
    small = [partition for partition in staged if partition not in large]
    for some in at_once(small, [partition.rows for partition in small]):
        frames = {
            partition.key: read_table(rows_file(call, manifest, partition), suite, partition.key, entity)
            for partition in some
            if partition.path is not None
        }
        judged = judge_each(evaluator, frames, entity) if evaluator else []
        results |= {result.subject: result for result in judged}
    log.info("judged %d partitions by %s in %.1f s", len(staged), suite.name, time.monotonic() - started)
    for partition in manifest.of_status("staged", "refused"):
        if partition.key not in results:
            problem = partition.problem or "no rows were staged for it"
            results[partition.key] = unreadable(suite, partition.key, problem, partition.rows or None)
    return [results[partition.key] for partition in manifest.of_status("staged", "refused")]


def _write_pages(
    call: StepCall, suite: Suite, manifest: StagedManifest, results: Sequence[GateResult], subject: str
) -> str:
    """Write quarantine folders with their pages, then the stage's page and its JSON; return the page's path."""
    from include.reports.gate_page import GatePage

    partitions = {partition.key: partition for partition in manifest.partitions}
    files: dict[str, str] = {}
    for result in results:
        files |= _keep(call, suite, partitions[result.subject], result)
    refused = [result.subject for result in results if result.verdict == "refused"]
    page = GatePage(
        model=manifest.model,
        stage=suite.stage,
        subject=subject,
        as_of=call.as_of,
        cure=_cure(call, suite, refused[0] if len(refused) == 1 else "the refused partitions" if refused else subject),
        missing={p.key: p.problem or "its data is not there" for p in manifest.of_status("missing")},
        unchanged=len(manifest.of_status("unchanged")),
        remarks={p.key: p.notes for p in manifest.partitions if p.notes},
        files=files,
    )
    return _write_page(call, suite, subject.replace(" ", "_"), results, page)


def _keep(call: StepCall, suite: Suite, partition: StagedPartition, result: GateResult) -> dict[str, str]:
    """Quarantine what is refused and return its place by subject; resolve an older refusal of what is accepted."""
    from include.gates.quarantine import resolve

    if result.verdict == "refused":
        return {result.subject: _quarantine(call, suite, partition, result)}
    note = {"accepted_by": suite.stage, "attempt": call.attempt, "as_of": call.as_of.isoformat()}
    resolve(call.settings, call.definition.model, partition.key, suite.stage, note)
    return {}


def _quarantine(call: StepCall, suite: Suite, partition: StagedPartition, result: GateResult) -> str:
    """Quarantine a refused partition and write its page; return what to show a reader as the place."""
    from include.gates.quarantine import PAGE, kept_file, quarantine
    from include.lake.store import store_of
    from include.reports.gate_page import GatePage, write_gate_page

    store = store_of(call.settings)
    own_file = "{partition}" in call.definition.source.path
    folder = quarantine(call.settings, call.definition.model, partition, result, own_file=own_file)
    kept = store.shown(kept_file(folder) or folder)
    page = GatePage(
        model=call.definition.model,
        stage=suite.stage,
        subject=partition.key,
        as_of=call.as_of,
        cure=_cure(call, suite, partition.key),
        remarks={result.subject: partition.notes},
        files={result.subject: kept if kept_file(folder) else partition.source or kept},
    )
    store.deliver(write_gate_page(folder / PAGE, [result], page))
    return kept


def _judge_whole(call: StepCall, suite: Suite) -> Document:
    """Judge a training set or predictions as one; what is staged goes on with the verdict, or into quarantine."""
    from include.gates.engine import Evaluator
    from include.gates.large import judge_rows
    from include.lake.staging import write_manifest
    from include.reports.gate_page import GatePage

    manifest = _manifest(call, suite, call.inputs["training"]["staged"]) if suite.stage == "predictions" else None
    subject = "the training set" if manifest is None else "the holdout predictions"
    identify, rows = whole_rows(call, suite, subject, manifest)
    evaluator = Evaluator(suite, personal=call.definition.serving.personal)
    result = judge_rows(evaluator, rows, connecting(call), identify=identify)
    model, cure = call.definition.model, _cure(call, suite, subject)
    files = {} if manifest is None else _keep(call, suite, manifest.partitions[0], result)
    about = GatePage(model=model, stage=suite.stage, subject=subject, as_of=call.as_of, cure=cure, files=files)
    page = _write_page(call, suite, f"{call.as_of.astimezone(UTC):%Y-%m-%dT%H%M%SZ}", [result], about)
    record_verdicts(call, suite, subject, result.verdict, [result], page)
    if result.verdict == "refused":
        raise _refusal(call, suite, subject, result.reason, page)
    output = {"stage": suite.stage, "verdict": "passed", "warnings": len(result.warnings), "page": page}
    if manifest is None:
        return output
    gated = manifest.judged({}, _gate_word(suite, "passed", page))
    return output | {"staged": write_manifest(call.settings, gated, "gated.json")}


def _write_page(call: StepCall, suite: Suite, name: str, results: Sequence[GateResult], page: Any) -> str:
    """Write JSON and page below ``reports/<model>/gates/<stage>/``; return the page's path relative to the store."""
    from include.lake.paths import checked_model
    from include.lake.store import store_of
    from include.reports.gate_page import write_gate_page
    from include.reports.layout import write_atomically

    folder = call.settings.store / "reports" / checked_model(call.definition.model) / "gates" / suite.stage
    about = {
        "model": call.definition.model,
        "stage": suite.stage,
        "subject": page.subject,
        "as_of": call.as_of.isoformat(),
        "suite": {"name": suite.name, "digest": suite.digest},
        "missing": dict(page.missing),
        "unchanged": page.unchanged,
    }
    head = json.dumps(about, indent=1, allow_nan=False, ensure_ascii=False).removesuffix("\n}")
    # A line for each result: Python's encoder indents 1,500 of them in seconds, and writes lines in no time.
    lines = (json.dumps(result.to_document(), allow_nan=False, ensure_ascii=False) for result in results)
    text = f'{head},\n "results": [\n' + ",\n".join(lines) + "\n ]\n}\n"
    written = write_atomically(folder / f"{name}.json", text)
    path = write_gate_page(folder / f"{name}.html", results, page)
    store_of(call.settings).deliver(written, path)
    return path.relative_to(call.settings.store).as_posix()


def _verdict(manifest: StagedManifest, refused: Mapping[str, str], accepted: int) -> str:
    if not accepted and manifest.partitions:
        return "refused"
    return "partly" if refused else "passed"


def _why_nothing(manifest: StagedManifest, results: Sequence[GateResult]) -> str:
    refused = [result for result in results if result.verdict == "refused"]
    if refused:
        more = f" ({len(refused) - 1} more partitions are refused)" if len(refused) > 1 else ""
        return f"{refused[0].reason.rstrip('.')}{more}"
    missing = manifest.of_status("missing")
    more = f" ({len(missing) - 1} more partitions are missing)" if len(missing) > 1 else ""
    return f"{(missing[0].problem or f'{missing[0].key} is missing').rstrip('.')}{more}"


def _range(manifest: StagedManifest) -> str:
    keys = [partition.key for partition in manifest.partitions]
    if not keys:
        return "nothing"
    return keys[0] if len(keys) == 1 else f"{keys[0]} to {keys[-1]}"


def _refusal(call: StepCall, suite: Suite, subject: str, reason: str, page: str) -> GateRefused:
    """The error that says that nothing was accepted.

    :param page: relative to the store.
    """
    from include.gates.errors import GateRefused

    path, shown = call.settings.store / page, f"{call.settings.store_address}/{page}"
    return GateRefused(suite.stage, subject, reason, path, _cure(call, suite, subject), shown=shown)


def _cure(call: StepCall, suite: Suite, subject: str) -> str:
    return _CURES[suite.stage].format(model=call.definition.model, subject=subject)

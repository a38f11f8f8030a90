"""Step ``score``: a version's answers for partitions of the raw table, or for files, into the table ``scores``.

Gate, model and gate are one step, because a part (a partition or a file) passes all three while its rows are at hand:
between tasks every row would have to be written and read twice more. What is left to two tasks is only what must
outlive a retry: which version scores (step ``choose``).

All parts of a run that pass are published by one atomic commit, under the table's lock; a part that is refused is
published not at all. Run it again, or after a kill, and it does what is not done: a part whose scores are made from the
same rows, version, suites and as-of is ``unchanged`` and is not even read.

Inputs: ``chosen`` (output of ``choose``) or ``version`` (none: the champion of this moment); ``first``, ``last`` (keys
of the raw table; default: the last complete partition as of the run's instant) or ``path`` (a pattern of Parquet or CSV
files, relative to the store, or absolute below the store or the source's folder); ``force`` (score again what is
unchanged, and also with a barred or retired version).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.errors import Refused, TryAgain
from include.steps.protocol import Document, StepCall

if TYPE_CHECKING:
    from include.lake.score_sources import Source
    from include.lake.staging import StagedManifest, StagedPartition
    from include.serving.scoring.run import Outcome, Plan, Suites
    from include.serving.scoring.version import ChosenVersion

log = logging.getLogger(__name__)
_NAMED = 20


class PathOrPartitions(Refused):
    """Both files and partitions were asked for."""

    def __init__(self) -> None:
        super().__init__("Give either a path of files, or first and last of the raw table's partitions; not both.")


class PartitionNotPublished(TryAgain):
    """The one partition asked for is not in the raw table yet."""

    def __init__(self, key: str, problem: str) -> None:
        self.key = key
        super().__init__(f"{problem} It will be looked for again.")


class ScoringIncomplete(Refused):
    """Parts of the run were refused or are missing; the scores of the others are published."""

    def __init__(self, model: str, refused: list[str], missing: list[str], published: int, pages: list[str]) -> None:
        self.refused, self.missing, self.published, self.pages = refused, missing, published, pages
        named = (("refused", refused), ("missing", missing))
        words = [f"{len(names)} {word} ({_names(names)})" for word, names in named if names]
        where = f" See {', '.join(pages)} in the store." if pages else ""
        super().__init__(
            f"Model {model}: of what should be scored, {' and '.join(words)}; {published} published.{where} Repair "
            f"the data or choose another version, then run {model}.score for them again."
        )


def run(call: StepCall) -> Document:
    """Score and publish.

    :returns: ``table``, ``version`` and ``digest`` of the scores table, ``model_version``, ``partitions`` and ``rows``
        (of this run), ``changed``, ``unchanged``, ``dropped``, ``refused``, ``missing``, ``page``, ``input_page``,
        ``notes``.
    :raises ScoringIncomplete: if something was refused or is missing, after the rest is published.
    :raises PartitionNotPublished: if the only partition asked for is missing.
    """
    from include.lake.cleaning import clean_staging
    from include.lake.table import LakeTable
    from include.serving.scoring.run import Suites, plan

    model = call.definition.model
    chosen = _chosen(call)
    suites = Suites.of(call.settings, model)
    clean_staging(call.settings, model)
    source = _source(call)
    planned = plan(
        source.parts(),
        LakeTable(call.settings, model, "scores").partitions(),
        definition=call.definition,
        chosen=chosen,
        suites=suites,
        as_of=call.as_of,
        force=bool(call.inputs.get("force")),
    )
    if not planned.work and len(planned.settled) == 1 and planned.settled[0].status == "missing":
        raise PartitionNotPublished(planned.settled[0].key, planned.settled[0].problem or "")
    outcomes, pages = _score(call, chosen, suites, source, planned)
    manifest = _manifest(call, outcomes, planned.settled)
    output = _publish(call, manifest, pages) if manifest.accepted else {}
    _refuse_incomplete(call, manifest, outcomes, pages)
    return output | {
        "model_version": chosen.version,
        "refused": [],
        "missing": [],
        "page": pages.get("scores"),
        "input_page": pages.get("scoring"),
        "notes": _notes(call, chosen),
    }


def _chosen(call: StepCall) -> ChosenVersion:
    from include.steps.choose import choose

    settled = call.inputs.get("chosen")
    chosen: ChosenVersion = choose(call, settled["version"] if settled else call.inputs.get("version"))
    for note in _notes(call, chosen):
        log.warning("%s", note)
    return chosen


def _notes(call: StepCall, chosen: ChosenVersion) -> list[str]:
    """What a reader of these scores must know."""
    if chosen.as_of <= call.as_of:
        return []
    return [
        f"Version {chosen.version} was trained as of {chosen.as_of.isoformat()}, later than this run's as-of: it may "
        "have learned from these rows, so do not measure its quality on them."
    ]


def _source(call: StepCall) -> Source:
    """Where the rows come from."""
    from include.lake.score_files import find_files
    from include.lake.score_sources import DeliveredSource, RawSource
    from include.spec.columns import used_histories
    from include.steps.ingest import chosen_partitions

    path = call.inputs.get("path")
    source: Source
    if path and (call.inputs.get("first") or call.inputs.get("last")):
        raise PathOrPartitions
    if path:
        files = find_files(call.settings, call.definition, str(path))
        source = DeliveredSource(call.settings, call.definition, files, call.attempt)
    else:
        keys = [partition.key for partition in chosen_partitions(call)]
        source = RawSource(call.settings, call.definition, keys)
    if not used_histories(call.definition):
        return source
    from include.serving.scoring.past import PastSource

    return PastSource(call.settings, call.definition, source, call.attempt)


def _score(
    call: StepCall, chosen: ChosenVersion, suites: Suites, source: Source, planned: Plan
) -> tuple[list[Outcome], dict[str, str]]:
    """Score what is to be scored; returns what became of it, and the pages by stage."""
    from include.serving.scoring.packaged import opened_model
    from include.serving.scoring.past import check_history
    from include.serving.scoring.rows import Scorer
    from include.serving.scoring.run import PartRun
    from include.steps.score_pages import page_path, write_stage

    keys = [partition.key for partition in planned.settled] + [part.key for part, _ in planned.work]
    places = {stage: page_path(call, stage, chosen.version, keys) for stage in ("scoring", "scores")}
    if not planned.work:
        return [], _earlier_pages(call, places)
    pages: dict[str, str] = {}
    with opened_model(call.settings, call.definition.model, chosen) as packaged:
        check_history(call.definition, chosen.version, packaged.description)
        scorer = Scorer(
            settings=call.settings,
            definition=call.definition,
            packaged=packaged,
            version=chosen.version,
            as_of=call.as_of,
            attempt=call.attempt,
        )
        parts = PartRun(scorer=scorer, source=source, suites=suites)
        outcomes = [parts.outcome(part, inputs) for part, inputs in planned.work]
        subject = _range([part.name for part, _ in planned.work])
        for suite in (parts.entry_suite, parts.exit_suite):
            page = write_stage(call, suite, places[suite.stage], outcomes, planned.settled, subject)
            pages |= {suite.stage: page} if page else {}
    _let_go(call, source, outcomes)
    return outcomes, pages


def _earlier_pages(call: StepCall, places: Mapping[str, Path]) -> dict[str, str]:
    """The pages that are there from the scoring that left nothing to do."""
    from include.lake.store import store_of

    store, root = store_of(call.settings), call.settings.store
    return {stage: path.relative_to(root).as_posix() for stage, path in places.items() if store.size(path) is not None}


def _let_go(call: StepCall, source: Source, outcomes: Sequence[Outcome]) -> None:
    """Remove the staged files of what was refused: quarantine has them now."""
    from include.lake.paths import from_store
    from include.lake.store import store_of

    for outcome in outcomes:
        if outcome.staged.status == "refused":
            source.release(outcome.part)
            if outcome.staged.path:
                store_of(call.settings).remove(from_store(call.settings, outcome.staged.path))


def _manifest(call: StepCall, outcomes: Sequence[Outcome], settled: Sequence[StagedPartition]) -> StagedManifest:
    from include.lake.digests import code_checksum
    from include.lake.staging import new_manifest

    manifest = new_manifest(
        model=call.definition.model,
        table="scores",
        attempt=call.attempt,
        as_of=call.as_of,
        partitions=[*(outcome.staged for outcome in outcomes), *settled],
        code=code_checksum(),
    )
    counts = {s: len(manifest.of_status(s)) for s in ("staged", "unchanged", "refused", "missing")}
    log.info("scores: %s", ", ".join(f"{count} {status}" for status, count in counts.items()))
    for partition in manifest.of_status("refused", "missing"):
        log.warning("%s: %s", partition.key, partition.problem)
    return manifest


def _publish(call: StepCall, manifest: StagedManifest, pages: dict[str, str]) -> Document:
    from include.lake.table import LakeTable

    verdict = "partly" if manifest.of_status("refused", "missing") else "passed"
    gate: dict[str, Any] = {"stage": "scores", "verdict": verdict, "page": pages.get("scores")}
    table = LakeTable(call.settings, call.definition.model, "scores")
    published = table.publish(manifest, attempt=call.attempt, gate=gate)
    if published.dropped:
        log.warning(
            "%s: the columns changed; %d partitions of the old kind left this version", table.label,
            len(published.dropped),
        )  # fmt: skip
    return {
        "table": "scores",
        "version": published.version,
        "digest": published.digest,
        "partitions": len(manifest.accepted),
        "rows": published.rows,
        "changed": len(published.changed),
        "unchanged": len(manifest.of_status("unchanged")),
        "dropped": len(published.dropped),
    }


def _refuse_incomplete(
    call: StepCall, manifest: StagedManifest, outcomes: Sequence[Outcome], pages: dict[str, str]
) -> None:
    names = {outcome.part.key: outcome.part.name for outcome in outcomes}
    refused = [names[partition.key] for partition in manifest.of_status("refused")]
    missing = [partition.key for partition in manifest.of_status("missing")]
    if refused or missing:
        raise ScoringIncomplete(
            call.definition.model, refused, missing, len(manifest.accepted), sorted(pages.values()) if refused else []
        )


def _range(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more

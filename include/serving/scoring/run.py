"""One part after the other: its rows judged, scored, and the scores judged. Nothing is published here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from include.gates.engine import Evaluator
from include.gates.frames import file_rows
from include.gates.large import judge_rows
from include.gates.result import GateResult, unreadable
from include.gates.scoring import applied, scoring_suite
from include.gates.suite import Suite
from include.lake.columns import PREDICTION, ROW
from include.lake.connections import open_duckdb
from include.lake.digests import inputs_digest
from include.lake.paths import from_store, relative_to_store
from include.lake.score_columns import kept_columns, scored_columns, scores_schema
from include.lake.score_sources import Part, PartUnreadable, Source
from include.lake.staging import StagedPartition
from include.lake.table import PartitionRecord
from include.lake.writer import WrittenPartition
from include.serving.scoring.rows import PartNotScored, Scorer
from include.serving.scoring.version import ChosenVersion
from include.settings import Settings
from include.spec.definition import Definition
from include.spec.memory import duckdb_memory

if TYPE_CHECKING:
    import duckdb

SCORES_FORMAT: Final = 1  # raised when the same rows and version would give other scores


@dataclass(frozen=True, kw_only=True)
class Suites:
    """The suite files that guard what goes in and what comes out."""

    entry: Suite
    exit: Suite

    @classmethod
    def of(cls, settings: Settings, model: str) -> Suites:
        """The model's own, or those that are borrowed.

        :raises SuiteError: if one cannot be used.
        """
        return cls(entry=scoring_suite(settings, model, "scoring"), exit=scoring_suite(settings, model, "scores"))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What there is to do.

    :param work: parts to score, with the digest of what their scores are made from.
    :param settled: parts that need no scoring: unchanged, or missing.
    """

    work: tuple[tuple[Part, str], ...]
    settled: tuple[StagedPartition, ...]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a part.

    :param staged: staged, or refused with the reason.
    :param results: what the gates said: of the rows, then of the scores, if it came that far.
    """

    part: Part
    staged: StagedPartition
    results: tuple[GateResult, ...]


def plan(
    parts: Iterable[Part],
    published: Mapping[str, PartitionRecord],
    *,
    definition: Definition,
    chosen: ChosenVersion,
    suites: Suites,
    as_of: datetime,
    force: bool,
) -> Plan:
    """Which parts are to be scored: not those whose published scores are made from the same things."""
    work: list[tuple[Part, str]] = []
    settled: list[StagedPartition] = []
    for part in parts:
        if part.content is None:
            problem = f"Partition {part.key} is not in the raw table; run {definition.model}.data for it."
            settled.append(StagedPartition(key=part.key, status="missing", problem=problem))
            continue
        inputs = _inputs(part, definition, chosen, suites, as_of)
        record = published.get(part.key)
        if record is not None and record.inputs == inputs and not force:
            settled.append(
                StagedPartition(key=part.key, status="unchanged", rows=record.rows, digest=record.digest, inputs=inputs)
            )
        else:
            work.append((part, inputs))
    return Plan(work=tuple(work), settled=tuple(settled))


def _inputs(part: Part, definition: Definition, chosen: ChosenVersion, suites: Suites, as_of: datetime) -> str:
    return inputs_digest(
        format=SCORES_FORMAT,
        source=[part.data_source, part.content],
        columns=list(kept_columns(definition).items()),
        time_zone=definition.source.time_zone,
        version=chosen.version,
        artifact=chosen.artifact_digest,
        suites=[suites.entry.stage, suites.entry.digest, suites.exit.stage, suites.exit.digest],
        as_of=as_of.astimezone(UTC).isoformat(),
    )


@dataclass(frozen=True, kw_only=True)
class PartRun:
    """Scores parts with one version."""

    scorer: Scorer
    source: Source
    suites: Suites

    @cached_property
    def _entry(self) -> Evaluator:
        return Evaluator(self.entry_suite, personal=self.scorer.definition.serving.personal)

    @cached_property
    def _exit(self) -> Evaluator:
        return Evaluator(self.exit_suite, personal=self.scorer.definition.serving.personal)

    @cached_property
    def entry_suite(self) -> Suite:
        """What is expected of the rows."""
        definition = self.scorer.definition
        columns = [ROW, *scored_columns(definition, self.scorer.inputs)]
        required = definition.source.event_time or definition.source.entity[0]
        return applied(self.suites.entry, "scoring", columns, required)

    @cached_property
    def exit_suite(self) -> Suite:
        """What is expected of the scores."""
        return applied(self.suites.exit, "scores", scores_schema(self.scorer.definition).names, PREDICTION)

    def outcome(self, part: Part, inputs: str) -> Outcome:
        """Judge, score and judge a part; the rows of a refused one are kept for the quarantine.

        :raises GateBroken: if a gate could not be evaluated.
        """
        try:
            rows = self.source.rows(part, scored_columns(self.scorer.definition, self.scorer.inputs))
        except PartUnreadable as problem:
            return self._refused(part, inputs, unreadable(self.entry_suite, part.name, str(problem)))
        entry = self._judged(self._entry, rows, part)
        if entry.verdict == "refused":
            return self._refused(part, inputs, entry, rows=rows)
        try:
            written = self.scorer.score(part, rows)
        except PartNotScored as problem:
            return self._refused(part, inputs, entry, unreadable(self.exit_suite, part.name, str(problem)), rows=rows)
        scores = from_store(self.scorer.settings, written.path)
        exit_ = self._judged(self._exit, scores, part)
        if exit_.verdict == "refused":
            return self._refused(part, inputs, entry, exit_, rows=scores)
        self.source.release(part)
        return Outcome(part=part, staged=_staged(part, inputs, written), results=(entry, exit_))

    def _judged(self, evaluator: Evaluator, path: Path, part: Part) -> GateResult:
        suite = self.entry_suite if evaluator is self._entry else self.exit_suite
        entity = self.scorer.definition.source.entity
        return judge_rows(evaluator, file_rows(path, suite, part.name), self._connect, identify=entity)

    def _connect(self, folders: Sequence[Path]) -> duckdb.DuckDBPyConnection:
        scorer = self.scorer
        memory = duckdb_memory(scorer.definition, "score")
        return open_duckdb(scorer.settings, memory=memory, readable=sorted(set(folders)))

    def _refused(self, part: Part, inputs: str, *results: GateResult, rows: Path | None = None) -> Outcome:
        """The part with the file that goes to quarantine: the rows or scores that were refused, else what came."""
        own = rows is not None and rows != part.file
        staged = StagedPartition(
            key=part.key,
            status="refused",
            path=relative_to_store(self.scorer.settings, rows) if own and rows is not None else None,
            rows=results[-1].rows or 0,
            inputs=inputs,
            source=str(part.file) if part.file is not None else None,
            problem=results[-1].reason,
        )
        return Outcome(part=part, staged=staged, results=results)


def _staged(part: Part, inputs: str, written: WrittenPartition) -> StagedPartition:
    return StagedPartition(
        key=part.key,
        status="staged",
        path=written.path,
        rows=written.rows,
        digest=written.digest,
        inputs=inputs,
        checksum=written.checksum,
        source=str(part.file) if part.file is not None else None,
    )

"""The gate of the request log: a batch of rows judged by ``expectations/<model>/inference.json`` or ``feedback.json``.

A model without a suite passes. A suite that is wrong, or cannot be evaluated, lets nothing pass and loses nothing: the
records wait in their segments until it is repaired.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from include.gates import Suite, load_suite
from include.gates.result import GateResult
from include.lake.paths import quarantine_folder
from include.lake.store import store_of
from include.registry import database
from include.registry.results import record_check
from include.serving.request_log.segments import to_disk
from include.serving.request_log.tables import LogTable
from include.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from include.gates.engine import Evaluator

UNRECORDED: Final = "unrecorded.json"
_UNRECORDED_PATHS: Final = f"*/*/{UNRECORDED}"
SOURCE: Final = "request log"
"""By this the quarantine of the log is told from that of partitions."""
_IDENTIFY: Final[dict[LogTable, tuple[str, ...]]] = {
    "inference": ("request_id", "row"),
    "feedback": ("request_id", "row", "entity"),
}
_log = logging.getLogger(__name__)


@dataclass
class Sifted:
    """What became of a batch.

    :param accepted: parts that passed.
    :param refused: parts that did not, whole requests each.
    :param verdict: why the whole was refused; None if all passed.
    """

    accepted: list[pa.Table]
    refused: list[pa.Table]
    verdict: GateResult | None


class LogGate:
    """Judges batches; keeps what Great Expectations made of a suite until its file changes.

    :param settings: where suites and quarantine are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._suites: dict[Path, tuple[float, Suite]] = {}
        self._evaluators: dict[tuple[str, tuple[str, ...]], Evaluator] = {}

    def judge(self, model: str, table: LogTable, rows: pa.Table, subject: str) -> GateResult | None:
        """The verdict on a batch; None if the model has no suite for it, or nothing of it applies.

        Expectations on inputs that this version does not have are left out; one that only warns shows no samples.

        :raises SuiteError: the suite is wrong.
        :raises GateBroken: the suite could not be evaluated.
        """
        found = self._ready(model, table, rows)
        if found is None:
            return None
        return found[0].judge(found[1], subject=subject, identify=_IDENTIFY[table], brief=True)

    def sift(self, model: str, table: LogTable, rows: pa.Table, subject: str) -> Sifted:
        """Judge a batch, and if single rows are what is wrong, take out the requests that they came in.

        A batch is what happened to be logged in the same seconds: one caller's wrong label must not hold back what
        others sent. Expectations on the batch as a whole refuse it as a whole.

        :raises SuiteError: the suite is wrong.
        :raises GateBroken: the suite could not be evaluated.
        """
        verdict = self.judge(model, table, rows, subject)
        if verdict is None or verdict.verdict == "passed":
            return Sifted([rows], [], None)
        if all(check.unexpected is not None for check in verdict.critical_failures):
            right, wrong = self._parted(model, table, rows)
            again = self.judge(model, table, right, subject)
            if again is None or again.verdict == "passed":
                return Sifted([right], [wrong], verdict)
        return Sifted([], [rows], verdict)

    def _parted(self, model: str, table: LogTable, rows: pa.Table) -> tuple[pa.Table, pa.Table]:
        """The requests of which every row meets every critical expectation, and the others; none is cut."""
        found = self._ready(model, table, rows)
        places = list(zip(rows["segment"].to_pylist(), rows["position"].to_pylist(), strict=True))
        failing = set() if found is None else {places[row] for row in found[0].failing_rows(found[1])}
        wrong = [place in failing for place in places]
        return rows.filter([not is_wrong for is_wrong in wrong]), rows.filter(wrong)

    def _ready(self, model: str, table: LogTable, rows: pa.Table) -> tuple[Evaluator, pd.DataFrame] | None:
        """What judges these rows, and the columns of them that it looks at; None if nothing does."""
        suite = self._suite(model, table)
        if suite is None or not rows.num_rows:
            return None
        names = set(rows.column_names)
        wanted = tuple(item for item in suite.expectations if set(item.columns) <= names)
        if not wanted:
            return None
        kept = dict.fromkeys([*(c for item in wanted for c in item.columns), *_IDENTIFY[table]])
        frame = rows.select([name for name in rows.column_names if name in kept]).to_pandas()
        return self._evaluator(replace(suite, expectations=wanted)), frame

    def _suite(self, model: str, table: LogTable) -> Suite | None:
        path = self._settings.expectations / model / f"{table}.json"
        try:
            changed = path.stat().st_mtime
        except FileNotFoundError:
            return None
        known = self._suites.get(path)
        if known is None or known[0] != changed:
            self._suites[path] = known = (changed, load_suite(self._settings, model, table))
        return known[1]

    def _evaluator(self, suite: Suite) -> Evaluator:
        from include.gates.engine import Evaluator  # seconds of import, paid by the first model that has a suite

        key = (suite.digest, tuple(item.label for item in suite.expectations))
        if key not in self._evaluators:
            self._evaluators[key] = Evaluator(suite)
        return self._evaluators[key]


def batch_key(model: str, table: LogTable, version: int, starts: Mapping[str, int]) -> str:
    """A batch's name: 16 hex digits that stay the same when the batch is made again after a crash.

    :param starts: the first segment's position before the batch counts; later segments may differ.
    """
    segment = min(starts)
    text = f"{model}\0{table}\0{version}\0{segment}\0{starts[segment]}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def quarantine_batch(
    settings: Settings, model: str, table: LogTable, key: str, rows: pa.Table, result: GateResult
) -> Path:
    """Keep what was refused: ``rows.parquet`` and ``gate.json``, on the disk; written beside and moved into place.

    :param result: the verdict on the whole batch.
    :returns: the folder.
    """
    import pyarrow.parquet as pq

    folder = quarantine_folder(settings, model, key)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{key}."))
    pq.write_table(rows, partial / "rows.parquet", compression="zstd")
    document = {"partition": key, "problem": result.reason, "source": SOURCE, "gate": result.to_document()}
    (partial / "gate.json").write_text(json.dumps(document, indent=1, default=str))
    check = {
        "model": model,
        "kind": "gate",
        "stage": table,
        "as_of": datetime.now(UTC).isoformat(),
        "subject": result.subject,
        "verdict": result.verdict,
        "details": {"quarantine": key, "reason": result.reason, "rows": rows.num_rows, "suite": result.suite},
    }
    (partial / UNRECORDED).write_text(json.dumps(check))
    for path in (*partial.iterdir(), partial):
        to_disk(path)
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(partial, folder)
    to_disk(folder.parent)
    store_of(settings).deliver_folder(folder, "gate.json")
    return folder


def release_batch(settings: Settings, model: str, key: str) -> None:
    """The batch was refused by a try that ended before its commit, and is accepted now: nothing of it is held back."""
    folder, store = quarantine_folder(settings, model, key), store_of(settings)
    if store.size(folder / "gate.json") is not None:
        store.remove_folder(folder)


def record_refusals(settings: Settings) -> int:
    """Bring the verdicts on refused batches into the database; returns how many.

    Written apart from the refusal itself, so that the log goes on without a database.

    :raises DatabaseAway: the database cannot be reached; nothing is forgotten.
    """
    store, waiting = store_of(settings), settings.store / "quarantine"
    if not store.find(waiting, _UNRECORDED_PATHS):
        return 0
    recorded = 0
    with database.transaction(settings.database_url) as turn:
        database.lock_until_commit(turn, "refusals")  # servers that share a store take turns
        for path in store.find(waiting, _UNRECORDED_PATHS):
            store.fetch(path)
            with suppress(FileNotFoundError, ValueError):
                check: dict[str, Any] = json.loads(path.read_text())
                record_check(settings, **check | {"as_of": datetime.fromisoformat(check["as_of"])})
                store.remove(path)
                recorded += 1
    return recorded

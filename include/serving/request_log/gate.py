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
from include.registry.results import record_check
from include.serving.request_log.tables import LogTable
from include.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

    from include.gates.engine import Evaluator

_MOST_JUDGEMENTS: Final = 60
UNRECORDED: Final = "unrecorded.json"
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

        Expectations on inputs that this version does not have are left out.

        :raises SuiteError: the suite is wrong.
        :raises GateBroken: the suite could not be evaluated.
        """
        suite = self._suite(model, table)
        if suite is None or not rows.num_rows:
            return None
        names = set(rows.column_names)
        wanted = tuple(item for item in suite.expectations if set(item.columns) <= names)
        if not wanted:
            return None
        kept = dict.fromkeys([*(c for item in wanted for c in item.columns), *_IDENTIFY[table]])
        frame = rows.select([name for name in rows.column_names if name in kept]).to_pandas()
        evaluator = self._evaluator(replace(suite, expectations=wanted))
        return evaluator.judge(frame, subject=subject, identify=_IDENTIFY[table])

    def sift(self, model: str, table: LogTable, rows: pa.Table, subject: str) -> Sifted:
        """Judge a batch, and if single rows are what is wrong, find the requests that they came in.

        A batch is what happened to be logged in the same seconds: one caller's wrong label must not hold back what
        others sent. Expectations on the batch as a whole refuse it as a whole.

        :raises SuiteError: the suite is wrong.
        :raises GateBroken: the suite could not be evaluated.
        """
        verdict = self.judge(model, table, rows, subject)
        if verdict is None or verdict.verdict == "passed":
            return Sifted([rows], [], None)
        sifted = Sifted([], [], verdict)
        self._sift_refused(model, table, rows, verdict, sifted, _MOST_JUDGEMENTS)
        return sifted

    def _sift_refused(
        self, model: str, table: LogTable, rows: pa.Table, verdict: GateResult, sifted: Sifted, left: int
    ) -> int:
        """Judge the halves of a refused part; returns how many judgements may still be made."""
        middle = _middle(rows) if all(check.unexpected is not None for check in verdict.critical_failures) else None
        if middle is None or left < 2:
            sifted.refused.append(rows)
            return left
        left -= 2
        for half in (rows.slice(0, middle), rows.slice(middle)):
            found = self.judge(model, table, half, verdict.subject)
            if found is None or found.verdict == "passed":
                sifted.accepted.append(half)
            else:
                left = self._sift_refused(model, table, half, found, sifted, left)
        return left

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


def _middle(rows: pa.Table) -> int | None:
    """Where to cut a part into halves without cutting a request; None if it is one request."""
    places = list(zip(rows["segment"].to_pylist(), rows["position"].to_pylist(), strict=True))
    cuts = [number for number in range(1, len(places)) if places[number] != places[number - 1]]
    return min(cuts, key=lambda cut: abs(cut - len(places) // 2)) if cuts else None


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
    document = {"partition": key, "problem": result.reason, "source": "request log", "gate": result.to_document()}
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
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(partial, folder)
    return folder


def release_batch(settings: Settings, model: str, key: str) -> None:
    """The batch was refused by a try that ended before its commit, and is accepted now: nothing of it is held back."""
    folder = quarantine_folder(settings, model, key)
    if (folder / "gate.json").exists():
        shutil.rmtree(folder, ignore_errors=True)


def record_refusals(settings: Settings) -> int:
    """Bring the verdicts on refused batches into the database; returns how many.

    Written apart from the refusal itself, so that the log goes on without a database.

    :raises DatabaseAway: the database cannot be reached; nothing is forgotten.
    """
    recorded = 0
    for path in (settings.store / "quarantine").glob(f"*/*/{UNRECORDED}"):
        with suppress(FileNotFoundError, ValueError):
            check: dict[str, Any] = json.loads(path.read_text())
            record_check(settings, **check | {"as_of": datetime.fromisoformat(check["as_of"])})
            path.unlink()
            recorded += 1
    return recorded

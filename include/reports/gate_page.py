"""The gate's page: the verdict in plain words first, then each partition, each expectation, and rows that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from include.gates.result import Check, GateResult
from include.reports.layout import write_page

_DETAILS: Final = 30
"""Most partitions whose expectations are shown one by one; the JSON beside the page has all."""


@dataclass(frozen=True, kw_only=True)
class GatePage:
    """What a gate's page says beside its results.

    :param model: the model's name.
    :param stage: the stage that was judged.
    :param subject: what was judged, such as ``2013-10-01 to 2013-10-31``.
    :param as_of: the run's instant.
    :param cure: what to do next if something was refused.
    :param missing: partitions whose data is not there: key and why.
    :param unchanged: partitions that are already published from the same input; they are not judged again.
    :param remarks: notes on partitions that refuse nothing, such as new columns.
    :param files: what was kept in quarantine, by subject: path relative to the page.
    """

    model: str
    stage: str
    subject: str
    as_of: datetime
    cure: str = ""
    missing: Mapping[str, str] = field(default_factory=dict)
    unchanged: int = 0
    remarks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


def write_gate_page(path: Path, results: Sequence[GateResult], page: GatePage) -> Path:
    """Write one self-contained HTML page about one or many results."""
    shown = [result for result in results if result.verdict == "refused" or result.warnings]
    shown.sort(key=lambda result: (result.verdict != "refused", result.subject))
    detailed = list(results) if len(results) == 1 else shown[:_DETAILS]
    return write_page(
        path,
        "gate.html",
        page=page,
        verdict=_verdict(results, page),
        facts=_facts(results, page),
        results=results,
        striking=shown,
        quiet=[result for result in results if result.verdict == "passed" and not result.warnings],
        detailed=[_detail(result, page) for result in detailed],
        hidden=max(0, len(shown) - len(detailed)),
        across=_across(results) if len(results) > 1 else [],
    )


def _verdict(results: Sequence[GateResult], page: GatePage) -> dict[str, str]:
    refused = [result for result in results if result.verdict == "refused"]
    warned = [result for result in results if result.verdict != "refused" and result.warnings]
    accepted = len(results) - len(refused) + page.unchanged
    if refused and not accepted:
        head = f"Refused: nothing of {page.subject} goes on."
        return {"tone": "bad", "head": head, "happened": _reasons(refused), "todo": page.cure}
    if refused:
        head = f"Partly refused: {_count(len(refused), 'partition')} stopped here, {accepted:,} went on."
        return {"tone": "bad", "head": head, "happened": _reasons(refused), "todo": page.cure}
    if not results:
        return _nothing_judged(page)
    head = f"Passed: {page.subject} goes on."
    if warned:
        happened = f"Nothing critical was found; {_count(len(warned), 'partition')} gave warnings, shown below."
        if len(results) == 1:
            happened = f"Nothing critical was found; {_count(len(warned[0].warnings), 'warning')}, shown below."
        todo = "Nothing has to be done; look at the warnings when you can."
        return {"tone": "warn", "head": head, "happened": happened, "todo": todo}
    return {"tone": "good", "head": head, "happened": "Every expectation is met.", "todo": ""}


def _nothing_judged(page: GatePage) -> dict[str, str]:
    if page.unchanged:
        happened = "All of it is already published from the same input; nothing was judged again."
        return {"tone": "good", "head": f"Passed: {page.subject} is unchanged.", "happened": happened, "todo": ""}
    happened = "No data is there for what was asked."
    return {"tone": "bad", "head": f"Nothing to judge: {page.subject} is missing.", "happened": happened,
            "todo": page.cure}  # fmt: skip


def _reasons(refused: Sequence[GateResult]) -> str:
    first = f"{refused[0].subject}: {refused[0].reason}"
    return first if len(refused) == 1 else f"{first} {len(refused) - 1:,} more below."


def _facts(results: Sequence[GateResult], page: GatePage) -> list[tuple[str, Any]]:
    refused = sum(result.verdict == "refused" for result in results)
    facts: list[tuple[str, Any]] = [("Model", page.model), ("Stage", page.stage)]
    facts += [
        ("As of", f"{page.as_of:%Y-%m-%d %H:%M %Z}".strip()),
        ("Rows", sum(result.rows or 0 for result in results)),
    ]
    if len(results) != 1 or page.unchanged or page.missing:
        facts += [("Accepted", len(results) - refused), ("Refused", refused)]
        facts += [("Unchanged", page.unchanged), ("Missing", len(page.missing))]
    facts.append(("Warnings", sum(len(result.warnings) for result in results)))
    if results:
        facts.append(("Suite", f"{results[0].suite} · {results[0].suite_digest[:8]}"))
    return facts


def _detail(result: GateResult, page: GatePage) -> dict[str, Any]:
    order = {"bad": 0, "warn": 1, "good": 2}
    checks = [{"check": check, "tone": _tone(check), "samples": _samples(check)} for check in result.checks]
    checks.sort(key=lambda entry: order[str(entry["tone"])])
    remarks = page.remarks.get(result.subject, ())
    return {"result": result, "checks": checks, "remarks": remarks, "file": page.files.get(result.subject)}


def _tone(check: Check) -> str:
    return "good" if check.success else "bad" if check.severity == "critical" else "warn"


def _samples(check: Check) -> dict[str, Any] | None:
    if not check.samples:
        return None
    columns = list(dict.fromkeys(name for row in check.samples for name in row))
    return {"columns": columns, "rows": [[_cell(row.get(name)) for name in columns] for row in check.samples]}


def _cell(value: object) -> str:
    """A value of the data as it is: no thousands separators in a flight number."""
    if value is None:
        return "(missing)"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _across(results: Sequence[GateResult]) -> list[dict[str, Any]]:
    """Each expectation over all partitions: how many meet it, from what lowest to what highest value."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for check in (check for result in results for check in result.checks):
        row = rows.setdefault((check.expected, check.severity), {"check": check, "met": 0, "of": 0, "values": []})
        row["of"] += 1
        row["met"] += check.success
        if isinstance(check.observed, int | float) and not isinstance(check.observed, bool):
            row["values"].append(check.observed)
        elif check.unexpected is not None:
            row["values"].append(check.unexpected)
    return [_spread(row) for row in rows.values()]


def _spread(row: Mapping[str, Any]) -> dict[str, Any]:
    values, check = row["values"], row["check"]
    missed = row["of"] - row["met"]
    tone = "good" if not missed else "bad" if check.severity == "critical" else "warn"
    what = "rows that do not" if check.unexpected is not None else "observed"
    spread = {"low": min(values), "high": max(values), "what": what} if values else None
    return {"check": check, "tone": tone, "met": row["met"], "of": row["of"], "spread": spread}


def _count(number: int, word: str) -> str:
    return f"1 {word}" if number == 1 else f"{number:,} {word}s"

"""Steps ingest, publish, prepare, publish, audit in a row, with a gate that only passes documents on."""

from __future__ import annotations

import copy
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest

from include.lake.staging import read_manifest, write_manifest
from include.lake.table import LakeTable
from include.registry.results import find_checks
from include.settings import Settings
from include.spec.definition import Definition
from include.steps import audit, ingest, prepare, publish
from include.steps.audit import DataRunIncomplete
from include.steps.protocol import Document, Step, StepCall
from tests.lake.factories import land, make_definition, make_rows, write_suites

pytestmark = pytest.mark.database
DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]


class Line:
    """Runs steps one after the other, as the data DAG does."""

    def __init__(self, settings: Settings, definition: Definition | None = None) -> None:
        self.settings = write_suites(settings)
        self.definition = definition or make_definition()
        self.attempts = 0

    def step(self, step: Step, **inputs: Any) -> Document:
        self.attempts += 1
        return step(
            StepCall(
                settings=self.settings,
                definition=self.definition,
                as_of=datetime(2024, 1, 4, tzinfo=UTC),
                attempt=f"try-{os.getpid()}-{id(self)}-{self.attempts}",
                inputs=inputs,
            )
        )

    def gate(self, staged: Document, refusals: dict[str, str] | None = None) -> Document:
        manifest = read_manifest(self.settings, staged).judged(refusals or {}, {"verdict": "passed"})
        reference = write_manifest(self.settings, manifest, "gated.json")
        return {"verdict": "partly" if refusals else "passed", "staged": reference, "page": "reports/page.html"}

    def data_run(self, refusals: dict[str, str] | None = None, **inputs: Any) -> dict[str, Document]:
        raw = self.gate(self.step(ingest.run, first=DAYS[0], last=DAYS[-1], **inputs), refusals)
        published = self.step(publish.run, gate=raw)
        features = self.gate(self.step(prepare.run, published=published, force=bool(inputs.get("force"))))
        return {"raw": raw, "features": features, "published": self.step(publish.run, gate=features)}


def test_a_data_run_publishes_both_tables_and_ends_green(stored_settings: Settings) -> None:
    for day in DAYS:
        land(stored_settings, day)
    line = Line(stored_settings)
    outputs = line.data_run()
    summary = line.step(audit.run, **outputs)
    assert summary["verdict"] == "complete"
    assert (summary["partitions"], summary["rows"], summary["changed"]) == (3, 15, 3)
    assert list(LakeTable(line.settings, "orders", "features").partitions()) == DAYS


def test_running_it_again_changes_nothing(stored_settings: Settings) -> None:
    for day in DAYS:
        land(stored_settings, day)
    line = Line(stored_settings)
    first = line.data_run()["published"]
    for options in ({}, {"force": True}):
        again = line.data_run(**options)["published"]
        assert (again["version"], again["digest"], again["changed"]) == (first["version"], first["digest"], 0)
        assert again["rows"] == 15


def test_publish_can_be_repeated(stored_settings: Settings) -> None:
    land(stored_settings, DAYS[0])
    line = Line(stored_settings)
    gate = line.gate(line.step(ingest.run, first=DAYS[0], last=DAYS[0]))
    first = line.step(publish.run, gate=gate)
    second = line.step(publish.run, gate=gate)
    assert (first["changed"], second["changed"]) == (1, 0)
    assert first["version"] == second["version"]


def test_the_same_backfill_twice_at_once_is_published_once(stored_settings: Settings) -> None:
    for day in DAYS:
        land(stored_settings, day)
    first = Line(stored_settings)
    lines = [first, copy.copy(first)]
    together = threading.Barrier(2, timeout=30)

    def run(line: Line) -> Document:
        gate = line.gate(line.step(ingest.run, first=DAYS[0], last=DAYS[-1]))
        together.wait()
        published = line.step(publish.run, gate=gate)
        features = line.gate(line.step(prepare.run, published=published))
        together.wait()
        return line.step(publish.run, gate=features)

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(run, lines))
    assert sorted(output["changed"] for output in done) == [0, 3]
    assert len({(output["version"], output["digest"], output["rows"]) for output in done}) == 1
    for table in ("raw", "features"):
        operations = [entry["operation"] for entry in LakeTable(lines[0].settings, "orders", table).open().history()]
        assert len(operations) == 2, "one that makes the table, one that writes the rows"


def test_the_audit_names_what_was_refused_and_what_is_missing(stored_settings: Settings) -> None:
    land(stored_settings, DAYS[0])
    land(stored_settings, DAYS[1], make_rows(DAYS[1]) | {"price": ["x"] * 5})
    line = Line(stored_settings)
    outputs = line.data_run()
    with pytest.raises(DataRunIncomplete) as caught:
        line.step(audit.run, **outputs)
    assert caught.value.refused == [DAYS[1]]
    assert caught.value.missing == [DAYS[2]]
    assert "reports/page.html" in str(caught.value)
    (check,) = find_checks(line.settings, "orders", kind="partitions")
    assert (check.verdict, check.subject, check.details["missing"]) == ("missing", DAYS[2], [DAYS[2]])
    assert list(LakeTable(line.settings, "orders", "features").partitions()) == [DAYS[0]]


def test_what_the_raw_gate_refuses_gets_no_features(stored_settings: Settings) -> None:
    for day in DAYS:
        land(stored_settings, day)
    line = Line(stored_settings)
    line.data_run({DAYS[1]: "bad"})
    for name in ("raw", "features"):
        assert list(LakeTable(line.settings, "orders", name).partitions()) == [DAYS[0], DAYS[2]]


def test_the_order_in_which_days_come_leaves_no_trace(stored_settings: Settings) -> None:
    from dataclasses import replace

    digests = set()
    for name, order in (("a", DAYS), ("b", DAYS[::-1])):
        settings = replace(stored_settings, store=stored_settings.home / name)
        line = Line(settings)
        for day in order:
            land(settings, day)
            gate = line.gate(line.step(ingest.run, first=day, last=day))
            published = line.step(publish.run, gate=gate)
            features = line.gate(line.step(prepare.run, published=published))
            line.step(publish.run, gate=features)
        digests.add(LakeTable(settings, "orders", "features").digest())
    assert len(digests) == 1

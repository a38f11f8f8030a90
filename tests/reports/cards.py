"""A model card of a made-up evaluation, for the tests that look at cards."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from include.registry.versions import ModelVersion
from include.reports.model_card import ModelCard
from include.reports.model_card_making import make_card
from tests.reports.test_evaluation_page import make_definition, make_report

HOSTILE = "<script>alert(1)</script> [here](javascript:x) | *bold*"
STATED = {
    "purpose": HOSTILE,
    "users": ["the desk"],
    "uses": ["ranking"],
    "out_of_scope": ["pay"],
    "ethics": ["nobody is judged"],
    "limits": ["one city only"],
    "contacts": ["ana@example.com"],
}


def make_version(version: int = 4, **changes: Any) -> ModelVersion:
    values = {
        "model": "late",
        "version": version,
        "fingerprint": f"f{version}" * 8,
        "run_id": "r1",
        "as_of": datetime(2013, 10, 1, tzinfo=UTC),
        "artifact_digest": "a" * 64,
        "model_uri": "models:/m-1",
        "windows": {},
        "decision": {"verdict": "promote", "reason": "It won.", "gates": make_report()["gates"]},
        "status": "registered",
        "created_at": datetime(2013, 10, 1, 5, tzinfo=UTC),
    }
    return ModelVersion(**{**values, **changes})


def make_model_card(
    report: dict[str, Any] | None = None, version: ModelVersion | None = None, **definition: Any
) -> ModelCard:
    measured = make_report() if report is None else report
    wanted = make_definition().model_dump(mode="json") | {"card": STATED} | definition
    run = {"params": {"max_depth": "6"}, "tags": {"noria.library.numpy": "2.4.6", "noria.code": "c0de"}}
    return make_card(
        type(make_definition()).model_validate(wanted, strict=False),
        version or make_version(),
        training=measured["training"],
        report=measured,
        page="reports/late/evaluation/x.html",
        run=run,
    )

"""A made-up deployment of flight_delay: its story in the ledger's own types, judged by the real judge, and its log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from include.evaluation.live import LiveEvidence, Rules, judge
from include.evaluation.live_evidence import Labelled, Latencies, Rows
from include.registry.assessments import Assessment
from include.registry.deployed import DeployedVersion, ModelState
from include.registry.ledger import LedgerEntry
from include.registry.versions import ModelVersion
from include.reports.deployment_story import Ending, Phase, Story
from include.reports.deployment_traffic import Count, Shares, Traffic

DEPLOYMENT = "flight_delay.deploy/manual__2026-03-02T09:14:07+00:00"
START = datetime(2026, 3, 2, 9, 14, 21, tzinfo=UTC)
PLAN: dict[str, Any] = {
    "task": "binary_classification",
    "metric": "roc_auc",
    "threshold": 0.3,
    "evidence": {"requests": 300, "labels": 0, "time_s": None},
    "rollback": {
        "error_rate": 0.01,
        "p99_ms": 250.0,
        "added_ms": 10.0,
        "prediction_shift": 0.2,
        "quality_margin": 0.02,
    },
    "length_s": None,
}


def evidence(
    rows: int, *, seed: int = 1, shift: float = 0.0, failing: float = 0.0, slower: float = 0.0
) -> LiveEvidence:
    """Rows that both versions answered; ``shift`` in standard deviations, ``failing`` a share, ``slower`` in ms."""
    random = np.random.default_rng(seed)
    champion = random.beta(2, 6, rows)
    challenger = np.clip(champion + random.normal(0, 0.02, rows) + shift * champion.std(), 0, 1)
    failed = random.random(rows) < failing
    challenger[failed] = np.nan
    labels = (random.random(rows // 2) < champion[: rows // 2]).astype(float)
    known = ~failed[: rows // 2]
    times = np.datetime64("2013-12-01") + random.integers(0, 86_400 * 3, rows).astype("timedelta64[s]")
    base = random.gamma(9, 0.03, rows)
    sides = (challenger, champion, np.sort(times))
    return LiveEvidence(
        elapsed_s=rows / 5,
        rows=Rows(challenger, champion, failed, np.zeros(rows, dtype=bool), np.sort(times)),
        latencies=Latencies(challenger=base, champion=base + random.normal(0, 0.01, rows)),
        labelled=Labelled() if shift else Labelled(labels[known], *(side[: rows // 2][known] for side in sides)),
    )


def judged(stage: str, number: int, at: datetime, seen: LiveEvidence) -> Assessment:
    """What the server would have recorded."""
    found = judge(seen, Rules.of({**PLAN, "stage": stage, "kind": stage.split("_")[0]}))
    return Assessment(
        id=number,
        model="flight_delay",
        version=8,
        deployment=DEPLOYMENT,
        stage=stage,
        at=at,
        verdict=found.verdict,
        reason=found.reason,
        evidence=found.to_document(),
    )


def entry(
    number: int, at: datetime, action: str, *, role: str | None, share: float = 0.0, **changes: Any
) -> LedgerEntry:
    state = {"champion": 7, **({role: 8} if role else {})}
    values: dict[str, Any] = {
        "id": number,
        "model": "flight_delay",
        "revision": number,
        "at": at,
        "action": action,
        "from_version": 7,
        "to_version": 8,
        "actor": "airflow:flight_delay.deploy",
        "reason": "wins on the holdout: ROC AUC +0.012",
        "evidence": {"stage": role, "deployment": DEPLOYMENT},
        "state": state,
        "shares": {"champion": 1.0, **({role: share} if role else {})},
    }
    return LedgerEntry(**{**values, **changes})


def registered(status: str = "registered") -> ModelVersion:
    gates = [
        {"gate": "roc_auc at least 0.6", "passed": True, "sentence": "roc_auc at least 0.6: 0.7213, by 0.1213"},
        {
            "gate": "log_loss against naive",
            "passed": True,
            "sentence": "at least 0.0421 better",
        },
        {
            "gate": "roc_auc against champion",
            "passed": True,
            "sentence": "at least 0.0031 better",
        },
    ]
    return ModelVersion(
        model="flight_delay",
        version=8,
        fingerprint="f8",
        run_id="run8",
        as_of=datetime(2013, 12, 1, 5, tzinfo=UTC),
        artifact_digest="d8",
        model_uri="models:/m-8",
        status=status,
        windows={},
        decision={"verdict": "promote", "gates": gates},
        created_at=START - timedelta(hours=1),
    )


def in_production(champion: int) -> ModelState:
    """The model with this champion."""
    version = registered()
    role = DeployedVersion(
        model="flight_delay",
        role="champion",
        version=champion,
        share=1.0,
        since=START,
        revision=14,
        fingerprint=version.fingerprint,
        run_id=version.run_id,
        as_of=version.as_of,
        artifact_digest=version.artifact_digest,
        model_uri=version.model_uri,
        windows={},
    )
    return ModelState(model="flight_delay", revision=14, retired_at=None, roles={"champion": role})


def story(ending: Ending = "out", **changes: Any) -> Story:
    """Through shadow into canary_10, and from there out (shifted predictions), on to champion, or still there."""
    at = [START + timedelta(seconds=seconds) for seconds in (0, 41, 214, 376)]
    shadow = [judged("shadow", 1, at[1] + timedelta(seconds=40), evidence(120)),
              judged("shadow", 2, at[2], evidence(420))]  # fmt: skip
    shift = 0.6 if ending == "out" else 0.0
    canary = [judged("canary_10", 3, at[2] + timedelta(seconds=60), evidence(150, shift=shift)),
              judged("canary_10", 4, at[3], evidence(2400, shift=shift))]  # fmt: skip
    entries = [
        entry(11, at[0], "stage", role="candidate"),
        entry(12, at[1], "stage", role="shadow", reason="enters shadow"),
        entry(13, at[2], "stage", role="canary", share=0.1, reason="enters canary_10", actor="ana",
              evidence={"stage": "canary_10", "deployment": DEPLOYMENT, "approval": {"approved_by": "ana"}}),
    ]  # fmt: skip
    if ending != "under way":
        action = "promote" if ending == "promoted" else "rollback"
        who = "noria server" if ending == "out" else "airflow:flight_delay.deploy"
        entries.append(
            entry(14, at[3], action, role=None, actor=who, reason=canary[-1].reason,
                  evidence={"stage": "canary_10", "deployment": DEPLOYMENT, "role": "canary", "share": 0.1})
        )  # fmt: skip
    end = entries[3] if len(entries) > 3 else None
    phases = (
        Phase(name="candidate", role="candidate", share=0.0, began=at[0], left=entries[1], judgements=()),
        Phase(name="shadow", role="shadow", share=0.0, began=at[1], left=entries[2], judgements=tuple(shadow)),
        Phase(name="canary_10", role="canary", share=0.1, began=at[2], left=end, judgements=tuple(canary)),
    )
    values: dict[str, Any] = {
        "model": "flight_delay",
        "deployment": DEPLOYMENT,
        "version": 8,
        "champion": 7,
        "ending": ending,
        "end": end,
        "phases": phases,
        "entries": tuple(entries),
        "registered": registered("barred" if ending == "out" else "registered"),
        "state": in_production(8 if ending == "promoted" else 7),
        "read_at": at[3],
    }
    return Story(**{**values, **changes})


def traffic(shift: float = 0.6) -> Traffic:
    """Distributions as the log of such a deployment gives them."""
    random = np.random.default_rng(3)
    said = random.beta(2, 6, 1060)
    edges = np.linspace(0, 1, 29)
    slow = np.linspace(0, 1.4, 29)
    answers = random.gamma(9, 0.05, 2600)
    return Traffic(
        counts=(Count(challenger=0, champion=204, scored=0, failed=0),
                Count(challenger=0, champion=861, scored=861, failed=0),
                Count(challenger=83, champion=722, scored=805, failed=2)),
        latencies=Shares(edges=slow.tolist(), champion=np.histogram(answers, slow)[0].tolist(),
                         challenger=np.histogram(random.gamma(9, 0.052, 300), slow)[0].tolist(), beyond=26),
        predictions=Shares(edges=edges.tolist(), champion=np.histogram(said, edges)[0].tolist(),
                           challenger=np.histogram(np.clip(said + shift * said.std(), 0, 1), edges)[0].tolist()),
        of_classes=False,
        medians={"challenger": (0.46, 0.97), "champion": (0.44, 0.93)},
        errors=(("ValueError: could not convert string to float: '–'", 2),),
    )  # fmt: skip

"""The summary at the end of a run says what a person wants to know, also when parts of it did not happen."""

from __future__ import annotations

from typing import Any

from include.stack.summary import render


def document(**changes: Any) -> dict[str, Any]:
    """A run in which a first model was deployed."""
    metric = {"value": 0.692, "low": 0.685, "high": 0.699}
    published = {
        "version": 3,
        "partitions": 5,
        "first": "2013-12-01",
        "last": "2013-12-05",
        "changed": 5,
        "digest": "d1",
    }
    return {
        "model": "sample",
        "as_of": "2014-01-01T00:00:00-05:00",
        "landed": "365 files, 336,776 rows",
        "data": {"raw": published, "features": {}},
        "training_set": {"rows": {"train": 1000, "holdout": 100}, "digest": "t1"},
        "gates": {"gate_raw": {"verdict": "partly", "warnings": 2, "refused": ["2013-12-03"], "page": "raw.html"}},
        "training": {"reused": False, "artifact_digest": "a1"},
        "evaluation": {"challenger": {"f1": metric, "roc_auc": metric}, "champion": None, "champion_version": None},
        "decision": {"verdict": "promote", "reason": "It won.", "gates": [{"gate": "g", "passed": True, "by": 0.09}]},
        "version": 1,
        "deployment": {
            "deploy": {"version": 1},
            "verify": {"rows": 500},
            "promote": {"version": 1, "replaced": None, "page": "reports/m/deployment-1.html"},
            "stages": {"canary_10": {"reason": "512 rows compared, nothing speaks against it"}},
        },
        "served": {"version": 1, "predictions": [0.25]},
        "monitoring": {},
        "metrics_first": ["roc_auc"],
        "stages": {"data": {"seconds": 12.3}},
        "addresses": {"Airflow": "http://127.0.0.1:8080"},
        "store": "/store",
        **changes,
    }


def test_versions_verdicts_metrics_decision_and_addresses_are_in_it() -> None:
    text = render(document())
    for part in (
        "version 3, 5 partitions 2013-12-01 … 2013-12-05, 5 changed, digest d1",
        "partly, 2 warnings, refused: 2013-12-03",
        "0.692 [0.685, 0.699]",
        "Decision: promote. It won.",
        "500 holdout rows answered by the live server exactly as in the batch",
        "canary_10: 512 rows compared",
        "champion, the model's first",
        "version 1 answered [0.25]",
        "data 12.3",
        "http://127.0.0.1:8080",
        "file:///store/raw.html",
        "deployment-1.html",
    ):
        assert part in text


def test_the_definitions_metrics_come_first() -> None:
    text = render(document())
    assert text.index("roc_auc") < text.index("f1 ")


def test_what_did_not_happen_is_said_so() -> None:
    text = render(document(deployment={"deploy": {}, "verify": {}, "promote": {}, "stages": {}}))
    assert "features          nothing new" in text
    assert "Drift: not checked" in text
    assert "there is none yet" in text
    assert "verified" not in text


def test_a_champion_is_shown_beside_the_challenger() -> None:
    metric = {"value": 0.5, "low": None, "high": None}
    evaluation = {"challenger": {"roc_auc": metric}, "champion": {"roc_auc": metric}, "champion_version": 4}
    assert "champion (version 4)" in render(document(evaluation=evaluation))


def test_what_labels_say_of_the_answers_is_a_line_for_each_source() -> None:
    drift = {"verdict": "no drift", "window": {"first": "2013-12-25", "last": "2013-12-31"}, "reason": "R."}
    said = [{"source": "data", "verdict": "no decay", "reason": "ROC AUC 0.69 now."}]
    text = render(document(monitoring=drift | {"quality": said}))

    assert "Quality: no decay by labels that came with the data. ROC AUC 0.69 now." in text
    assert "Quality: nothing to judge yet" in render(document(monitoring=drift | {"quality": []}))


def test_without_labels_enough_the_estimate_is_told_and_with_them_it_is_not() -> None:
    sources = {"data": "not enough data", "requests": "no decay"}
    quality = [{"source": source, "verdict": verdict, "reason": "Because."} for source, verdict in sources.items()]
    estimates = [{"source": source, "reason": f"About 0.7, by {source}."} for source in sources]
    drift = {"verdict": "no drift", "window": {}, "reason": ""}
    text = render(document(monitoring=drift | {"quality": quality, "estimates": estimates}))
    assert "About 0.7, by data." in text
    assert "by requests" not in text.replace("by labels sent for requests", "")

"""How drift and decay are judged: what the definition may say of it, and what it may not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from include.spec.columns import personal_features
from include.spec.loader import load_definition
from tests.spec.conftest import Write, said_of


def in_drift(text: str) -> tuple[str, str]:
    return ("evaluation:", f"monitoring:\n  drift: {{{text}}}\nevaluation:")


def test_all_keys_together_are_understood(write: Write) -> None:
    text = "window: 1d, least_change: 0.1, significance: 0.001, share_of_features: 0.5, season: {every: 7d, windows: 6}"
    path = write(in_drift(f"{text}, persistence: {{of: 3, drifted: 2}}, domain_classifier: {{rows: 800}}"))
    drift = load_definition(path).monitoring.drift

    assert (drift.least_change, drift.significance, drift.share_of_features) == (0.1, 0.001, 0.5)
    assert drift.season is not None
    assert (drift.season.every, drift.season.windows) == (timedelta(days=7), 6)
    assert (drift.persistence.of, drift.persistence.drifted) == (3, 2)
    assert drift.domain_classifier is not None
    assert (drift.domain_classifier.rows, drift.domain_classifier.auc) == (800, 0.65)


def test_one_feature_and_one_window_are_drift_by_default(write: Write) -> None:
    drift = load_definition(write(in_drift(""))).monitoring.drift

    assert (drift.share_of_features, drift.season, drift.persistence.of) == (None, None, 1)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("least_change: 0", "monitoring.drift.least_change", "more than 0"),
        ("significance: 0.5", "monitoring.drift.significance", "0.2"),
        ("persistence: {of: 2, drifted: 3}", "monitoring.drift.persistence.drifted", "Write 2 or less"),
        ("season: {windows: 2}", "monitoring.drift.season.windows", "3"),
        ("domain_classifier: {auc: 0.5}", "monitoring.drift.domain_classifier.auc", "more than 0.5"),
        ("window: 14d, season: {every: 7d}", "monitoring.drift.season.every", "no window holds its own past"),
        ("window: 1d, season: {every: 36h}", "monitoring.drift.season.every", "no multiple of 1d"),
    ],
)
def test_what_cannot_be_is_refused(write: Write, text: str, key: str, words: str) -> None:
    assert words in said_of(write(in_drift(text)), key)


def in_decay(text: str) -> tuple[str, str]:
    return ("evaluation:", f"monitoring:\n  decay: {{{text}}}\nevaluation:")


def test_decay_is_judged_by_the_metrics_that_are_named(write: Write) -> None:
    decay = load_definition(write(in_decay("window: 14d, metrics: [log_loss], least_change: 0.1"))).monitoring.decay

    assert (decay.window, decay.metrics, decay.least_change) == (timedelta(days=14), ["log_loss"], 0.1)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("metrics: [rmse]", "monitoring.decay.metrics[0]", "rmse"),
        ("metrics: [objective]", "monitoring.decay.metrics[0]", "objective"),
        ("metrics: []", "monitoring.decay.metrics", "at least one"),
        ("least_change: 1", "monitoring.decay.least_change", "less than 1"),
        ("window: 0d", "monitoring.decay.window", "more than 0"),
    ],
)
def test_decay_that_cannot_be_judged_is_refused(write: Write, text: str, key: str, words: str) -> None:
    assert words in said_of(write(in_decay(text)), key)


def test_features_made_from_personal_columns_are_known(write: Write) -> None:
    path = write(("evaluation:", "serving: {personal: [distance]}\nevaluation:"))

    assert personal_features(load_definition(path)) == {"distance"}
    assert personal_features(load_definition(write())) == frozenset()

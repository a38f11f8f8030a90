"""The server's answers for rows with missing and extreme values are those of the packaged model's batch way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.settings import Settings
from include.training.packaged_model import TabularModel
from tests.serving.engine import OFFERED, enter, save_model
from tests.serving.live import COLUMNS, deploy, in_thread, predict, serving, until

CLEAN: dict[str, dict[str, Any]] = {
    "tenfold": {"fill": 25.0, "low": 0.0, "high": 60.0},
    "x": {"fill": 4.5, "high": 8.0, "keep": True},
    "place": {"fill": "B"},
    "dry": {"fill": 1.0},
}
ADDED = [("tenfold", "missing"), ("x", "outlier"), ("x", "missing"), ("place", "missing"), ("dry", "missing")]
ROWS = st.fixed_dictionaries(
    {
        "n": st.one_of(st.none(), st.integers(-9, 9), st.integers(-(2**59), 2**59)),
        "x": st.one_of(st.none(), st.floats(-20, 20), st.floats(allow_nan=False, allow_infinity=False)),
        "place": st.sampled_from(["A", "B", "C", "unseen", None]),
        "dry": st.sampled_from([True, False, None]),
        "seen_at": st.one_of(st.none(), st.just("2013-10-01T05:00:00")),
    }
)


def cleaning_description() -> dict[str, Any]:
    """The server's test model with cleaning rules and the inputs that they add."""
    features = [
        {**feature, "clean": CLEAN[feature["name"]]} if feature["name"] in CLEAN else feature
        for feature in OFFERED["features"]
    ]
    added = [{"name": f"{of}_{flag}", "type": "boolean", "of": of, "flag": flag} for of, flag in ADDED]
    return {**OFFERED, "features": [*features, *added]}


def test_the_server_answers_as_the_batch_way(stored_settings: Settings, tmp_path: Path) -> None:
    saved = save_model(tmp_path, 1, cleaning_description())
    packaged = TabularModel.open(tmp_path / "package-1")
    assert packaged._batch is not None
    version = enter(stored_settings, saved)
    deploy(stored_settings, version)
    with in_thread(stored_settings) as client:
        until(lambda: serving(client, version))

        @settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.differing_executors])
        @given(rows=st.lists(ROWS, min_size=1, max_size=6))
        def asked(rows: list[dict[str, Any]]) -> None:
            frame = pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in COLUMNS})
            answer = predict(client, *rows)
            assert answer.status_code == 200, (json.dumps(rows), answer.text)
            assert answer.json()["predictions"] == packaged.predict_frame(frame).tolist()

        asked()


def test_the_rules_change_answers(tmp_path: Path) -> None:
    save_model(tmp_path, 1, cleaning_description())
    packaged = TabularModel.open(tmp_path / "package-1")
    rows = pd.DataFrame({"n": [3] * 40, "x": np.nan, "place": "A", "dry": True, "seen_at": None})
    matrix = packaged._matrix({name: packaged._column(rows[name], name) for name in COLUMNS}, 40, strict=False)
    assert matrix[0].tolist()[:4] == [30.0, 4.5, 0.0, 1.0]
    assert matrix[0].tolist()[5:] == [0.0, 0.0, 1.0, 0.0, 0.0]

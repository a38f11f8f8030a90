"""Other definitions, a regression and one of several classes, made of YAML and suites only, go the same way."""

from __future__ import annotations

import pytest

from tests.e2e.line import Line

pytestmark = pytest.mark.e2e


def test_bike_demand_is_served_after_its_run(line: Line) -> None:
    done = line.command("run", "--model", "bike_demand")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = line.summary("bike_demand")
    assert summary["decision"]["promote"] is True
    assert summary["served"]["version"] == summary["version"]
    assert summary["evaluation"]["challenger"]["r2"]["value"] > 0.6
    assert summary["evaluation"]["baselines"]


def test_flight_outcome_is_served_after_its_run(line: Line) -> None:
    done = line.command("run", "--model", "flight_outcome")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = line.summary("flight_outcome")
    assert summary["decision"]["promote"] is True
    assert summary["served"]["version"] == summary["version"]
    [answered] = summary["served"]["probabilities"]
    assert list(answered) == ["on_time", "late", "very_late", "cancelled"]
    assert summary["served"]["predictions"] == [max(answered, key=answered.__getitem__)]
    assert summary["evaluation"]["challenger"]["roc_auc"]["value"] > 0.55


def test_an_unknown_model_is_one_clear_error(line: Line) -> None:
    done = line.command("run", "--model", "flight_dely")
    assert done.returncode == 10
    assert "flight_delay" in done.stderr
    assert "Traceback" not in done.stderr

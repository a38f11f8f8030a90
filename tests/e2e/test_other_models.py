"""A second definition, a regression made of YAML and suites only, goes the same way."""

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


def test_an_unknown_model_is_one_clear_error(line: Line) -> None:
    done = line.command("run", "--model", "flight_dely")
    assert done.returncode == 10
    assert "flight_delay" in done.stderr
    assert "Traceback" not in done.stderr

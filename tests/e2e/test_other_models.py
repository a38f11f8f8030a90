"""Other definitions, made of YAML and suites only, go the same way: a regression, classes, data without time."""

from __future__ import annotations

from datetime import UTC

import pytest
import requests

from include.registry.versions import list_versions
from tests.e2e.line import Line

pytestmark = pytest.mark.e2e


@pytest.mark.by_turns
def test_bike_demand_is_served_after_its_run(line: Line) -> None:
    done = line.command("run", "--model", "bike_demand")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = line.summary("bike_demand")
    assert summary["decision"]["promote"] is True
    assert summary["served"]["version"] == summary["version"]
    assert summary["evaluation"]["challenger"]["r2"]["value"] > 0.6
    assert summary["evaluation"]["baselines"]


@pytest.mark.by_turns
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


@pytest.mark.by_turns
def test_airport_temperature_goes_hour_by_hour_from_a_database(line: Line) -> None:
    done = line.command("run", "--model", "airport_temperature")
    assert done.returncode == 0, done.stdout + done.stderr
    summary = line.summary("airport_temperature")
    assert summary["served"]["version"] == summary["version"]
    scores = {name: one["rmse"]["value"] for name, one in summary["evaluation"]["baselines"].items()}
    assert summary["evaluation"]["challenger"]["rmse"]["value"] < scores["naive"]
    _requests_ahead_are_told_of_the_day_before_them(line)
    # With the run's own these are three hours in a row.
    as_of = ["2013-07-31T22:00:00+00:00", "2013-07-31T23:00:00+00:00"]
    for number, instant in enumerate(as_of):
        line.trigger("airport_temperature.train", f"hour-{number}", {"as_of": instant})
    for number in range(len(as_of)):
        assert line.finish("airport_temperature.train", f"hour-{number}") == "success"
    ends = {
        version.as_of.astimezone(UTC).isoformat() for version in list_versions(line.settings, "airport_temperature")
    }
    assert {*as_of, "2013-08-01T00:00:00+00:00"} <= ends


def _requests_ahead_are_told_of_the_day_before_them(line: Line) -> None:
    """A request three hours before its hour gets the values of the past that belong to that hour, and no older ones."""
    row = {"hour_at": "2013-08-01T03:00:00", "origin": "EWR", "temp": 71.1, "dewp": 60.1, "humid": 68.0,
           "wind_dir": 190.0, "wind_speed": 6.9, "pressure": 1014.0, "precip": 0.0, "rise_1h": -1.0, "rise_3h": -4.0,
           "change_yesterday": -3.0}  # fmt: skip
    address = f"{line.settings.server_url}/models/airport_temperature/predict"
    answer = requests.post(address, json={"rows": [row]}, timeout=10)
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Noria-History"] == "airport_day=2013-08-01T03"


@pytest.mark.by_turns
def test_data_without_time_is_served_after_its_run_and_a_second_run_does_nothing_twice(line: Line) -> None:
    summaries = []
    for _ in range(2):
        done = line.command("run", "--model", "tumor_malignant")
        assert done.returncode == 0, done.stdout + done.stderr
        summaries.append(line.summary("tumor_malignant"))
    first, second = summaries
    assert first["decision"]["promote"] is True
    assert first["served"]["version"] == first["version"]
    assert first["evaluation"]["challenger"]["roc_auc"]["value"] > 0.95
    assert (second["version"], second["training"]["reused"]) == (first["version"], True)
    assert second["training_set"]["digest"] == first["training_set"]["digest"]
    assert second["monitoring"] == {}


def test_an_unknown_model_is_one_clear_error(line: Line) -> None:
    done = line.command("run", "--model", "flight_dely")
    assert done.returncode == 10
    assert "flight_delay" in done.stderr
    assert "Traceback" not in done.stderr

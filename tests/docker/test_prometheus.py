"""Configuration, rules and dashboards, as Prometheus' own tool and Grafana's schema want them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docker.locks import DOCKER
from tests.prometheus import FOLDER, RULES, metrics_in, needs_prometheus, rules

DASHBOARDS = sorted((DOCKER / "grafana" / "dashboards").glob("*.json"))
TESTS = sorted((FOLDER / "tests").glob("*.yaml"))
CONFIGURATIONS = ("prometheus.yaml", "local.yaml")
UNITS = {"none", "short", "percentunit", "s", "reqps", "rowsps", "cps", "ops", "Bps", "bytes"}


def promtool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True, check=False)


def dashboard(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8")))


@needs_prometheus
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_promtool_finds_nothing_wrong_with_configuration_and_rules(name: str) -> None:
    done = promtool("check", "config", FOLDER / name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rule files found" in done.stdout


@needs_prometheus
def test_each_rule_fires_when_it_should_and_not_when_it_is_near() -> None:
    done = promtool("test", "rules", *TESTS)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
def test_a_rule_that_is_changed_fails_its_test(tmp_path: Path) -> None:
    for folder, files in (("rules", RULES), ("tests", TESTS)):
        (tmp_path / folder).mkdir()
        for file in files:
            (tmp_path / folder / file.name).write_text(file.read_text().replace("> 120", "> 1200"))
    done = promtool("test", "rules", *sorted((tmp_path / "tests").glob("*.yaml")))
    assert done.returncode != 0
    assert "NoriaAirflowHeartbeatLost" in done.stdout + done.stderr


def test_no_rule_is_without_a_test_and_each_says_what_to_do() -> None:
    tested = "\n".join(file.read_text(encoding="utf-8") for file in TESTS)
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) > 20
    for rule in rules():
        assert re.search(rf"\b{rule['alert']}\b", tested), f"{rule['alert']} has no test"
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert len(rule["annotations"]["summary"]) > 20
        assert len(rule["annotations"]["description"]) > 60


def test_both_configurations_scrape_the_same_jobs_with_the_same_rules() -> None:
    compose, local = (yaml.safe_load((FOLDER / name).read_text()) for name in CONFIGURATIONS)
    for document in (compose, local):
        for job in document["scrape_configs"]:
            job["static_configs"] = [target.rpartition(":")[2] for target in job["static_configs"][0]["targets"]]
    assert compose == local


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_dashboards_have_what_grafana_asks_of_them(file: Path) -> None:
    document = dashboard(file)
    assert document["uid"] == f"noria-{file.stem}"
    assert document["schemaVersion"] >= 38
    assert "id" not in document, "of one Grafana; provisioning gives it one"
    variables = {variable["name"]: variable for variable in document["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    panels = document["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["type"] in {"timeseries", "stat", "table"}
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["type"] == "table" or panel["fieldConfig"]["defaults"]["unit"] in UNITS
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= 24
        names = [target["refId"] for target in panel["targets"]]
        assert len(set(names)) == len(names)
        for target in panel["targets"]:
            assert metrics_in(target["expr"])
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= {*variables, "__rate_interval"}
    assert not _overlapping(panels)


def _overlapping(panels: list[dict[str, Any]]) -> list[tuple[str, str]]:
    taken: dict[tuple[int, int], str] = {}
    found = []
    for panel in panels:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if (x, y) in taken:
                    found.append((taken[x, y], panel["title"]))
                taken[x, y] = panel["title"]
    return found


def test_names_of_metrics_are_found_in_expressions_and_nothing_else_is() -> None:
    expression = (
        'sum by (model, up) (rate(noria_a_total{up="noria_b", x=~"a|b"}[5m])) / on (noria_c) noria_d > 3 * up unless '
        'histogram_quantile(0.5, noria_e_bucket) and ALERTS{alertname=~"Noria.+"}'
    )
    assert metrics_in(expression) == {"noria_a_total", "noria_d", "up", "noria_e_bucket", "ALERTS"}

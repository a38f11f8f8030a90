"""The real Prometheus, as Debian packages it: its checker, and a server of the test's own on loopback."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from include.settings import PROJECT
from include.stack.instance import is_free
from include.stack.processes import wait_for

FOLDER = PROJECT / "docker" / "prometheus"
RULES = sorted((FOLDER / "rules").glob("*.yaml"))

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="prometheus and promtool are not there; `apt-get download prometheus`, unpack it, put usr/bin on the PATH",
)

_LABELS = re.compile(r"\{[^{}]*\}|\b(?:by|without|on|ignoring|group_left|group_right) *\([^()]*\)")
_NAMES = re.compile(r"\b(?:noria_\w+|process_\w+|up|ALERTS)\b")


def metrics_in(expression: str) -> set[str]:
    """Names of the metrics that an expression asks for."""
    return set(_NAMES.findall(_LABELS.sub(" ", expression)))


def rules() -> list[dict[str, Any]]:
    """All alerting rules."""
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]
    return [rule for group in groups for rule in group["rules"]]


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    url: str

    def api(self, path: str, **values: str) -> Any:
        """What its API says; fails with its own words on an error."""
        answer = requests.get(f"{self.url}/api/v1/{path}", params=values, timeout=30).json()
        assert answer["status"] == "success", (values, answer.get("error"))
        return answer["data"]

    def series(self, expression: str) -> list[Any]:
        """The series of an expression, now."""
        return list(self.api("query", query=expression)["result"])

    def names(self) -> set[str]:
        """Every metric that it has seen: with series, or announced by a target that has none of it yet."""
        announced = self.api("metadata")
        return {*self.api("label/__name__/values"), *announced, *(f"{name}_total" for name in announced)}


@contextmanager
def running_prometheus(folder: Path, targets: Mapping[str, str]) -> Iterator[Prometheus]:
    """A server with the local stack's configuration, but other targets (by job), asked every second."""
    config = yaml.safe_load((FOLDER / "local.yaml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(file) for file in RULES]
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    assert {job["job_name"] for job in config["scrape_configs"]} == targets.keys()
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump(config))
    port = next(port for port in range(19090, 19190) if is_free(port))
    command = ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        found = Prometheus(f"http://127.0.0.1:{port}")
        assert wait_for(lambda: _is_ready(found), 30), (folder / "prometheus.log").read_text()[-2000:]
        yield found
    finally:
        process.terminate()
        process.wait(30)


def _is_ready(server: Prometheus) -> bool:
    try:
        return requests.get(f"{server.url}/-/ready", timeout=2).ok
    except requests.RequestException:
        return False

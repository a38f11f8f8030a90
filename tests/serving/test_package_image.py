"""A version packaged for places without database, MLflow or network, and the server that runs from such a folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from include.errors import Refused
from include.registry import versions
from include.registry.refusals import VersionBarred
from include.serving.artifacts import ArtifactCorrupt
from include.serving.package_image import FOLDER, main, package
from include.serving.source import STATE, FixedDeploymentUnusable, FixedSource
from include.settings import Settings
from include.training.package import artifact_digest
from include.training.packaged_model import TabularModel
from tests.serving.engine import enter, order, save_model
from tests.serving.live import Logged, as_process, deploy, until

NOWHERE = "postgresql+psycopg2://nobody@127.0.0.1:1/nothing"
ROWS = [{**order(number), "n": number % 9, "x": number / 40} for number in range(40)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    return save_model(tmp_path_factory.mktemp("saved"), 3)


@pytest.fixture
def settled(stored_settings: Settings, saved: Logged) -> Settings:
    """A registry with one version, which is the champion."""
    deploy(stored_settings, enter(stored_settings, saved))
    return stored_settings


@contextmanager
def alone(deployment: Path, home: Path) -> Iterator[httpx.Client]:
    """The server on a packaged folder, in a home of its own, where neither database nor MLflow answer."""
    settings = Settings.from_environment({
        "NORIA_HOME": str(home),
        "NORIA_DATABASE_URL": NOWHERE,
        "NORIA_TRACKING_URL": "http://127.0.0.1:1",
    })  # fmt: skip
    home.mkdir()
    log = home / "server.log"
    with (
        as_process(settings, log, more=("--deployment", str(deployment))) as (live, _),
        httpx.Client(base_url=live.server_url, trust_env=False, timeout=30) as client,
    ):

        def listens() -> bool:
            try:
                return client.get("/health/live").status_code == 200
            except httpx.TransportError:
                return False

        until(listens, 90)
        yield client


@pytest.mark.database
def test_packaged_version_answers_as_the_model_does_with_nothing_else_reachable(
    settled: Settings, saved: Logged, tmp_path: Path
) -> None:
    made = package(settled, "m", None, tmp_path / "edge")
    moved = shutil.copytree(made.folder / FOLDER, tmp_path / "elsewhere" / FOLDER)
    shutil.rmtree(made.folder)
    (files,) = moved.glob("models/m/*")
    expected = TabularModel.open(files / "artifacts").predict_rows(ROWS)
    with alone(moved, tmp_path / "home") as client:
        assert client.get("/health/ready").json()["ready"] is True
        answer = client.post("/models/m/predict", json={"rows": ROWS})
        assert answer.status_code == 200
        assert answer.headers["X-Noria-Version"] == str(made.version.version)
        assert answer.json()["predictions"] == expected
        assert len(set(expected)) > 1
        assert client.get("/models").json()["database_error"] is None
        label = client.post("/models/m/feedback", json={"labels": [{"request_id": "r", "label": 1}]})
        assert label.status_code == 501
        assert "fixed" in label.json()["error"]
    assert artifact_digest(files) == saved.artifact_digest
    kept = [path for path in (tmp_path / "home").rglob("*") if path.is_file() and path.name != "server.log"]
    assert [path for path in kept if "log" in path.parts or path.name == "state.json"] == []


@pytest.mark.database
def test_folder_of_which_a_byte_has_changed_is_not_served(settled: Settings, tmp_path: Path) -> None:
    made = package(settled, "m", 1, tmp_path / "edge")
    (model,) = made.folder.rglob("artifacts/model.ubj")
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    model.write_bytes(content)
    source = FixedSource(made.folder / FOLDER, settled)
    with pytest.raises(ArtifactCorrupt, match=r"m version 1 is not served.*Package it again"):
        source.load(source.states()["m"].roles["champion"])
    with alone(made.folder / FOLDER, tmp_path / "home") as client:
        assert client.get("/health/ready").status_code == 503
        assert client.post("/models/m/predict", json={"rows": ROWS[:1]}).status_code == 503


@pytest.mark.database
def test_read_only_folder_is_enough(settled: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # which Python writes wherever it may, and needs nowhere
    made = package(settled, "m", 1, tmp_path / "edge")
    before = {path: path.stat().st_mtime_ns for path in made.folder.rglob("*")}
    for path in (made.folder, *made.folder.rglob("*")):
        assert path.stat().st_mode & 0o004, f"{path} cannot be read by every user"
    source = FixedSource(made.folder / FOLDER, settled)
    source.load(source.states()["m"].roles["champion"])
    source.prune("m", set())
    assert {path: path.stat().st_mtime_ns for path in made.folder.rglob("*")} == before


@pytest.mark.database
def test_same_version_gives_the_same_folder(settled: Settings, tmp_path: Path) -> None:
    def content(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    once, again = (package(settled, "m", 1, tmp_path / name).folder for name in ("once", "again"))
    assert content(once) == content(again)
    assert {"Dockerfile", f"{FOLDER}/{STATE}"} < content(once).keys()


@pytest.mark.database
def test_dockerfile_starts_the_server_on_the_folder(settled: Settings, tmp_path: Path) -> None:
    made = package(settled, "m", 1, tmp_path / "edge", base="registry.example/noria-serving:2")
    text = (made.folder / "Dockerfile").read_text()
    assert re.search(r"^FROM registry\.example/noria-serving:2$", text, re.MULTILINE)
    assert f"COPY {FOLDER} /{FOLDER}" in text
    assert f'"--deployment", "/{FOLDER}"]' in text
    assert made.version.artifact_digest in text
    assert "USER" not in text, "the serving image's own user stays"


@pytest.mark.database
def test_files_that_are_not_what_was_registered_are_not_packaged(
    stored_settings: Settings, saved: Logged, tmp_path: Path
) -> None:
    enter(stored_settings, saved, digest="0" * 64)
    with pytest.raises(ArtifactCorrupt):
        package(stored_settings, "m", 1, tmp_path / "edge")
    assert list(tmp_path.glob("*edge*")) == [], "nothing is left behind"


@pytest.mark.database
def test_what_must_not_be_packaged_is_refused(settled: Settings, saved: Logged, tmp_path: Path) -> None:
    second = enter(settled, saved)
    versions.bar(settled, "m", second, actor="ana", reason="test")
    with pytest.raises(VersionBarred):
        package(settled, "m", second, tmp_path / "edge")
    with pytest.raises(versions.VersionUnknown):
        package(settled, "m", 99, tmp_path / "edge")
    with pytest.raises(Refused, match="has no champion"):
        package(settled, "other", None, tmp_path / "edge")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(Refused, match="holds something already"):
        package(settled, "m", 1, tmp_path / "full")
    with pytest.raises(Refused, match="is no name of an image"):
        package(settled, "m", 1, tmp_path / "edge", base="x\nRUN evil")
    assert not (tmp_path / "edge").exists()


@pytest.mark.database
def test_command_line_says_how_the_image_is_built(
    settled: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NORIA_DATABASE_URL", settled.database_url)
    monkeypatch.setenv("NORIA_HOME", str(settled.home))
    assert main(["m", "1", "--to", str(tmp_path / "edge")]) == 0
    assert f"docker build -t localhost/noria-m:1 {tmp_path / 'edge'}" in capsys.readouterr().out
    assert main(["m", "1", "--to", str(tmp_path / "edge")]) == Refused.exit_code
    assert "holds something already" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, "{}", "[1]", "{not json", '{"m": {"model": "m"}}'])
def test_folder_that_is_no_deployment_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / STATE).write_text(content)
    with pytest.raises(FixedDeploymentUnusable, match="package_image"):
        FixedSource(tmp_path, Settings.from_environment({}))


def test_server_says_at_once_that_the_folder_is_no_deployment(settings: Settings, tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "include.serving", "--port", "0", "--deployment", str(tmp_path / "none")],
        env={**os.environ, "NORIA_HOME": str(replace(settings).home)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == Refused.exit_code
    assert "holds no deployment to serve" in found.stderr
    assert "Traceback" not in found.stderr

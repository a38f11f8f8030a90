"""The whole line on a bucket: steps that share nothing else, and the very digests, versions and model of a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from include.lake.store import store_of
from include.registry.state import switch_champion
from include.settings import PROJECT, Settings
from include.stack.postgres import Postgres
from include.steps.catalog import load_step
from include.steps.protocol import Document, StepCall
from tests.object_storage import KEY, SECRET, ObjectStorage, in_bucket
from tests.steps.judging_world import as_of, judged_definition, land, write_suites

pytestmark = pytest.mark.database
LAST = 22
FIRST_DAY, LAST_DAY = "2013-01-01", f"2013-01-{LAST}"


@dataclass(frozen=True)
class Line:
    """Steps one after another, each with settings of its own, as if it were a process of its own.

    :param process: makes them.
    """

    process: Callable[[], Settings]
    used: list[Settings] = field(default_factory=list)

    def go(self, step: str, day: int = LAST, **inputs: Any) -> Document:
        settings = self.process()
        self.used.append(settings)
        call = StepCall(
            settings=settings, definition=judged_definition(), as_of=as_of(day), attempt=uuid.uuid4().hex, inputs=inputs
        )
        return json.loads(json.dumps(load_step(step)(call)))  # nothing but JSON goes on

    def data(self) -> dict[str, Document]:
        raw = self.go("gate", stage="raw", staged=self.go("ingest", first=FIRST_DAY, last=LAST_DAY, force=False))
        published = self.go("publish", gate=raw)
        features = self.go("gate", stage="features", staged=self.go("prepare", published=published, force=False))
        done = self.go("publish", gate=features)
        audit = self.go("audit", raw=raw, features=features, published=done)
        return {"raw": published, "features": done, "audit": audit}

    def train(self) -> dict[str, Document]:
        training_set = self.go("assemble")
        checked = self.go("gate", stage="training", training_set=training_set)
        training = self.go("train", training_set=training_set)
        gate = self.go("gate", stage="predictions", training=training)
        published = self.go("publish", gate=gate)
        evaluation = self.go("evaluate", training=training)
        decision = self.go("decide", training=training, evaluation=evaluation)
        version = self.go("register", training=training, evaluation=evaluation, decision=decision)
        return {
            "training_set": training_set, "checked": checked, "training": training, "predictions": published,
            "evaluation": evaluation, "decision": decision, "version": version,
        }  # fmt: skip

    def use(self, version: int) -> dict[str, Document]:
        switch_champion(self.process(), "late", version, actor="test", reason="test", force=True)
        chosen = self.go("choose")
        return {
            "score": self.go("score", chosen=chosen, first="2013-01-20", last=LAST_DAY),
            "files": self.go("score", chosen=chosen, path="landing/2013-01-1[0-2].parquet"),
            "monitor": self.go("monitor"),
        }


@pytest.fixture
def at_home(tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Settings]:
    """Settings of an installation: its home, suites, database and MLflow."""
    monkeypatch.chdir(tmp_path)  # MLflow's artifacts

    def make(name: str) -> Settings:
        home = tmp_path / name
        postgres.create_database(f"line_{name}_{os.getpid()}")
        settings = replace(
            Settings.from_environment({"NORIA_HOME": str(home)}),
            database_url=postgres.url(f"line_{name}_{os.getpid()}"),
            tracking_url=f"sqlite:///{tmp_path / name}.db",
        )
        return with_training_suite(write_suites(settings))

    return make


def with_training_suite(settings: Settings) -> Settings:
    suite = json.loads((settings.expectations / "late" / "raw.json").read_text())
    for stage in ("training", "scoring", "scores"):
        (settings.expectations / "late" / f"{stage}.json").write_text(json.dumps(suite | {"name": f"late.{stage}"}))
    return settings


@pytest.mark.by_turns
def test_the_line_gives_on_a_bucket_what_it_gives_in_a_folder(
    at_home: Callable[[str], Settings], s3: ObjectStorage, s3_bucket: str
) -> None:
    folder, base = at_home("folder"), at_home("bucket")
    variables = s3.environment(s3_bucket)
    lines = {"folder": Line(lambda: folder), "bucket": Line(lambda: in_bucket(base, variables))}
    land(folder)
    source = in_bucket(base, variables)
    land(source)
    store_of(source).deliver(*(source.store / "landing").iterdir())

    found: dict[str, dict[str, Document]] = {}
    for name, line in lines.items():
        done = line.data() | line.train()
        found[name] = done | line.use(done["version"]["version"])

    here, there = found["folder"], found["bucket"]
    for step, names in {
        "raw": ("version", "digest", "rows", "changed"),
        "features": ("version", "digest", "rows", "changed"),
        "training_set": ("directory", "digest", "features_digest", "rows", "missing"),
        "training": ("fingerprint", "artifact_digest", "best_round", "predictions"),
        "predictions": ("version", "digest", "rows"),
        "evaluation": ("challenger", "baselines", "rows", "fair"),
        "decision": ("promote", "verdict", "gates"),
        "score": ("version", "partitions", "changed"),
        "files": ("partitions", "changed", "refused"),
        "monitor": ("drift", "features", "share"),
    }.items():
        for name in names:
            assert there[step][name] == here[step][name], f"{step}: {name}"
    assert there["raw"]["rows"] > 10_000
    assert there["training"]["reused"] is False, "the bucket's model was trained, not found"
    assert there["score"]["rows"] > 0
    check_pages(lines["bucket"], s3, s3_bucket, there)
    check_nothing_was_shared(lines["bucket"])


def check_pages(line: Line, s3: ObjectStorage, bucket: str, done: dict[str, Document]) -> None:
    keys = set(s3.keys(bucket, "noria/"))
    pages = [
        found for output in done.values() for name in ("page", "report", "input_page") if (found := output.get(name))
    ]
    assert len(pages) >= 7
    assert {f"noria/{page}" for page in pages} <= keys
    marker = f"noria/{done['training_set']['directory']}/training_set.json"
    assert marker in keys
    assert f"noria/{done['training']['predictions']}" in keys
    evaluation = s3.client().get_object(Bucket=bucket, Key=f"noria/{done['evaluation']['report']}")["Body"].read()
    assert json.loads(evaluation)["decision"]["verdict"] == done["decision"]["verdict"]
    assert not [key for key in keys if key.startswith("noria/staging") and key.endswith(".parquet")]
    assert not [key for key in keys if "/tmp/" in key or "/." in key]
    assert line.used


def check_nothing_was_shared(line: Line) -> None:
    copies = [settings.store for settings in line.used]
    assert len(set(copies)) == len(copies) > 15


def test_the_command_line_works_on_a_bucket_and_shows_no_secret(
    at_home: Callable[[str], Settings], s3: ObjectStorage, s3_bucket: str, tmp_path: Path
) -> None:
    base = at_home("command")
    models = tmp_path / "models"
    models.mkdir()
    (models / "late.yaml").write_text(json.dumps(judged_definition().model_dump(mode="json", exclude_unset=True)))
    variables = s3.environment(s3_bucket) | {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), "NORIA_HOME": str(base.home),
        "NORIA_DATABASE_URL": base.database_url, "NORIA_EXPECTATIONS": str(base.expectations),
        "NORIA_MODELS": str(models), "NORIA_RESULT": str(tmp_path / "return.json"), "NORIA_LOG_LEVEL": "DEBUG",
    }  # fmt: skip

    def run(step: str, inputs: Document, **changes: str) -> tuple[int, str, Document]:
        result = tmp_path / "return.json"
        result.unlink(missing_ok=True)
        command = [sys.executable, "-m", "include.steps", step, "--model", "late", "--as-of", as_of(3).isoformat()]
        done = subprocess.run([*command, "--inputs", json.dumps(inputs)], cwd=PROJECT, env=variables | changes,
                              check=False, capture_output=True, text=True, timeout=120)  # fmt: skip
        said = done.stdout + done.stderr
        assert SECRET not in said
        assert KEY not in said
        return done.returncode, said, json.loads(result.read_text()) if result.exists() else {}

    code, said, _ = run("ingest", {"first": FIRST_DAY, "last": FIRST_DAY})
    assert code == 30, said
    assert f"there is no file s3://{s3_bucket}/noria/landing/{FIRST_DAY}.parquet" in said
    source = in_bucket(base, s3.environment(s3_bucket))
    land(source)
    store_of(source).deliver(*(source.store / "landing").iterdir())
    code, said, staged = run("ingest", {"first": FIRST_DAY, "last": "2013-01-03"})
    assert code == 0, said
    code, said, gate = run("gate", {"stage": "raw", "staged": staged})
    assert code == 0, said
    code, said, published = run("publish", {"gate": gate})
    assert code == 0, said
    assert published["partitions"] == 3
    code, said, _ = run("publish", {"gate": gate}, NORIA_STORE="s3://nowhere-at-all/noria")
    assert code == 10
    assert "there is no bucket nowhere-at-all" in said
    code, said, _ = run("publish", {"gate": gate}, NORIA_STORE_ALLOW_HTTP="")
    assert code == 10
    assert "NORIA_STORE_ALLOW_HTTP=true" in said

"""A world for tests of the engine: compiled models with an entity, saved without MLflow's server, in every role."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import mlflow.pyfunc
import numpy as np
import xgboost
from sqlalchemy import func, select

from include.features.compiled.compiler import compile_features
from include.registry import database, stages, tables
from include.settings import Settings
from include.training.package import CODE, add_compiled, artifact_digest, write_package
from include.training.packaged_model import SQL_TYPES
from include.training.trainers.protocol import Estimator
from include.training.trainers.xgboost_trees import Trees
from tests.serving.live import AS_OF, DESCRIPTION, GOOD_ROW, Logged

ENTITY = {"place": "string", "order": "integer"}
OFFERED = {
    **DESCRIPTION,
    "serving": {"entity": ENTITY, "limits": {}, "unseen_categories": "missing", "personal": []},
}
PLAN: dict[str, Any] = {"stage": "canary_30", "kind": "canary", "evidence": {}, "rollback": {}}


def save_model(
    folder: Path, seed: int, offered: dict[str, Any] = OFFERED, *, estimator: Estimator | None = None
) -> Logged:
    """A packaged model with compiled features, as MLflow writes it, in a folder instead of a server.

    :param estimator: trees trained here if left out; else ``offered`` says its kind.
    """
    draw = np.random.default_rng(seed)
    classes = len(offered.get("classes") or ())
    several = {"objective": "multi:softprob", "num_class": classes} if classes else {}
    values, labels = draw.random((300, len(offered["features"]))) * 10, draw.random(300)
    booster = xgboost.train(
        {"max_depth": 3, "seed": seed, "nthread": 1, **several},
        xgboost.DMatrix(values, np.floor(labels * classes) if classes else labels),
        num_boost_round=5,
    )
    types = {name: SQL_TYPES[kind] for name, kind in offered["columns"].items()}
    names = [f"feature_{feature['name']}" for feature in offered["features"] if "of" not in feature]
    compiled = compile_features(types, offered["select"], names)
    package = folder / f"package-{seed}"
    write_package(package, estimator=estimator or Trees(booster), description=offered, profile={"seed": seed})
    add_compiled(package, offered, compiled, {"admitted": True, "reason": "", "rows": 1})
    files = {path.stem: str(path) for path in sorted(package.iterdir())}
    saved = folder / f"model-{seed}"
    mlflow.pyfunc.save_model(path=str(saved), python_model=str(CODE), artifacts=files, pip_requirements=[])
    return Logged(seed, f"run-{seed}", saved.as_uri(), artifact_digest(saved))


def enter(settings: Settings, saved: Logged, *, model: str = "m", digest: str | None = None) -> int:
    """Register a saved model without MLflow; returns the version's number."""
    with database.transaction(settings.database_url) as connection:
        version = tables.model_version.c
        count = connection.execute(select(func.count()).where(version.model == model)).scalar_one()
        connection.execute(
            tables.model_version.insert().values(
                model=model, version=count + 1, fingerprint=f"f{count}", run_id=saved.run_id,
                as_of=AS_OF + timedelta(days=count), artifact_digest=digest or saved.artifact_digest,
                model_uri=saved.model_uri, status="registered", windows={}, decision={},
            )
        )  # fmt: skip
    return int(count) + 1


def challenge(
    settings: Settings, version: int, *, role: stages.ChallengerRole = "canary", share: float = 0.3, model: str = "m"
) -> None:
    """Put a version into a stage."""
    stages.enter_stage(
        settings, model, version, role=role, share=share, plan=PLAN, until=datetime.now(UTC) + timedelta(hours=1),
        deployment="deployment-1", actor="ana", reason="test",
    )  # fmt: skip


def order(number: int) -> dict[str, Any]:
    """A row of one entity."""
    return {**GOOD_ROW, "order": number}


def held(client: httpx.Client, model: str = "m") -> dict[str, tuple[int, str]]:
    """Version and status of each role as the server says."""
    answer = client.get(f"/models/{model}")
    roles = answer.json()["roles"] if answer.status_code == 200 else {}
    return {role: (found["version"], found["status"]) for role, found in roles.items()}


def errors_of(client: httpx.Client, version: int) -> float:
    """How often a version has failed, by the server's metrics."""
    name = f'noria_model_errors_total{{model="m",version="{version}"}} '
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith(name)]
    return float(lines[0].removeprefix(name)) if lines else 0.0

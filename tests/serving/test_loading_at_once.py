"""Versions that are loaded at the same time: MLflow reads a model in one global place, and workers share a disk."""

from __future__ import annotations

import itertools
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from include.registry.deployed import DeployedVersion
from include.serving.artifacts import ArtifactCache
from include.serving.loaded import load_packaged
from include.settings import Settings
from tests.serving.engine import save_model
from tests.serving.live import AS_OF, GOOD_ROW


def test_versions_loaded_at_once_each_keep_their_own_answers(tmp_path: Path) -> None:
    folders = [Path(save_model(tmp_path, seed).model_uri.removeprefix("file://")) for seed in (1, 2, 3)]
    alone = [load_packaged(folder).predict_rows([GOOD_ROW]) for folder in folders]
    assert len({tuple(answer) for answer in alone}) == 3
    order = list(itertools.islice(itertools.cycle(range(3)), 24))
    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            loaded = list(pool.map(lambda number: load_packaged(folders[number]), order))
    finally:
        sys.setswitchinterval(switching)
    assert [model.predict_rows([GOOD_ROW]) for model in loaded] == [alone[number] for number in order]


def test_a_damaged_copy_is_replaced_once_by_workers_that_find_it_at_once(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = save_model(tmp_path, 1)
    fetched: list[Path] = []

    def fetch(_: Settings, __: DeployedVersion, part: Path) -> Path:
        fetched.append(Path(shutil.copytree(Path(saved.model_uri.removeprefix("file://")), part / "model")))
        return fetched[-1]

    monkeypatch.setattr("include.serving.artifacts._fetch", fetch)
    deployed = DeployedVersion(
        model="m", role="champion", version=1, share=0.0, since=AS_OF, revision=1, fingerprint="f", run_id=saved.run_id,
        as_of=AS_OF, artifact_digest=saved.artifact_digest, model_uri=saved.model_uri, windows={},
    )  # fmt: skip
    ArtifactCache(settings).load(deployed)
    [copy] = [path for path in (settings.home / "serving" / "models" / "m").iterdir() if path.is_dir()]
    for _ in range(3):
        (copy / "artifacts" / "model.ubj").write_bytes(b"damaged")
        with ThreadPoolExecutor(4) as pool:
            models = list(pool.map(lambda _: ArtifactCache(settings).load(deployed), range(4)))
        assert len({model.packaged.predict_rows([GOOD_ROW])[0] for model in models}) == 1
    assert len(fetched) == 4
